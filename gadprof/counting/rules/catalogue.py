"""Every operation with a rule, its formula in one line and where the formula is from.

What a rule says of itself stands first; rules that are rows of a table are told from the table, and
the rest from ``FORMULAS`` here. Promises a line for each rule; a test holds it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gadprof.counting.rules import elementwise, losses, movement
from gadprof.counting.rules.registry import BUILT_IN, WHOLE, added_names
from gadprof.counting.rules.sparse import RULES as SPARSE

_TEXTBOOK = "the definition"
_PARTS = ("addition", "multiplication", "comparison", "transcendental")


@dataclass(frozen=True)
class RuleEntry:
    """One operation: its name, what is counted, its formula and the formula's source.

    ``kind`` is ``MACs`` where multiply-adds are counted, ``FLOPs`` for other arithmetic, ``data``
    where nothing is computed, ``sparse`` for the form on sparse tensors, ``user`` for a rule of the
    running program. ``whole``: a composite operation that is recorded as one.
    """

    name: str
    kind: str
    formula: str
    source: str
    whole: bool = False


# pattern of names -> (kind, formula, source); the first that fits the whole name stands
FORMULAS: tuple[tuple[str, str, str, str], ...] = (
    (r"(_?convolution|convolution_overrideable|cudnn_convolution|mkldnn_convolution|conv\dd"
     r"|_slow_conv2d_forward)", "MACs",
     "outputs x (channels in / groups) x kernel; a bias is an addition an output", _TEXTBOOK),
    (r"conv_tbc", "MACs", "outputs x channels in x kernel", _TEXTBOOK),
    (r"conv_transpose\dd", "MACs", "inputs x (channels out / groups) x kernel",
     "Dumoulin and Visin, A guide to convolution arithmetic, 2016"),
    (r"convolution_backward", "MACs", "the forward's MACs for each gradient that is asked for",
     _TEXTBOOK),
    (r"(mkldnn_)?linear", "MACs", "rows x features in x features out", _TEXTBOOK),
    (r"linear_backward", "MACs", "the forward's MACs for each gradient that is asked for",
     _TEXTBOOK),
    (r"(mm|_int_mm|_scaled_mm|bmm|mv|matmul|dot|vdot|addmm|_addmm_activation|addmv|baddbmm|addbmm"
     r"|addr|_weight_int\dpack_mm.*|_dyn_quant_matmul_4bit|_mixed_dtypes_linear)", "MACs",
     "outputs x inner size; four times that for complex numbers; an added term is an addition",
     _TEXTBOOK),
    (r"_trilinear", "MACs", "the full product of the three sizes", _TEXTBOOK),
    (r"_?(scaled_)?grouped_mm", "MACs", "rows of all groups x inner size x columns", _TEXTBOOK),
    (r"(_cdist_forward|_euclidean_dist|_pdist_forward)", "MACs",
     "p = 2: pairs x features; any other p: additions, comparisons and powers, no MACs", _TEXTBOOK),
    (r".*(attention|_mha).*backward", "MACs", "three products of scores and two of values",
     "Dao et al., FlashAttention, 2022"),
    (r".*(attention|_native_multi_head).*", "MACs",
     "queries x keys x (head size + value size) a head; the full square under a causal mask",
     "Vaswani et al., Attention is all you need, 2017"),
    (r"_transformer_encoder_layer_fwd", "MACs",
     "attention with its projections, 2 x rows x width x hidden, norms and activation",
     "Vaswani et al., Attention is all you need, 2017"),
    (r"(lstm|gru|rnn_tanh|rnn_relu|mkldnn_rnn_layer)", "MACs",
     "steps x batch x gates x hidden x (input + state) a layer and direction",
     "Hochreiter and Schmidhuber, 1997; Cho et al., 2014"),
    (r"_thnn_fused_.*", "FLOPs", "the gates' additions, multiplications and transcendentals",
     "Hochreiter and Schmidhuber, 1997; Cho et al., 2014"),
    (r"grid_sampler.*backward", "FLOPs", "taps additions and 2 taps multiplications a sample",
     _TEXTBOOK),
    (r"grid_sampler.*", "FLOPs", "1, 4, 8 or 16 taps a sample by mode; the nearest is copied",
     _TEXTBOOK),
    (r"deform_conv2d", "MACs", "the convolution's MACs, and four taps a sampled value",
     "Dai et al., Deformable convolutional networks, 2017"),
    (r".*(batch_norm|layer_norm|group_norm|instance_norm|rms_norm).*backward", "FLOPs",
     "5 additions and 5 multiplications an element", _TEXTBOOK),
    (r".*batch_norm.*", "FLOPs",
     "1 addition, 1 multiplication an element; statistics too in training",
     "Ioffe and Szegedy, Batch normalization, 2015"),
    (r".*rms_norm", "FLOPs", "1 addition, 2 or 3 multiplications an element, a root a row",
     "Zhang and Sennrich, Root mean square layer normalization, 2019"),
    (r".*(layer_norm|group_norm|instance_norm)", "FLOPs",
     "4 or 5 additions, 2 or 3 multiplications an element, a root a row",
     "Ba et al., Layer normalization, 2016; Wu and He, Group normalization, 2018"),
    (r".*softmax_backward_data", "FLOPs", "2 additions, 2 multiplications an element", _TEXTBOOK),
    (r".*softmax", "FLOPs",
     "a maximum, 2 additions, an exponential and a division an element", _TEXTBOOK),
    (r"(sum|nansum|trace|sum_to_size|mean|nanmean|prod|max|min|amax|amin|aminmax|argmax|argmin|mode"
     r"|median|nanmedian|all|any|count_nonzero|var|var_mean|std|std_mean|norm|linalg_vector_norm"
     r"|logsumexp)", "FLOPs", "n - 1 combinations for n elements, and what each element needs",
     _TEXTBOOK),
    (r"(cum\w+|logcumsumexp)", "FLOPs", "one combination an element", _TEXTBOOK),
    (r"(sort|argsort|msort|_unique2|unique_dim)", "FLOPs", "n ceil(log2 n) comparisons a row",
     "Knuth, The art of computer programming 3, 5.2.4"),
    (r"(topk|kthvalue)", "FLOPs", "n ceil(log2 (k + 1)) comparisons a row",
     "Knuth, The art of computer programming 3, 5.2.3"),
    (r"(scatter.*|index_add|index_reduce)", "FLOPs", "one addition an element where values meet",
     _TEXTBOOK),
    (r".*pool.*backward", "FLOPs", "one addition an element, a multiplication for a mean",
     _TEXTBOOK),
    (r".*pool.*", "FLOPs", "window - 1 comparisons, or additions and a multiplication, an output",
     _TEXTBOOK),
    (r"_?upsample.*backward", "FLOPs", "taps additions and multiplications an output", _TEXTBOOK),
    (r"_?upsample.*", "FLOPs",
     "taps - 1 additions, taps multiplications an output; the nearest is copied",
     "Keys, Cubic convolution interpolation, 1981"),
    (r"_fft_.*", "FLOPs", "5 n log2 n for n complex numbers, half of it for real ones",
     "Cooley and Tukey, 1965"),
    (r"nll_loss.*", "FLOPs", "one addition and multiplication a row", _TEXTBOOK),
    (r"embedding_dense_backward", "FLOPs", "one addition an element of the gradient", _TEXTBOOK),
    (r"_embedding_bag.*", "FLOPs",
     "a bag's additions or comparisons; a division for a mean, a product for weights", _TEXTBOOK),
    (r"(linalg_)?cross", "FLOPs", "2 multiplications and 1 addition an element", _TEXTBOOK),
    (r"(bincount|histc|renorm)", "FLOPs", "one addition an element, and its scaling", _TEXTBOOK),
    (r"(quantize|fake_quantize).*", "FLOPs",
     "a scaling, a shift, a rounding and two bounds a value", "affine quantisation"),
    (r"_fused_moving_avg_obs_fq_helper", "FLOPs",
     "the least and the greatest value, and a fake quantisation of each", "affine quantisation"),
    (r"dequantize", "FLOPs", "a shift and a scaling a value", "affine quantisation"),
    (r"_weight_norm.*", "FLOPs", "a norm a filter, and a ratio times each weight",
     "Salimans and Kingma, Weight normalization, 2016"),
    (r"(glu|gelu|silu)_backward", "FLOPs", "the gradient times the derivative", _TEXTBOOK),
)  # fmt: skip


def entries() -> tuple[RuleEntry, ...]:
    """Every rule by name: built-in ones, their forms on sparse tensors, and the program's own."""
    found = [_entry(name) for name in BUILT_IN]
    for name, rule in SPARSE.items():
        formula = str(getattr(rule, "formula", ""))
        found.append(RuleEntry(f"{name} (sparse)", "sparse", formula, _TEXTBOOK))
    found += [RuleEntry(name, "user", "a rule of this program", "") for name in added_names()]
    return tuple(sorted(found, key=lambda entry: entry.name))


def _entry(name: str) -> RuleEntry:
    rule = BUILT_IN[name]
    plain = name.partition(".")[2]
    whole = name in WHOLE
    formula = getattr(rule, "formula", "")
    if formula:
        computes = "no arithmetic" not in formula
        kind = "MACs" if _multiplies(name, formula) else "FLOPs" if computes else "data"
        return RuleEntry(name, kind, formula, getattr(rule, "source", "") or _TEXTBOOK, whole)
    if name in movement.RULES:
        return RuleEntry(name, "data", "no arithmetic", _TEXTBOOK, whole)
    cost = elementwise.TABLE.get(plain) or elementwise.ACTIVATIONS.get(plain)
    if cost is not None:
        return RuleEntry(name, "FLOPs", f"{_told(cost)} an element", _TEXTBOOK, whole)
    if name in losses.RULES:
        return RuleEntry(
            name, "FLOPs", f"{_told(losses.TABLE[plain])} an element, reduced", _TEXTBOOK, whole
        )
    if plain in elementwise.COMPARISONS:
        return RuleEntry(name, "FLOPs", "1 comparison an element", _TEXTBOOK, whole)
    if plain in elementwise.INTEGER:
        return RuleEntry(
            name, "data", "integer or boolean, no floating-point work", _TEXTBOOK, whole
        )
    for pattern, kind, words, source in FORMULAS:
        if re.fullmatch(pattern, plain):
            return RuleEntry(name, kind, words, source, whole)
    if name in elementwise.RULES:
        return RuleEntry(name, "FLOPs", "by its arguments, an element", _TEXTBOOK, whole)
    return RuleEntry(name, "FLOPs", "", "", whole)


def _multiplies(name: str, formula: str) -> bool:
    return "linalg" in name or "^" in formula or "MACs" in formula or "head size" in formula


def _told(cost: tuple[int, int, int, int]) -> str:
    parts = [f"{n} {word}{'s' * (n > 1)}" for n, word in zip(cost, _PARTS, strict=True) if n]
    return ", ".join(parts) or "nothing"
