"""The inputs that integers are calibrated on: pictures of a folder, or synthetic ones.

Promises: the first sample is the very input that is measured; the others are pictures, scaled to
its height and width and normalised as ImageNet networks expect, or numbers drawn as it was drawn.
Refuses a folder without pictures and a model that takes no picture.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gadprof.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
# how many inputs are drawn where no pictures are given, and how many pictures are read: ranges that
# eight crops gave cut off what the next four had, 7 points of AP of a trained HRNet-W32
DRAWN, PICTURES = 8, 32
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def sample_inputs(
    args: tuple[Any, ...], kwargs: dict[str, Any], setting: Setting, count: int = DRAWN
) -> tuple[tuple[Any, ...], ...]:
    """The samples, each the arrays of all inputs in order.

    Of a folder the first ``PICTURES`` by name, else ``count`` of which all but the first are
    drawn. Raises DataError, MissingExtraError.
    """
    values = [value.detach().cpu() for value in (*args, *kwargs.values())]
    first = tuple(value.numpy() for value in values)
    if setting.dtype == "fp32":
        return (first,)
    if setting.calibration:
        pictures = find_pictures(setting.calibration)
        if len(first) != 1 or first[0].ndim != 4 or first[0].shape[1] != 3:
            raise DataError(
                f"{setting.calibration}: pictures calibrate a model of one picture, and this one "
                "takes other inputs; leave --calibrate out"
            )
        read = [read_picture(path, first[0].shape) for path in pictures[:PICTURES]]
        return tuple((picture,) for picture in read)
    return (first, *(_drawn(values, seed, setting) for seed in range(1, count)))


def _drawn(values: list[Any], number: int, setting: Setting) -> tuple[Any, ...]:
    """One more sample: numbers of each input's own kind; what is not floating stays."""
    import torch

    generator = torch.Generator().manual_seed(setting.seed * 1000 + number)
    return tuple(
        torch.randn(value.shape, generator=generator).to(value.dtype).numpy()
        if value.is_floating_point()
        else value.numpy()
        for value in values
    )


def find_pictures(folder: str) -> list[str]:
    """The pictures of a folder, by name. Raises DataError."""
    if not os.path.isdir(folder):
        raise DataError(f"calibration folder {folder!r} does not exist; name a folder of pictures")
    names = sorted(n for n in os.listdir(folder) if n.lower().endswith(SUFFIXES))
    if not names:
        raise DataError(
            f"calibration folder {folder!r} holds no picture ({', '.join(SUFFIXES)}); "
            "name another, or leave --calibrate out for synthetic inputs"
        )
    return [os.path.join(folder, name) for name in names]


def read_picture(path: str, shape: tuple[int, ...]) -> Any:
    """A picture as a normalised array of ``shape`` (batch, 3, height, width).

    Raises DataError, MissingExtraError.
    """
    import numpy

    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("pillow", "edge", "reading calibration pictures") from error
    batch, _, height, width = shape
    try:
        with Image.open(path) as picture:
            small = picture.convert("RGB").resize((width, height))
    except Exception as error:  # a decoder, or what extends it, raises what it likes
        raise DataError(f"{path}: not a picture that can be read ({error})") from error
    values = numpy.asarray(small, dtype="f4") / 255
    values = (values - numpy.array(MEAN, "f4")) / numpy.array(DEVIATION, "f4")
    return numpy.ascontiguousarray(numpy.repeat(values.transpose(2, 0, 1)[None], batch, axis=0))
