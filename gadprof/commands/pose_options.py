"""Options that the pose commands share: where the data are, which device, how maps are decoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from gadprof.errors import SourceError
from gadprof.models.sources import Source, resolve
from gadprof.networks.spec import parse_shape

Function = TypeVar("Function", bound=Callable[..., Any])


def data_options(default_split: str) -> Callable[[Function], Function]:
    """``--data``, ``--split``, ``--annotations``, ``--images`` and ``--skip-bad``."""

    def decorate(function: Function) -> Function:
        for option in (
            click.option("--skip-bad", is_flag=True, help="Leave out persons with bad boxes."),
            click.option("--images", metavar="DIR", help="Folder of the split's pictures."),
            click.option("--annotations", metavar="FILE", help="The split's keypoint annotations."),
            click.option(
                "--split", default=default_split, show_default=True, help="Which part of --data."
            ),
            click.option("--data", metavar="DIR", help="Folder in COCO's layout."),
        ):
            function = option(function)
        return function

    return decorate


def decoding_options(function: Function) -> Function:
    """``--decoding``, ``--flip/--no-flip`` and ``--torch-device``."""
    for option in (
        click.option(
            "--torch-device", default="cpu", show_default=True, help="Where to run: cpu, cuda, …"
        ),
        click.option(
            "--flip/--no-flip", default=True, show_default=True, help="Average with the mirror."
        ),
        click.option(
            "--decoding",
            type=click.Choice(["quarter", "dark", "argmax"]),
            default="quarter",
            show_default=True,
            help="How a map becomes a point.",
        ),
    ):
        function = option(function)
    return function


def network_source(model: str) -> Source:
    """A model string that names a torch module. Raises SourceError."""
    source = resolve(model)
    if source.kind == "onnx":
        raise SourceError(f"{model!r} is an ONNX graph; name a torch model, for example gadnet32")
    return source


def input_size(text: str | None) -> tuple[int, int] | None:
    """``256x192`` or ``3x256x192`` as (height, width). Raises InputShapeError."""
    if text is None:
        return None
    shape = parse_shape(text)
    if len(shape) != 3 or shape[0] != 3:
        from gadprof.errors import InputShapeError

        raise InputShapeError(f"input {text!r} is not a picture's size; type for example 256x192")
    return (shape[1], shape[2])


def check_device(device: str) -> str:
    """A torch device that is there. Raises SourceError."""
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(f"cannot use device {device!r} ({reason}); try cpu") from error
    return device
