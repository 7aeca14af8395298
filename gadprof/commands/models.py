"""``gadprof models``: what can be named, one line each."""

from __future__ import annotations

from typing import Any

import click

from gadprof.commands.option_types import MODEL
from gadprof.commands.options import command, result_options
from gadprof.commands.show import show
from gadprof.output import Output

OTHER_FORMS = (
    ("timm:NAME", "any model of timm (extra zoo)"),
    ("torchvision:NAME", "any model of torchvision (extra zoo)"),
    ("transformers:CLASS", "a class of transformers (extra transformers)"),
    ("ultralytics:NAME", "its own YAML or yours (extra ultralytics)"),
    ("path/to/model.onnx", "an ONNX file, counted from its graph (extra onnx)"),
    ("path/to/model.tflite", "a TensorFlow Lite file, counted from its graph"),
    ("path/to/model.pt2", "a program of torch.export, or .pt of TorchScript"),
    ("trust:path/to/model.pt", "a module pickled whole: loading it runs its code"),
    ("path/to/file.py:build", "a function of your file that returns a module"),
    ("package.module:build", "a function of a package that returns a module"),
)


@command(name="models")
@click.option(
    "--knobs",
    type=MODEL,
    metavar="MODEL",
    help="List a model's knobs, as MODEL:knob=value takes.",
)
@result_options()
def models(knobs: str | None, out: Output) -> None:
    """List what can be named, one line each."""
    from gadprof.networks.spec import families, format_value, parse_spec, presets
    from gadprof.results.page import page_of
    from gadprof.results.table import Column, Table

    if knobs is not None:
        spec = parse_spec(knobs)
        spelled = out.form in ("table", "md")
        rows: list[list[Any]] = []
        for knob in families()[spec.family].knobs:
            apart = spelled and bool(knob.notes)
            choices = f" ({', '.join(knob.choices)})" if knob.choices and not apart else ""
            rows.append([knob.name, format_value(spec.values[knob.name]), knob.help + choices])
            if apart:
                rows += [["", *pair] for pair in zip(knob.choices, knob.notes, strict=True)]
        headers = ["knob", "value", "meaning"]
    else:
        headers = ["model", "what it is", "source"]
        rows = [[name, preset.summary, preset.source] for name, (_, preset) in presets().items()]
        rows += [[form, meaning, ""] for form, meaning in OTHER_FORMS]
    key = "knobs" if knobs is not None else "models"
    if knobs is not None:
        notes = ["type MODEL:knob=value,… to change it"]
    else:
        notes = [
            "'gadprof models --knobs MODEL' lists what MODEL:knob=value takes",
            "--format md, csv or json adds where each comes from",
            "after a name: ,key=value for its constructor, @3x224x224 for an input of its own",
        ]
    # one line each on a terminal: the sources are in the other forms
    columns = tuple(
        Column(name, name, rank=number, place="page" if name == "source" else "both")
        for number, name in enumerate(headers)
    )
    table = Table(key, "", columns, tuple(map(tuple, rows)), notes=tuple(notes))
    document = {key: [dict(zip(headers, row, strict=True)) for row in rows]}
    show(out, page_of(table, document=document, name=key))
