"""``gadprof evaluate``: AP and AR of a trained network on COCO keypoints."""

from __future__ import annotations

import sys
from typing import Any

import click

from gadprof.commands.options import format_option, output_option, store_option
from gadprof.commands.pose_options import (
    check_device,
    data_options,
    decoding_options,
    input_size,
    network_source,
)


@click.command()
@click.argument("model")
@click.option("--weights", required=True, metavar="FILE", help="weights.pt, a checkpoint or .pth.")
@data_options("val2017")
@click.option("--detections", metavar="FILE", help="Detected boxes, as in the literature.")
@click.option("--threshold", default=0.0, show_default=True, help="Least score of a detection.")
@click.option("--input", "input_text", metavar="HxW", help="Crop size.  [the weights' own]")
@decoding_options
@click.option("--batch", type=click.IntRange(min=1), default=32, show_default=True)
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True,
              help="Loader processes.")  # fmt: skip
@click.option("--oks-nms", type=click.FloatRange(0, 1), default=0.9, show_default=True,
              help="OKS above which a twin goes.")  # fmt: skip
@click.option("--results", metavar="FILE", help="Write predictions in COCO's results format.")
@click.option("--accuracy", metavar="FILE", help="Add the figures to a file for compare.")
@format_option("table", "json")
@output_option
@store_option
def evaluate(model: str, **options: Any) -> None:
    """Score MODEL with trained weights by pycocotools.

    Boxes are the annotated ones unless --detections names a file. Predictions are rescored and
    thinned by OKS-NMS first.
    """
    from gadprof.pose.extra import require

    source = network_source(model)
    require("gadprof evaluate", "cv2", "pycocotools")
    from gadprof.models.sources import build_module
    from gadprof.output import check_writable, emit, write_atomic
    from gadprof.pose import accuracy as accuracies
    from gadprof.pose.coco import find_split, load_people, spare
    from gadprof.pose.detections import load_detections
    from gadprof.pose.evaluate import Suppression
    from gadprof.pose.evaluate import evaluate as run_evaluation
    from gadprof.pose.inference import settings_for
    from gadprof.pose.pages import score_page
    from gadprof.pose.weights import load_into, read_weights
    from gadprof.render.tables import render
    from gadprof.results.plain import describe_machine
    from gadprof.store.recording import record_accuracies

    for path in (options["results"], options["accuracy"], options["output"]):
        if path is not None:
            check_writable(path)
    split = find_split(
        options["data"],
        options["split"],
        annotations=options["annotations"],
        images=options["images"],
    )
    spare(split, options["results"], options["accuracy"], options["output"])
    weights = read_weights(options["weights"])
    device = check_device(options["torch_device"])
    notes: list[str] = []
    people = load_people(split, skip_bad=options["skip_bad"], notes=notes)
    pictures = len({person.image_id for person in people})
    boxes = "annotated"
    if options["detections"]:
        boxes = f"detected ({options['detections'].rsplit('/', 1)[-1]})"
        people = load_detections(
            options["detections"],
            split,
            threshold=options["threshold"],
            skip_bad=options["skip_bad"],
            notes=notes,
        )
    module = build_module(source)
    load_into(module, weights, source.name)
    settings = settings_for(
        weights,
        size=input_size(options["input_text"]),
        decoding=options["decoding"],
        flip=options["flip"],
        batch=options["batch"],
        workers=options["workers"],
        device=device,
    )
    for note in notes:
        click.echo(note, err=True)

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done}/{total} persons", err=True, nl=done == total)

    scores, results = run_evaluation(
        module.to(device),
        split,
        people,
        settings,
        suppression=Suppression(oks=options["oks_nms"]),
        progress=progress,
    )
    machine = describe_machine()
    measured = accuracies.Accuracy(
        model=source.name,
        data=split.annotations.name,
        pictures=pictures,
        persons=len(people),
        input=(settings.samples.height, settings.samples.width),
        boxes=boxes,
        decoding=settings.decoding,
        flip_test=settings.flip,
        ap=scores.ap,
        ap50=scores.ap50,
        ap75=scores.ap75,
        apm=scores.apm,
        apl=scores.apl,
        ar=scores.ar,
        weights_sha256=weights.sha256,
        machine=f"{machine.cpu}, {machine.cores} cores",
    )
    record_accuracies([measured], store=options["store"])
    if options["results"]:
        import json

        write_atomic(options["results"], json.dumps(results) + "\n")
    if options["accuracy"]:
        write_atomic(options["accuracy"], accuracies.add_accuracy(options["accuracy"], measured))
    page = score_page(measured, scores, machine)
    emit(render(page, options["output_format"]), options["output"])
