"""One network, one number: MACs of each network in every form in which it can be had.

    python benchmarks/one_network.py -o one_network.jsonl [--only "NAME;NAME"] [--forms onnx]

Every network is counted as its module, and again from its plan (built-in networks), compiled, from
a file of torch.export, from TorchScript, from a trusted pickle, and from ONNX by both exporters.
One line of JSON a network, written as soon as it is known: a run that is started again goes on
where the last one ended, with the forms that are not there yet. Where a form gives another integer
the ledger says by which operations: the multiply-adds of each kind in the one that are not in the
other. Ends with a table, and with exit code 1 where a form differs and no reason is known.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

NETWORKS = (
    # built-in
    "hrnet32:blocks=1,modules=1", "gadnet32:blocks=1,modules=1",
    "ghost-se-hrnet32:blocks=1,modules=1", "pose_resnet50", "pose_mobilenetv2",
    "hourglass1", "litehrnet18",
    # convolutional classifiers
    "timm:resnet18", "timm:resnet50", "timm:mobilenetv2_100", "timm:mobilenetv3_small_100",
    "timm:efficientnet_b0", "timm:regnety_002", "timm:densenet121", "timm:ghostnet_100",
    "timm:convnext_atto", "timm:repvgg_a0", "timm:res2net50_26w_4s", "timm:seresnet50",
    "timm:hrnet_w18_small", "timm:dla34", "timm:xception41", "timm:cspresnet50", "timm:mixnet_s",
    "timm:tf_efficientnet_lite0", "timm:mobileone_s0", "timm:fastvit_t8", "timm:starnet_s1",
    # attention
    "timm:vit_tiny_patch16_224", "timm:deit_tiny_patch16_224", "timm:mixer_s32_224",
    "timm:swin_tiny_patch4_window7_224", "timm:pvt_v2_b0", "timm:levit_128s", "timm:mobilevit_xxs",
    "timm:poolformer_s12", "timm:edgenext_xx_small", "timm:xcit_nano_12_p16_224",
    # other packages
    "torchvision:shufflenet_v2_x0_5", "torchvision:squeezenet1_1", "torchvision:googlenet",
    "torchvision:mnasnet0_5", "torchvision:lraspp_mobilenet_v3_large", "torchvision:alexnet",
    "torchvision:vit_b_32", "torchvision:swin_t",
    "transformers:ViTModel", "transformers:BertModel", "transformers:GPT2Model",
    "ultralytics:yolov8n", "ultralytics:yolo11n",
)  # fmt: skip
FORMS = ("plan", "compiled", "exported", "script", "pickled", "onnx", "onnx by dynamo")


def counted(name: str, forms: tuple[str, ...], row: dict[str, Any]) -> dict[str, Any]:
    """MACs of one network in each form that ``row`` lacks, and the ledger to the module's."""
    import torch

    import gadprof
    from gadprof.models.sources import load, resolve

    reference = load(name)
    module, args, kwargs = reference.module, reference.args, reference.kwargs
    whole = gadprof.count(module, args, kwargs)
    row = row or {"network": name, "module": whole.macs, "forms": {}, "ledger": {}}
    with tempfile.TemporaryDirectory() as folder:
        for form in forms:
            if form in row["forms"] or (form == "plan" and resolve(name).spec is None):
                continue
            try:
                with torch.no_grad():
                    trace = _as(form, name, module, args, kwargs, Path(folder))
            except Exception as error:
                words = " ".join(str(error).split())[:160]
                row["forms"][form] = f"not to be had: {type(error).__name__}: {words}"
                continue
            row["forms"][form] = trace.macs
            if trace.macs != whole.macs or trace.uncovered:
                row["ledger"][form] = _ledger(form, whole, trace)
    return row


def _as(form: str, name: str, module: Any, args: Any, kwargs: Any, folder: Path) -> Any:
    """The trace of a network in one form."""
    import torch

    import gadprof
    from gadprof.counting.count import count
    from gadprof.models.sources import load

    if form == "plan":
        return gadprof.count(name)
    if form == "compiled":
        return gadprof.count(torch.compile(module), args, kwargs)
    if form == "exported":
        path = folder / "net.pt2"
        torch.export.save(torch.export.export(module, args, kwargs), path)
        return gadprof.count(str(path))
    if form == "script":
        path = folder / "net.pt"
        traced = torch.jit.trace(
            module, args or None, strict=False, check_trace=False,
            **({"example_kwarg_inputs": kwargs} if kwargs else {}),
        )  # fmt: skip
        traced.save(str(path))
        script = load(str(path), shapes=((1,),)).module
        return count(script, args, kwargs)
    if form == "pickled":
        path = folder / "whole.pt"
        torch.save(module, path)
        return count(load(f"trust:{path}", shapes=((1,),)).module, args, kwargs)
    path = folder / "net.onnx"
    dynamo = form.endswith("dynamo")
    torch.onnx.export(
        module, args, str(path), kwargs=kwargs, dynamo=dynamo, verbose=False,
        **({} if dynamo else {"opset_version": 17}),
    )  # fmt: skip
    return gadprof.count(str(path))


def _ledger(form: str, whole: Any, trace: Any) -> dict[str, Any]:
    """What the form has more (or less) of each kind, and why, where the module itself tells."""
    kinds: Counter[str] = Counter()
    for sign, side in ((-1, whole), (1, trace)):
        for operation in side.operations:
            kind = "matmul" if operation.kind in ("linear", "attention") else operation.kind
            kinds[kind] += sign * operation.macs
    differing = {kind: macs for kind, macs in kinds.items() if macs}
    twice = repeated(whole)
    why = f"the network does {twice:,} twice on the same values; the exporter merges equal nodes"
    merged = form.startswith("onnx") and 0 < whole.macs - trace.macs <= twice
    reasons = dict.fromkeys(differing, why if merged else None)
    return {"macs": differing, "reasons": reasons, "uncovered": dict(trace.uncovered)}


def repeated(trace: Any) -> int:
    """Multiply-adds of operations that do again, on the same values, what one before them did."""
    values: dict[int, Any] = {}  # storage -> number of the value that it holds
    seen: dict[Any, int] = {}
    again = 0
    for operation in trace.operations:
        given = tuple((values.get(item.storage, ("held", item.storage)), item.shape)
                      for item in operation.inputs)  # fmt: skip
        key = (operation.name, given, operation.params, str(operation.attributes))
        if key in seen:
            again += operation.macs
        number = seen.setdefault(key, len(seen) + 1)
        for item in operation.outputs:
            values[item.storage] = number
    return again


def table(rows: list[dict[str, Any]]) -> tuple[str, bool]:
    """The rows as text, and whether every difference has a reason."""
    lines, good, same, total = [], True, 0, 0
    for row in rows:
        words = []
        for form, macs in row["forms"].items():
            total += isinstance(macs, int)
            if macs == row["module"] and form not in row["ledger"]:
                same += 1
            elif isinstance(macs, int):
                ledger = row["ledger"][form]
                explained = all(ledger["reasons"].values()) and not ledger["uncovered"]
                good = good and explained
                words.append(f"{form}: {macs - row['module']:+,} {ledger}")
            else:
                words.append(f"{form}: {macs}")
        lines.append("\n    ".join([f"{row['network']}: {row['module']:,}", *words]))
    lines.append(f"{len(rows)} networks, {total} counts of other forms, {same} equal to the module")
    return "\n".join(lines), good


def main() -> int:
    """Count what is not yet in the file, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-o", "--output", default="one_network.jsonl")
    parser.add_argument("--only", default="")
    parser.add_argument("--forms", default=",".join(FORMS))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    import torch

    torch.backends.mha.set_fastpath_enabled(False)  # its one operation has no form in ONNX
    path, forms = Path(options.output), tuple(options.forms.split(","))
    lines = path.read_text().splitlines() if path.exists() else []
    rows = {row["network"]: row for row in map(json.loads, lines)}
    wanted = options.only.split(";") if options.only else NETWORKS
    for name in wanted:
        before = rows.get(name, {})
        if before and set(forms) - {"plan"} <= set(before["forms"]):
            continue
        try:
            row = counted(name, forms, before)
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
            continue
        rows[name] = row
        with path.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        print(f"{name}: {len(row['forms'])} forms, {len(row['ledger'])} differ", file=sys.stderr)
    text, good = table([rows[name] for name in wanted if name in rows])
    print(text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
