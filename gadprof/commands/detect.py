"""``gadprof detect``: keypoints in a picture, by a trained network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from gadprof.commands.option_types import Number
from gadprof.commands.options import command, model_argument, option, packed, result_options
from gadprof.commands.pose_options import (
    Decoding,
    check_device,
    decoding_options,
    input_size,
    network_source,
)
from gadprof.commands.show import show
from gadprof.output import Output, check_writable, write_atomic

if TYPE_CHECKING:
    from gadprof.results.page import Page


@dataclass(frozen=True)
class Picture:
    """What is looked at: a picture, the persons in it, and at what size."""

    image: str
    boxes: str | None
    threshold: float
    input_text: str | None


@command(name="detect", example="gadprof detect gadnet32 --weights weights.pt --image photo.jpg")
@model_argument
@packed(
    "picture",
    Picture,
    option("--image", required=True, metavar="FILE", help="The picture."),
    option("--boxes", metavar="FILE", help="Persons' boxes.  [default: the whole picture]"),
    option(
        "--threshold",
        type=Number(-1e9, 1e9),
        default=0.0,
        help="Least score of a box.",
    ),
    option("--input", "input_text", metavar="HxW", help="Crop size.  [default: the weights' own]"),
)
@option("--weights", metavar="FILE", help="The network's trained weights.")
@option("--draw", metavar="PNG", help="Write the picture with skeletons.")
@option("--least-score", type=Number(-1e9, 1e9), default=0.2, help="Least score to draw.")
@decoding_options
@result_options()
def detect(
    model: str,
    picture: Picture,
    weights: str | None,
    draw: str | None,
    least_score: float,
    decoding: Decoding,
    out: Output,
) -> None:
    """Find keypoints in a picture, with MODEL and its trained weights.

    With --format json, or -o FILE.json, the keypoints go out in COCO's results format; with --draw
    the picture with its skeletons.
    """
    if weights is None:
        raise click.UsageError(
            "keypoints need trained weights: give --weights FILE, which 'gadprof train' writes"
        )
    from pathlib import Path

    from gadprof.pose.extra import require

    source = network_source(model)
    require("gadprof detect", "cv2")
    from gadprof.errors import OutputError
    from gadprof.models.sources import build_module
    from gadprof.pose.inference import settings_for
    from gadprof.pose.predict import predict, read_boxes
    from gadprof.pose.weights import load_into, read_weights
    from gadprof.render.progress import Working

    read = {Path(path).resolve() for path in (picture.image, picture.boxes) if path}
    for path in (draw, out.path):
        if path is not None:
            check_writable(path)
            if Path(path).resolve() in read:
                raise OutputError(f"'{path}' is what is read here; name another file to write")
    trained = read_weights(weights)
    device = check_device(decoding.device)
    boxes = (
        read_boxes(picture.boxes, picture.image, threshold=picture.threshold)
        if picture.boxes
        else ()
    )
    module = build_module(source)
    load_into(module, trained, source.name)
    settings = settings_for(
        trained,
        size=input_size(picture.input_text),
        decoding=decoding.decoding,  # type: ignore[arg-type]
        flip=decoding.flip,
        device=device,
    )
    with Working("finding keypoints"):
        found = predict(
            module.to(device), picture.image, settings, boxes=boxes, least_score=least_score
        )
    if draw:
        write_atomic(draw, found.drawn_png)
    if out.form == "json":
        out.emit(found.to_json())  # COCO's own format, a list
    else:
        show(out, _page(found.results))


def _page(results: Sequence[Mapping[str, Any]]) -> Page:
    """One keypoint a row, in pixels of the picture, with the person's number and score."""
    from gadprof.pose.keypoints import NAMES
    from gadprof.results.page import page_of
    from gadprof.results.sentences import counted
    from gadprof.results.table import Column, Table

    columns = (
        Column("person", "person", rank=0),
        Column("person_score", "person's score", "ratio", rank=1),
        Column("keypoint", "keypoint", rank=0),
        Column("x", "x in pixels", "ratio", digits=1, rank=0),
        Column("y", "y in pixels", "ratio", digits=1, rank=0),
        Column("score", "score", "ratio", rank=0),
    )
    rows = tuple(
        (str(number), item["score"], name, *item["keypoints"][3 * index : 3 * index + 3])
        for number, item in enumerate(results, start=1)
        for index, name in enumerate(NAMES)
    )
    words = f"Keypoints of {counted(len(results), 'person')}."
    return page_of(Table("keypoints", "", columns, rows), document={}, name="detect", words=words)
