"""``gadprof models``: what can be named, one line each."""

from __future__ import annotations

from typing import Any

import click

from gadprof.commands.options import format_option, output_option

OTHER_FORMS = (
    ("timm:NAME", "any model of timm (extra gadprof[zoo])"),
    ("torchvision:NAME", "any model of torchvision (extra gadprof[zoo])"),
    ("transformers:CLASS", "a class of transformers, or a config.json (gadprof[transformers])"),
    ("path/to/model.onnx", "an ONNX file, counted from its graph (extra gadprof[onnx])"),
    ("path/to/file.py:build", "a function of your file that returns a module"),
    ("package.module:build", "a function of an installed package that returns a module"),
)


@click.command(name="models")
@click.option("--knobs", metavar="MODEL", help="List a model's knobs, as MODEL:knob=value takes.")
@format_option("table", "json", "csv", "md")
@output_option
def models(knobs: str | None, output_format: str, output: str | None) -> None:
    """List what can be named, one line each."""
    from gadprof.networks.spec import families, format_value, parse_spec, presets
    from gadprof.output import check_writable, emit
    from gadprof.render.tables import render
    from gadprof.results.page import page_of
    from gadprof.results.table import Column, Table

    if output is not None:
        check_writable(output)
    if knobs is not None:
        spec = parse_spec(knobs)
        spelled = output_format in ("table", "md")
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
    note = (
        "type MODEL:knob=value,… to change it"
        if knobs is not None
        else "'gadprof models --knobs MODEL' lists what MODEL:knob=value takes"
    )
    columns = tuple(Column(name, name, rank=number) for number, name in enumerate(headers))
    table = Table(key, "", columns, tuple(map(tuple, rows)), notes=(note,))
    document = {key: [dict(zip(headers, row, strict=True)) for row in rows]}
    emit(render(page_of(table, document=document, name=key), output_format), output)
