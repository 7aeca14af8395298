"""``gadprof evaluate``: AP and AR of a trained network on COCO keypoints."""

from __future__ import annotations

from dataclasses import dataclass

import click

from gadprof.commands.option_types import Count, Number
from gadprof.commands.options import command, model_argument, packed, result_options, store_option
from gadprof.commands.pose_options import (
    Data,
    Decoding,
    check_device,
    data_options,
    decoding_options,
    input_size,
    network_source,
)
from gadprof.commands.show import show
from gadprof.output import Output, check_writable, tell, write_atomic


@dataclass(frozen=True)
class Boxes:
    """Whose boxes are used, and which of their twins go."""

    detections: str | None
    threshold: float
    oks_nms: float


@dataclass(frozen=True)
class Loading:
    """How the crops reach the network."""

    input_text: str | None
    batch: int
    workers: int


@dataclass(frozen=True)
class Files:
    """Files that are written beside the scores."""

    results: str | None
    accuracy: str | None


@command(name="evaluate", example="gadprof evaluate gadnet32 --weights weights.pt --data coco")
@model_argument
@click.option("--weights", required=True, metavar="FILE", help="weights.pt, a checkpoint or .pth.")
@data_options("val2017")
@packed(
    "boxes",
    Boxes,
    click.option("--detections", metavar="FILE", help="Detected boxes, as in the literature."),
    click.option(
        "--threshold",
        type=Number(-1e9, 1e9),
        default=0.0,
        show_default=True,
        help="Least score of a detection.",
    ),
    click.option(
        "--oks-nms",
        type=Number(0, 1),
        default=0.9,
        show_default=True,
        help="OKS above which a twin goes.",
    ),
)
@packed(
    "loading",
    Loading,
    click.option("--input", "input_text", metavar="HxW", help="Crop size.  [the weights' own]"),
    click.option(
        "--batch", type=Count(1, 65536), default=32, show_default=True, help="Crops a step."
    ),
    click.option(
        "--workers", type=Count(0, 256), default=0, show_default=True, help="Loader processes."
    ),
)
@decoding_options
@packed(
    "files",
    Files,
    click.option("--results", metavar="FILE", help="Write predictions in COCO's results format."),
    click.option("--accuracy", metavar="FILE", help="Add the figures to a file for compare."),
)
@result_options()
@store_option
def evaluate(
    model: str,
    weights: str,
    data: Data,
    boxes: Boxes,
    loading: Loading,
    decoding: Decoding,
    files: Files,
    out: Output,
    store: str | None,
) -> None:
    """Score MODEL with trained weights by pycocotools.

    Boxes are the annotated ones unless --detections names a file. Predictions are rescored and
    thinned by OKS-NMS first.
    """
    from gadprof.pose.extra import require

    source = network_source(model)
    require("gadprof evaluate", "cv2", "pycocotools")
    from gadprof.models.sources import build_module
    from gadprof.pose import accuracy as accuracies
    from gadprof.pose.coco import find_split, load_people, spare
    from gadprof.pose.detections import load_detections
    from gadprof.pose.evaluate import Suppression
    from gadprof.pose.evaluate import evaluate as run_evaluation
    from gadprof.pose.inference import settings_for
    from gadprof.pose.pages import score_page
    from gadprof.pose.weights import load_into, read_weights
    from gadprof.render.progress import Working
    from gadprof.results.plain import describe_machine
    from gadprof.store.recording import record_accuracies

    for path in (files.results, files.accuracy):
        if path is not None:
            check_writable(path)
    split = find_split(data.data, data.split, annotations=data.annotations, images=data.images)
    spare(split, files.results, files.accuracy, out.path)
    trained = read_weights(weights)
    device = check_device(decoding.device)
    notes: list[str] = []
    people = load_people(split, skip_bad=data.skip_bad, notes=notes)
    pictures = len({person.image_id for person in people})
    named = "annotated"
    if boxes.detections:
        named = f"detected ({boxes.detections.rsplit('/', 1)[-1]})"
        people = load_detections(
            boxes.detections,
            split,
            threshold=boxes.threshold,
            skip_bad=data.skip_bad,
            notes=notes,
        )
    module = build_module(source)
    load_into(module, trained, source.name)
    settings = settings_for(
        trained,
        size=input_size(loading.input_text),
        decoding=decoding.decoding,  # type: ignore[arg-type]
        flip=decoding.flip,
        batch=loading.batch,
        workers=loading.workers,
        device=device,
    )
    for note in notes:
        tell(note)
    with Working("persons", len(people)) as work:
        scores, results = run_evaluation(
            module.to(device),
            split,
            people,
            settings,
            suppression=Suppression(oks=boxes.oks_nms),
            progress=work.count,
        )
    machine = describe_machine()
    measured = accuracies.Accuracy(
        model=source.name,
        data=split.annotations.name,
        pictures=pictures,
        persons=len(people),
        input=(settings.samples.height, settings.samples.width),
        boxes=named,
        decoding=settings.decoding,
        flip_test=settings.flip,
        ap=scores.ap,
        ap50=scores.ap50,
        ap75=scores.ap75,
        apm=scores.apm,
        apl=scores.apl,
        ar=scores.ar,
        weights_sha256=trained.sha256,
        machine=f"{machine.cpu}, {machine.cores} cores",
    )
    record_accuracies([measured], store=store)
    if files.results:
        import json

        write_atomic(files.results, json.dumps(results) + "\n")
    if files.accuracy:
        write_atomic(files.accuracy, accuracies.add_accuracy(files.accuracy, measured))
    show(out, score_page(measured, scores, machine))
