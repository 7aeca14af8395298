"""Runs an ONNX file once, with ONNX Runtime, for the shapes and small values that depend on data.

Promises nothing but what that one run found, on seeded random inputs (zeros for integers): shapes
of the tensors asked for, and the values of the small ones. Runs the file's operators, so the
caller does this in a process of its own. Raises SourceError or ModelFailedError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gadprof.counting.onnx.file import DTYPES, SMALL_ELEMENTS, OnnxFile
from gadprof.counting.onnx.inputs import Bound, graph_inputs
from gadprof.errors import MissingExtraError, ModelFailedError, SourceError

Found = Mapping[str, tuple[str, tuple[int, ...], Any]]


def run_for(file: OnnxFile, bound: Bound, names: Sequence[str]) -> Found:
    """Type, shape and small value of each named tensor that the file's own graph computes."""
    import numpy as np

    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "onnx", f"running {file.path!r}") from error
    if file.missing:
        raise SourceError(f"its external data ({', '.join(file.missing)}) is missing")
    model = onnx.load(file.path, load_external_data=False)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model, True)
    made = {name for node in model.graph.node for name in node.output if name}
    outputs = {item.name for item in model.graph.output}
    wanted = [name for name in names if name in made]
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in wanted if name not in outputs
    )
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", file.folder
    )
    generator = np.random.default_rng(0)
    fed = {}
    for item in graph_inputs(model.graph):
        kind = onnx.helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)
        shape = bound.shapes[item.name]
        floating = "float" in DTYPES.get(item.type.tensor_type.elem_type, "")
        drawn = generator.standard_normal(shape) if floating else np.zeros(shape)
        fed[item.name] = drawn.astype(kind)
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        results = session.run(wanted, fed)
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        raise ModelFailedError(f"ONNX Runtime refuses {file.path}: {words}") from error
    found = {}
    for name, value in zip(wanted, results, strict=True):
        if isinstance(value, np.ndarray):
            small = value if value.size <= SMALL_ELEMENTS else None
            found[name] = (str(value.dtype), tuple(value.shape), small)
    return found
