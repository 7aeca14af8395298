"""Options that the pose commands share: where the data are, which device, how maps are decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from gadprof.commands.option_types import DEVICE
from gadprof.commands.options import Decorator, option, packed
from gadprof.errors import SourceError
from gadprof.models.sources import Source, resolve
from gadprof.networks.spec import parse_shape


@dataclass(frozen=True)
class Data:
    """Where the persons are: a folder in COCO's layout, or annotations and pictures apart."""

    data: str | None
    split: str
    annotations: str | None
    images: str | None
    skip_bad: bool


def data_options(default_split: str) -> Decorator[Any]:
    """``--data``, ``--split``, ``--annotations``, ``--images`` and ``--skip-bad``, as ``data``."""
    return packed(
        "data",
        Data,
        click.option("--data", metavar="DIR", help="Folder in COCO's layout."),
        click.option(
            "--split", default=default_split, show_default=True, help="Which part of --data."
        ),
        click.option("--annotations", metavar="FILE", help="The split's keypoint annotations."),
        click.option("--images", metavar="DIR", help="Folder of the split's pictures."),
        click.option("--skip-bad", is_flag=True, help="Leave out persons with bad boxes."),
    )


@dataclass(frozen=True)
class Decoding:
    """How a map becomes a point, and where the network runs."""

    decoding: str
    flip: bool
    device: str


def decoding_options(function: Any) -> Any:
    """``--decoding``, ``--flip/--no-flip`` and ``--device``, as ``decoding``."""
    return packed(
        "decoding",
        Decoding,
        click.option(
            "--decoding",
            type=click.Choice(["quarter", "dark", "argmax"]),
            default="quarter",
            show_default=True,
            help="How a map becomes a point.",
        ),
        click.option(
            "--flip/--no-flip", default=True, show_default=True, help="Average with the mirror."
        ),
        option(
            "--device",
            aliases=("--torch-device",),
            type=DEVICE,
            default="cpu",
            show_default=True,
            help="Where to run: cpu, cuda, …",
        ),
    )(function)


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
