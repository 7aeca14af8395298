"""Operations that compute nothing: views, copies, casts, look-ups, fills, draws and questions.

Each is known by name, so that what is missing from every rule file is truly unknown. A view reads
and writes no byte; a copy reads and writes its elements; an embedding reads the rows it returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gadprof.counting.rules.work import Rule, Work

VIEWS = (
    "view", "_unsafe_view", "reshape", "_reshape_alias", "expand", "expand_as", "permute",
    "transpose", "t", "numpy_T", "squeeze", "unsqueeze", "select", "slice", "split",
    "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "chunk", "unsafe_chunk",
    "unbind", "narrow", "diagonal", "as_strided", "detach", "alias", "unfold", "flatten",
    "unflatten", "movedim", "swapaxes", "view_as", "view_as_real", "view_as_complex", "real",
    "imag", "conj", "_conj", "resolve_conj", "resolve_neg", "lift", "lift_fresh", "set",
    "_neg_view", "adjoint", "mT", "mH", "tensor_split", "identity", "_fw_primal", "values",
    "indices", "crow_indices", "col_indices", "ccol_indices", "row_indices", "_indices", "_values",
    "_coalesced", "_nested_view_from_buffer", "_nested_view_from_jagged", "_nested_get_values",
    "_nested_get_offsets", "_nested_get_lengths", "_nested_get_ragged_idx",
    "_nested_get_min_seqlen", "_nested_get_max_seqlen", "_nested_get_jagged_dummy",
    "hsplit", "vsplit", "dsplit",
    "ravel",
    "_make_dual", "_unpack_dual", "set_data", "retain_grad", "rename",
)  # fmt: skip

COPIES = (
    "clone", "copy", "lift_fresh_copy", "contiguous", "repeat", "repeat_interleave", "roll", "flip",
    "rot90", "index", "index_select", "index_put", "_unsafe_index", "_unsafe_index_put",
    "_unsafe_masked_index", "_unsafe_masked_index_put_accumulate", "_index_put_impl",
    "gather", "take", "take_along_dim", "masked_select", "masked_scatter", "index_copy",
    "index_fill", "select_scatter", "slice_scatter", "diagonal_scatter", "as_strided_scatter",
    "select_backward", "slice_backward", "diagonal_backward", "unfold_backward",
    "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle",
    "constant_pad_nd", "pad", "_pad_circular", "_pad_enum",
    "reflection_pad1d", "reflection_pad2d", "reflection_pad3d",
    "replication_pad1d", "replication_pad2d", "replication_pad3d",
    "reflection_pad1d_backward", "reflection_pad2d_backward", "reflection_pad3d_backward",
    "replication_pad1d_backward", "replication_pad2d_backward", "replication_pad3d_backward",
    "im2col", "col2im", "unfold_copy", "tril", "triu", "diag", "diag_embed", "diagonal_copy",
    "tril_indices", "triu_indices", "_reshape_copy", "view_copy", "permute_copy", "expand_copy",
    "transpose_copy", "t_copy", "squeeze_copy", "unsqueeze_copy", "select_copy", "slice_copy",
    "split_copy", "unbind_copy", "alias_copy", "detach_copy", "conj_physical", "_conj_physical",
    "complex", "nonzero", "nonzero_static", "argwhere", "meshgrid", "put",
    "_pack_padded_sequence", "_pack_padded_sequence_backward", "_pad_packed_sequence",
    "_nested_tensor_from_mask", "_nested_tensor_from_padded", "_nested_from_padded",
    "nested_to_padded_tensor", "to_padded_tensor", "_nested_tensor_size", "block_diag",
    "cartesian_prod", "combinations", "max_unpool2d", "max_unpool3d", "to_mkldnn", "to_dense",
    "_to_dense", "_sparse_coo_tensor_with_dims_and_tensors", "_sparse_coo_tensor_unsafe",
    "_sparse_coo_tensor_with_dims", "sparse_coo_tensor", "sparse_compressed_tensor",
    "_sparse_compressed_tensor_unsafe", "_to_sparse", "_to_sparse_csr", "_to_sparse_csc",
    "_to_sparse_bsr", "_to_sparse_bsc", "sparse_mask", "sparse_resize", "_coalesce",
    "_jagged_to_padded_dense_forward", "_padded_dense_to_jagged_forward",
    "mkldnn_reorder_conv2d_weight", "_fft_fill_with_conjugate_symmetry_",
)  # fmt: skip

CASTS = ("_to_copy", "to", "type_as", "float", "half", "double", "_autocast_to_reduced_precision",
         "_autocast_to_full_precision", "bfloat16", "view_dtype", "to_sparse")  # fmt: skip

CONCATENATIONS = ("cat", "concat", "concatenate", "stack", "_cat", "hstack", "vstack", "dstack",
                  "column_stack")  # fmt: skip

FILLS = (
    "empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided",
    "zeros", "zeros_like", "new_zeros", "ones", "ones_like", "new_ones", "full", "full_like",
    "new_full", "fill", "zero", "arange", "linspace", "logspace", "eye", "scalar_tensor", "range",
    "hann_window", "hamming_window", "blackman_window", "kaiser_window", "bartlett_window",
    "_efficientzerotensor", "vander", "one_hot", "resize",
    "resize_as", "fill_diagonal",
)  # fmt: skip

RANDOM = (
    "rand", "rand_like", "randn", "randn_like", "randint", "randint_like", "randperm", "normal",
    "normal_functional", "uniform", "bernoulli", "multinomial", "random", "exponential",
    "geometric", "log_normal", "cauchy", "poisson", "binomial", "_standard_gamma",
)  # fmt: skip

QUESTIONS = (
    "size", "stride", "numel", "dim", "is_same_size", "_has_same_storage_numel", "equal",
    "item", "_local_scalar_dense",
    "is_nonzero", "sym_size", "sym_numel", "sym_stride", "sym_storage_offset", "storage_offset",
    "is_contiguous", "is_floating_point", "is_complex", "is_pinned", "device",
    "_fused_sdp_choice", "_nnpack_available", "is_inference", "_version", "result_type",
    "can_cast", "_is_zerotensor", "_assert_async", "_assert_tensor_metadata",
    "is_strides_like_format", "is_non_overlapping_and_dense", "_functional_assert_async",
    "_assert_scalar", "output_nr", "is_leaf", "_nested_tensor_strides", "layout", "has_names",
    "_cudnn_init_dropout_state", "_is_any_true", "_is_all_true", "allclose", "sym_is_contiguous",
    "record_stream", "_linalg_check_errors", "_nested_tensor_from_mask_left_aligned",
    "is_coalesced", "_nnz", "_dimI", "_dimV", "sparse_dim", "dense_dim",
    "_validate_sparse_coo_tensor_args", "_validate_sparse_compressed_tensor_args",
)  # fmt: skip


def _moves(kind: str) -> Rule:
    free = kind in ("view", "query")

    def rule(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
        if free:
            return Work(kind, bytes_read=0, bytes_written=0)
        if kind in ("fill", "random"):
            return Work(kind, bytes_read=0)
        return Work(kind)

    return rule


def _embedding(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
    indices, out = args[1], outs[0]
    return Work(
        "embedding",
        attributes={"entries": int(args[0].shape[0]), "size": int(args[0].shape[1])},
        bytes_read=indices.numel() * indices.element_size() + out.numel() * out.element_size(),
    )


def _gathered(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
    """Selections read what they return, not all of what they choose from."""
    out = outs[0]
    return Work("copy", bytes_read=out.numel() * out.element_size())


def _empty(args: Sequence[Any], kwargs: Mapping[str, Any], outs: Sequence[Any]) -> Work:
    return Work("fill", bytes_read=0, bytes_written=0)


RULES: dict[str, Rule] = {
    **{f"aten.{name}": _moves("view") for name in VIEWS},
    **{f"aten.{name}": _moves("copy") for name in COPIES},
    **{f"aten.{name}": _moves("cast") for name in CASTS},
    **{f"aten.{name}": _moves("concatenation") for name in CONCATENATIONS},
    **{f"aten.{name}": _moves("fill") for name in FILLS},
    **{f"aten.{name}": _moves("random") for name in RANDOM},
    **{f"aten.{name}": _moves("query") for name in QUESTIONS},
    "prim.device": _moves("query"),
    **{
        name: _moves("query")
        for name in (
            "profiler._record_function_enter",
            "profiler._record_function_enter_new",
            "profiler._record_function_exit",
            "torchvision._cuda_version",
        )
    },
    "prim.layout": _moves("query"),
    "aten.embedding": _embedding,
    "aten.index_select": _gathered,
    "aten.gather": _gathered,
    "aten.empty": _empty,
    "aten.empty_like": _empty,
    "aten.empty_strided": _empty,
    "aten.empty_permuted": _empty,
    "aten.new_empty": _empty,
    "aten.new_empty_strided": _empty,
}
