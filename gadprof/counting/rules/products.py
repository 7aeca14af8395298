"""Rules of the operations made of multiply-adds: convolutions, products, attention, recurrence.

A forward convolution costs output elements x (input channels / groups) x kernel; a transposed
one input elements x (output channels / groups) x kernel, which is what it multiplies before it
crops. A bias costs one addition an output element. The backward pass of a product is one product
for each gradient that is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from gadprof.counting.rules.work import Rule, Work, argument, elements, leading, listed

Args = Sequence[Any]
Kwargs = Mapping[str, Any]


def _complex_factor(tensor: Any) -> int:
    return 4 if tensor.is_complex() else 1


def convolution_work(
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    bias: bool,
    stride: tuple[int, ...],
    padding: Any,
    dilation: tuple[int, ...],
    transposed: bool,
    output_padding: tuple[int, ...],
    groups: int,
    factor: int = 1,
) -> Work:
    """The cost of one convolution of any rank; shapes carry the batch."""
    kernel = tuple(weight_shape[2:])
    output = prod(output_shape)
    if transposed:
        c_in, c_out = weight_shape[0], weight_shape[1] * groups
        macs = prod(input_shape) * weight_shape[1] * prod(kernel)
    else:
        c_in, c_out = weight_shape[1] * groups, weight_shape[0]
        macs = output * weight_shape[1] * prod(kernel)
    return Work(
        "convolution",
        macs=macs * factor,
        adds=output if bias else 0,
        attributes={
            "kernel": kernel,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "transposed": transposed,
            "output_padding": output_padding,
            "bias": bias,
            "c_in": c_in,
            "c_out": c_out,
        },
    )


def _convolution(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    x, weight, bias = args[0], args[1], argument(args, kwargs, 2, "bias")
    rank = weight.dim() - 2
    transposed = bool(argument(args, kwargs, 6, "transposed", False))
    return convolution_work(
        x.shape,
        weight.shape,
        outs[0].shape,
        bias=bias is not None,
        stride=listed(argument(args, kwargs, 3, "stride", 1), rank),
        padding=listed(argument(args, kwargs, 4, "padding", 0), rank),
        dilation=listed(argument(args, kwargs, 5, "dilation", 1), rank),
        transposed=transposed,
        output_padding=listed(argument(args, kwargs, 7, "output_padding", 0), rank),
        groups=int(argument(args, kwargs, 8, "groups", 1)),
        factor=_complex_factor(x),
    )


def _conv_nd(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """conv1d, conv2d, conv3d: input, weight, bias, stride, padding (ints or a word), …."""
    x, weight, bias = args[0], args[1], argument(args, kwargs, 2, "bias")
    rank = weight.dim() - 2
    padding = argument(args, kwargs, 4, "padding", 0)
    return convolution_work(
        x.shape,
        weight.shape,
        outs[0].shape,
        bias=bias is not None,
        stride=listed(argument(args, kwargs, 3, "stride", 1), rank),
        padding=padding if isinstance(padding, str) else listed(padding, rank),
        dilation=listed(argument(args, kwargs, 5, "dilation", 1), rank),
        transposed=False,
        output_padding=(0,) * rank,
        groups=int(argument(args, kwargs, 6, "groups", 1)),
        factor=_complex_factor(x),
    )


def _conv_transpose_nd(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    x, weight, bias = args[0], args[1], argument(args, kwargs, 2, "bias")
    rank = weight.dim() - 2
    return convolution_work(
        x.shape,
        weight.shape,
        outs[0].shape,
        bias=bias is not None,
        stride=listed(argument(args, kwargs, 3, "stride", 1), rank),
        padding=listed(argument(args, kwargs, 4, "padding", 0), rank),
        dilation=listed(argument(args, kwargs, 7, "dilation", 1), rank),
        transposed=True,
        output_padding=listed(argument(args, kwargs, 5, "output_padding", 0), rank),
        groups=int(argument(args, kwargs, 6, "groups", 1)),
        factor=_complex_factor(x),
    )


def _mkldnn_convolution(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """input, weight, bias, padding, stride, dilation, groups."""
    x, weight, bias = args[0], args[1], args[2]
    rank = x.dim() - 2
    return convolution_work(
        x.shape,
        weight.shape,
        outs[0].shape,
        bias=bias is not None,
        stride=listed(args[4], rank),
        padding=listed(args[3], rank),
        dilation=listed(args[5], rank),
        transposed=False,
        output_padding=(0,) * rank,
        groups=int(args[6]),
    )


def _convolution_backward(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    gradient, x, weight = args[0], args[1], args[2]
    transposed, groups, mask = bool(args[7]), int(args[9]), args[10]
    forward = convolution_work(
        x.shape,
        weight.shape,
        gradient.shape,
        bias=False,
        stride=tuple(args[4]),
        padding=tuple(args[5]),
        dilation=tuple(args[6]),
        transposed=transposed,
        output_padding=tuple(args[8]),
        groups=groups,
        factor=_complex_factor(x),
    )
    wanted = int(bool(mask[0])) + int(bool(mask[1]))
    return Work(
        "convolution",
        macs=forward.macs * wanted,
        adds=elements(gradient) - gradient.shape[1] if mask[2] else 0,
        attributes={**forward.attributes, "bias": bool(mask[2]), "gradients": wanted},
    )


def linear_work(
    input_shape: Sequence[int], weight_shape: Sequence[int], *, bias: bool, factor: int = 1
) -> Work:
    """The cost of ``x @ weight.T + bias``."""
    out_features, in_features = (*((1,) * (2 - len(weight_shape))), *weight_shape)
    rows = leading(input_shape, 1)
    return Work(
        "linear",
        macs=rows * in_features * out_features * factor,
        adds=rows * out_features if bias else 0,
        attributes={"in_features": in_features, "out_features": out_features, "bias": bias},
    )


def _linear(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    bias = argument(args, kwargs, 2, "bias")
    factor = _complex_factor(args[0])
    return linear_work(args[0].shape, args[1].shape, bias=bias is not None, factor=factor)


def _linear_backward(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """self, grad_output, weight, output_mask."""
    work = linear_work(args[0].shape, args[2].shape, bias=False)
    mask = args[3]
    wanted = int(bool(mask[0])) + int(bool(mask[1]))
    return Work("linear", macs=work.macs * wanted, attributes=work.attributes)


def _product(a: Any, b: Any, out: Any, *, added: bool = False, scaled: int = 0) -> Work:
    """A matrix product; ``added`` adds a term, ``scaled`` counts multiplied output elements."""
    k = a.shape[-1] if a.dim() else 1
    m = a.shape[-2] if a.dim() > 1 else 1
    n = b.shape[-1] if b.dim() > 1 else 1
    output = elements(out)
    macs = output * k * _complex_factor(a)
    return Work(
        "matmul",
        macs=macs,
        adds=output if added else 0,
        multiplies=scaled,
        attributes={
            "batch": output // (m * n) if m * n else 0,
            "m": m,
            "k": k,
            "n": n,
            "bias": added,
        },
    )


def _mm(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    return _product(args[0], args[1], outs[0])


def _packed_mm(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """Rows by weights of few bits, packed as only the kernel knows: (..., k) to (..., n)."""
    x, n = args[0], outs[0].shape[-1]
    m, k = elements(x) // x.shape[-1], x.shape[-1]
    return Work(
        "matmul",
        macs=m * k * n,
        multiplies=m * n,  # the scale of an output
        attributes={"batch": 1, "m": m, "k": k, "n": n, "bias": False},
    )


def _conv_tbc(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """A 1-D convolution of (time, batch, channels) by (kernel, channels in, channels out)."""
    kernel, channels, n = args[1].shape
    m = elements(outs[0]) // n
    return Work(
        "matmul",
        macs=m * kernel * channels * n,
        adds=m * n,
        attributes={"batch": 1, "m": m, "k": kernel * channels, "n": n, "bias": True},
    )


def _addmm(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    beta, alpha = kwargs.get("beta", 1), kwargs.get("alpha", 1)
    output = elements(outs[0])
    scaled = (output if alpha != 1 else 0) + (output if beta not in (0, 1) else 0)
    return _product(args[1], args[2], outs[0], added=beta != 0, scaled=scaled)


def _addr(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    output = elements(outs[0])
    return Work("matmul", macs=output, adds=output, attributes={"batch": 1, "k": 1, "bias": True})


def _addbmm(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    batch, m, k = args[1].shape
    return Work(
        "matmul",
        macs=batch * m * k * args[2].shape[-1],
        adds=elements(outs[0]) * batch,
        attributes={"batch": batch, "m": m, "k": k, "n": args[2].shape[-1], "bias": True},
    )


def _trilinear(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """i1, i2, i3, expand1, expand2, expand3, sumdim: sum of a product of three tensors."""
    shapes = []
    for tensor, expand in zip(args[:3], args[3:6], strict=True):
        shape = list(tensor.shape)
        for dimension in sorted(expand):
            shape.insert(dimension, 1)
        shapes.append(shape)
    full = prod(max(sizes) for sizes in zip(*shapes, strict=True))
    return Work("matmul", macs=full, multiplies=full, attributes={"bias": False})


def distance_work(pairs: int, features: int, p: float, **attributes: Any) -> Work:
    """``pairs`` distances between vectors: the p-norm of their difference.

    p = 2 is a product's work (a subtraction and a multiply-add a feature, a root a pair); p = 1
    adds magnitudes, p = inf compares them, p = 0 counts what differs, another p is a power.
    """
    every = pairs * features
    folded = max(0, every - pairs)
    if p == 2:
        return Work(
            "matmul", macs=every, adds=every, transcendentals=pairs,
            attributes={**attributes, "k": features, "bias": False},
        )  # fmt: skip
    known = {**attributes, "input_elements": every, "p": p}
    if p == 0:
        return Work("reduction", adds=folded, comparisons=every, attributes=known)
    if p == 1:
        return Work("reduction", adds=every + folded, comparisons=every, attributes=known)
    if p == float("inf"):
        return Work("reduction", adds=every, comparisons=every + folded, attributes=known)
    return Work(
        "reduction",
        adds=every + folded,
        comparisons=every,
        transcendentals=every + pairs,
        attributes=known,
    )


def _cdist(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    p = float(argument(args, kwargs, 2, "p", 2.0))
    sizes = {"m": args[0].shape[-2], "n": args[1].shape[-2]}
    return distance_work(elements(outs[0]), int(args[0].shape[-1]), p, **sizes)


def _pdist(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    p = float(argument(args, kwargs, 1, "p", 2.0))
    return distance_work(elements(outs[0]), int(args[0].shape[-1]), p)


def _grouped_mm(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """Each group of rows (of columns, of terms) times its own matrix; ``offs`` ends the groups.

    Rows beyond the last group are not multiplied, which only a run with values can tell.
    """
    a, b = args[0], args[1]
    groups_at = 4 if len(args) > 2 and not hasattr(args[2], "dtype") else 2
    offs = kwargs.get("offs")
    if offs is None:
        found = [item for item in args[groups_at:] if hasattr(item, "is_floating_point")]
        offs = next((item for item in found if not item.is_floating_point()), None)
    rows, inner, columns = int(a.shape[-2]), int(a.shape[-1]), int(b.shape[-1])
    batch = int(a.shape[0]) if a.dim() == b.dim() == 3 else 1
    if offs is not None and not offs.is_meta and offs.numel():
        used = int(offs[-1])
        if a.dim() == 2 and b.dim() == 3:
            rows = min(rows, used)
        elif a.dim() == 3 and b.dim() == 2:
            columns = min(columns, used)
        elif a.dim() == b.dim() == 2:
            inner = min(inner, used)
    groups = int((a if a.dim() == 3 else b).shape[0]) if 3 in (a.dim(), b.dim()) else 0
    return Work(
        "matmul",
        macs=batch * rows * inner * columns,
        attributes={
            "batch": batch, "m": rows, "k": inner, "n": columns, "bias": False, "groups": groups,
        },
    )  # fmt: skip


def attention_work(
    query: Sequence[int],
    key: Sequence[int],
    value: Sequence[int],
    *,
    mask: bool,
    causal: bool,
    dropout: bool = False,
) -> Work:
    """softmax(q k^T x scale + mask) v; shapes are (..., heads, length, size).

    A causal mask saves nothing here: the full square is counted, as in the literature. The
    softmax costs a maximum, a subtraction, an exponential, a sum and a division a score.
    """
    queries, head_size = query[-2], query[-1]
    keys, value_size = key[-2], value[-1]
    rows = leading(query, 2)
    scores = rows * queries * keys
    qk_macs, av_macs = scores * head_size, scores * value_size
    return Work(
        "attention",
        macs=qk_macs + av_macs,
        adds=scores * (2 + int(mask or causal)),
        multiplies=scores * (2 + int(dropout)),
        comparisons=scores,
        transcendentals=scores,
        attributes={
            "batch": leading(query, 3) if len(query) > 3 else 1,
            "heads": query[-3] if len(query) > 2 else 1,
            "queries": queries,
            "keys": keys,
            "head_size": head_size,
            "value_size": value_size,
            "qk_macs": qk_macs,
            "av_macs": av_macs,
            "mask": mask,
            "causal": causal,
        },
        functional="scaled_dot_product_attention",
    )


def _attention(
    mask_index: int | None = None, causal_index: int | None = None, transposed: bool = False
) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        mask = None
        if mask_index is not None:
            names = ("attn_mask", "attn_bias", "bias")
            found = [kwargs[name] for name in names if kwargs.get(name) is not None]
            mask = args[mask_index] if len(args) > mask_index else (found or [None])[0]
        causal = kwargs.get("is_causal", False)
        if causal_index is not None and len(args) > causal_index:
            causal = args[causal_index]
        shapes = [list(tensor.shape) for tensor in args[:3]]
        if transposed:  # (batch, length, heads, size)
            shapes = [[shape[0], shape[2], shape[1], shape[3]] for shape in shapes]
        return attention_work(
            shapes[0], shapes[1], shapes[2], mask=mask is not None, causal=bool(causal)
        )

    return rule


def _attention_backward(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """grad_out, query, key, value, …: five products, one of them the scores computed again."""
    work = attention_work(args[1].shape, args[2].shape, args[3].shape, mask=False, causal=False)
    scores = work.comparisons
    return Work(
        "attention",
        macs=3 * work.attributes["qk_macs"] + 2 * work.attributes["av_macs"],
        adds=3 * scores,
        multiplies=4 * scores,
        transcendentals=scores,
        attributes=work.attributes,
        functional=work.functional,
    )


def _native_mha(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """query, key, value, embed_dim, num_head, two weights with their biases, mask."""
    query, key, embed, heads = args[0], args[1], int(args[3]), int(args[4])
    return _mha(query.shape, key.shape, embed, heads, argument(args, kwargs, 9, "mask") is not None)


def _mha(query: Args, key: Args, embed: int, heads: int, mask: bool) -> Work:
    batch, length, keys = query[0], query[1], key[1]
    core = attention_work(
        (batch, heads, length, embed // heads),
        (batch, heads, keys, embed // heads),
        (batch, heads, keys, embed // heads),
        mask=mask,
        causal=False,
    )
    rows = batch * (2 * length + 2 * keys)  # query and output projections, key and value ones
    return Work(
        "attention",
        macs=core.macs + rows * embed * embed,
        adds=core.adds + rows * embed,
        multiplies=core.multiplies,
        comparisons=core.comparisons,
        transcendentals=core.transcendentals,
        attributes={**core.attributes, "projection_macs": rows * embed * embed},
        functional="multi_head_attention_forward",
    )


def _encoder_layer(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """The fused transformer encoder layer: attention, two norms, two linears, an activation."""
    x, embed, heads = args[0], int(args[1]), int(args[2])
    gelu = bool(args[7])
    hidden = args[14].shape[0]
    attention = _mha(x.shape, x.shape, embed, heads, argument(args, kwargs, 18, "mask") is not None)
    rows = x.shape[0] * x.shape[1]
    feed = rows * embed * hidden * 2
    inner, outer = rows * hidden, rows * embed
    return Work(
        "attention",
        macs=attention.macs + feed,
        # biases, two residual additions, two normalisations (5 additions an element)
        adds=attention.adds + inner + outer + 2 * outer + 10 * outer + (inner if gelu else 0),
        multiplies=attention.multiplies + 6 * outer + (3 * inner if gelu else 0),
        comparisons=attention.comparisons + (0 if gelu else inner),
        transcendentals=attention.transcendentals + 2 * rows + (inner if gelu else 0),
        attributes={**attention.attributes, "feed_forward_macs": feed},
        functional="transformer_encoder_layer",
    )


_GATES = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}


def rnn_work(
    cell: str,
    *,
    rows: int,
    input_size: int,
    hidden_size: int,
    proj_size: int,
    layers: int,
    directions: int,
    bias: bool,
    steps: int,
    batch: int,
) -> Work:
    """A recurrent network over ``rows`` = steps x batch inputs.

    The gates' element-wise work follows the textbook equations of each cell.
    """
    gates = _GATES[cell]
    state = proj_size or hidden_size
    macs = 0
    for layer in range(layers):
        width = input_size if layer == 0 else state * directions
        macs += directions * rows * gates * hidden_size * (width + state)
        macs += directions * rows * hidden_size * proj_size
    cells = layers * directions * rows * hidden_size
    adds = cells * gates * (1 + (2 if bias else 0))
    multiplies = comparisons = transcendentals = 0
    if cell == "lstm":  # c = f c + i g; h = o tanh(c); three sigmoids (exp, +1, 1/x), two tanh
        adds += cells * (1 + 3)
        multiplies += cells * (3 + 3)
        transcendentals += cells * 5
    elif cell == "gru":  # n = tanh(W x + r (U h)); h = (1 - z) n + z h
        adds += cells * (2 + 2)
        multiplies += cells * (3 + 2)
        transcendentals += cells * 3
    elif cell == "rnn_tanh":
        transcendentals += cells
    else:
        comparisons += cells
    return Work(
        "rnn",
        macs=macs,
        adds=adds,
        multiplies=multiplies,
        comparisons=comparisons,
        transcendentals=transcendentals,
        attributes={
            "cell": cell,
            "layers": layers,
            "directions": directions,
            "input_size": input_size,
            "hidden_size": hidden_size,
            "proj_size": proj_size,
            "steps": steps,
            "batch": batch,
            "bias": bias,
        },
        functional=cell,
    )


def _rnn(cell: str) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        packed = not isinstance(args[3], bool) and not isinstance(args[2], bool)
        x = args[0]
        if packed:  # data, batch_sizes, hx, params, has_biases, num_layers, …, bidirectional
            weights, bias, layers, both = args[3], bool(args[4]), int(args[5]), bool(args[8])
            rows, steps, batch = x.shape[0], elements(args[1]), 0
        else:  # input, hx, params, has_biases, num_layers, dropout, train, bidirectional, first
            weights, bias, layers, both = args[2], bool(args[3]), int(args[4]), bool(args[7])
            rows = x.shape[0] * (x.shape[1] if x.dim() > 2 else 1)
            first = bool(args[8])
            steps = x.shape[1 if first and x.dim() > 2 else 0]
            batch = rows // steps if steps else 0
        hidden = weights[0].shape[0] // _GATES[cell]
        state = weights[1].shape[1]
        return rnn_work(
            cell,
            rows=rows,
            input_size=x.shape[-1],
            hidden_size=hidden,
            proj_size=state if state != hidden else 0,
            layers=layers,
            directions=2 if both else 1,
            bias=bias,
            steps=steps,
            batch=batch,
        )

    return rule


def _mkldnn_rnn_layer(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """One direction of one LSTM layer: input, weight0..3, hx, cx, reverse, …, hidden_size, …."""
    x, hidden = args[0], int(argument(args, kwargs, 10, "hidden_size"))
    rows = x.shape[0] * x.shape[1]
    return rnn_work(
        "lstm",
        rows=rows,
        input_size=x.shape[-1],
        hidden_size=hidden,
        proj_size=0,
        layers=1,
        directions=1,
        bias=bool(argument(args, kwargs, 12, "has_biases", True)),
        steps=x.shape[0],
        batch=x.shape[1],
    )


def _thnn_cell(cell: str) -> Rule:
    """The fused gates of one step (the products were counted before)."""

    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        cells = elements(outs[0])
        one = rnn_work(
            cell,
            rows=1,
            input_size=1,
            hidden_size=1,
            proj_size=0,
            layers=1,
            directions=1,
            bias=True,
            steps=1,
            batch=1,
        )
        return Work(
            "activation",
            adds=cells * one.adds,
            multiplies=cells * one.multiplies,
            transcendentals=cells * one.transcendentals,
            attributes={"cell": cell},
        )

    return rule


_BILINEAR, _NEAREST, _BICUBIC = 0, 1, 2


def _grid_taps(args: Args, kwargs: Kwargs, index: int, rank: int) -> int:
    mode = int(argument(args, kwargs, index, "interpolation_mode", _BILINEAR))
    taps: int = {_NEAREST: 1, _BICUBIC: 4**rank}.get(mode, 2**rank)
    return taps


def _grid_sampler(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """A weighted sum of the taps of each sample; the nearest one is only copied."""
    taps = _grid_taps(args, kwargs, 2, args[0].dim() - 2)
    output = elements(outs[0])
    return Work(
        "resize",
        adds=output * (taps - 1),
        multiplies=output * taps if taps > 1 else 0,
        attributes={"mode": "grid_sample", "taps": taps},
    )


def _grid_sampler_backward(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """grad, input, grid, mode, …: a gradient goes to each tap and, unless nearest, to the grid."""
    taps = _grid_taps(args, kwargs, 3, args[1].dim() - 2)
    output = elements(args[0])
    return Work(
        "resize",
        adds=output * taps,
        multiplies=output * 2 * taps if taps > 1 else 0,
        attributes={"mode": "grid_sample", "taps": taps},
    )


def _deform_conv2d(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """torchvision's deformable convolution: bilinear samples (4 taps), then a convolution."""
    x, weight, mask, bias = args[0], args[1], args[3], args[4]
    groups = int(args[11])
    work = convolution_work(
        x.shape,
        weight.shape,
        outs[0].shape,
        bias=elements(bias) > 0,
        stride=(int(args[5]), int(args[6])),
        padding=(int(args[7]), int(args[8])),
        dilation=(int(args[9]), int(args[10])),
        transposed=False,
        output_padding=(0, 0),
        groups=groups,
    )
    sites = outs[0].shape[0] * prod(outs[0].shape[2:]) * x.shape[1] * prod(weight.shape[2:])
    return Work(
        "convolution",
        macs=work.macs,
        adds=work.adds + 3 * sites,
        multiplies=4 * sites + (sites if bool(args[13]) and elements(mask) else 0),
        attributes=work.attributes,
        functional="deform_conv2d",
    )


RULES: dict[str, Rule] = {
    "aten.convolution": _convolution,
    "aten._convolution": _convolution,
    "aten.convolution_overrideable": _convolution,
    "aten.cudnn_convolution": lambda args, kwargs, outs: _mkldnn_convolution(
        (args[0], args[1], None, *args[2:]), kwargs, outs
    ),
    "aten.mkldnn_convolution": _mkldnn_convolution,
    "aten._slow_conv2d_forward": lambda args, kwargs, outs: _conv_nd(
        (args[0], args[1], args[3], args[4], args[5]), {}, outs
    ),
    "aten.conv1d": _conv_nd,
    "aten.conv2d": _conv_nd,
    "aten.conv3d": _conv_nd,
    "aten.conv_transpose1d": _conv_transpose_nd,
    "aten.conv_transpose2d": _conv_transpose_nd,
    "aten.conv_transpose3d": _conv_transpose_nd,
    "aten.convolution_backward": _convolution_backward,
    "aten.linear": _linear,
    "aten.mkldnn_linear": _linear,
    "aten.linear_backward": _linear_backward,
    "aten.mm": _mm,
    "aten._int_mm": _mm,
    "aten._weight_int8pack_mm": _packed_mm,
    "aten._weight_int4pack_mm": _packed_mm,
    "aten._weight_int4pack_mm_for_cpu": _packed_mm,
    "aten._weight_int4pack_mm_with_scales_and_zeros": _packed_mm,
    "aten._dyn_quant_matmul_4bit": _packed_mm,
    "aten._mixed_dtypes_linear": _packed_mm,
    "aten.conv_tbc": _conv_tbc,
    "aten._scaled_mm": _mm,
    "aten.bmm": _mm,
    "aten.mv": _mm,
    "aten.dot": lambda args, kwargs, outs: _product(args[0], args[1], outs[0]),
    "aten.vdot": lambda args, kwargs, outs: _product(args[0], args[1], outs[0]),
    "aten.matmul": _mm,
    "aten.addmm": _addmm,
    "aten._addmm_activation": _addmm,
    "aten.addmv": _addmm,
    "aten.baddbmm": _addmm,
    "aten.addbmm": _addbmm,
    "aten.addr": _addr,
    "aten._trilinear": _trilinear,
    "aten._grouped_mm": _grouped_mm,
    "aten._scaled_grouped_mm": _grouped_mm,
    "aten._pdist_forward": _pdist,
    "aten._cdist_forward": _cdist,
    "aten._euclidean_dist": _cdist,
    "aten.scaled_dot_product_attention": _attention(3, 5),
    "aten._scaled_dot_product_flash_attention": _attention(None, 4),
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention(None, 4),
    "aten._scaled_dot_product_efficient_attention": _attention(3, 6),
    "aten._scaled_dot_product_cudnn_attention": _attention(3, 6),
    "aten._scaled_dot_product_fused_attention_overrideable": _attention(3, 5),
    "aten._scaled_dot_product_attention_math": _attention(3, 5),
    "aten._scaled_dot_product_attention_math_for_mps": _attention(3, 5),
    "aten._flash_attention_forward": _attention(None, 8, True),
    "aten._efficient_attention_forward": _attention(3, None, True),
    "aten._scaled_dot_product_flash_attention_backward": _attention_backward,
    "aten._scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
    "aten._scaled_dot_product_efficient_attention_backward": _attention_backward,
    "aten._scaled_dot_product_cudnn_attention_backward": _attention_backward,
    "aten._native_multi_head_attention": _native_mha,
    "aten._transformer_encoder_layer_fwd": _encoder_layer,
    "aten.lstm": _rnn("lstm"),
    "aten.gru": _rnn("gru"),
    "aten.rnn_tanh": _rnn("rnn_tanh"),
    "aten.rnn_relu": _rnn("rnn_relu"),
    "aten.mkldnn_rnn_layer": _mkldnn_rnn_layer,
    "aten._thnn_fused_lstm_cell": _thnn_cell("lstm"),
    "aten._thnn_fused_gru_cell": _thnn_cell("gru"),
    "aten.grid_sampler": _grid_sampler,
    "aten.grid_sampler_2d": _grid_sampler,
    "aten.grid_sampler_3d": _grid_sampler,
    "aten.grid_sampler_2d_backward": _grid_sampler_backward,
    "aten.grid_sampler_3d_backward": _grid_sampler_backward,
    "torchvision.deform_conv2d": _deform_conv2d,
}

__all__ = ["RULES", "attention_work", "convolution_work", "linear_work", "rnn_work"]
