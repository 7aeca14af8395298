"""``gadprof predict``: latency on a device (--device), or keypoints in a picture (--image)."""

from __future__ import annotations

from typing import Any

import click

from gadprof.commands.options import format_option, input_option, output_option


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--device", metavar="NAME", help="Latency: the device to predict for.")
@click.option(
    "--coefficients", metavar="FILE", help="Latency: a file that 'gadprof calibrate' wrote."
)
@click.option("--batch", type=click.IntRange(min=1), help="Latency: batch size.")
@click.option("--dtype", help="Latency: number format, for example amp or float32.")
@click.option("--layout", help="Latency: memory layout, nchw or nhwc.")
@click.option("--image", metavar="FILE", help="Keypoints: the picture.")
@click.option("--weights", metavar="FILE", help="Keypoints: the network's trained weights.")
@click.option("--boxes", metavar="FILE", help="Keypoints: persons' boxes.  [whole picture]")
@click.option("--threshold", type=float, default=0.0, help="Keypoints: least score of a box.")
@click.option("--draw", metavar="PNG", help="Keypoints: write the picture with skeletons.")
@click.option("--least-score", type=float, default=0.2, help="Keypoints: least score to draw.")
@click.option(
    "--decoding",
    type=click.Choice(["quarter", "dark", "argmax"]),
    default="quarter",
    help="Keypoints: how a map becomes a point.",
)
@click.option("--flip/--no-flip", default=True, help="Keypoints: average with the mirror.")
@click.option("--torch-device", default="cpu", help="Keypoints: where to run.")
@input_option
@format_option("table", "json")
@output_option
def predict(models: tuple[str, ...], **options: Any) -> int:
    """Predict MODEL's latency on a device, or find keypoints in a picture.

    With --device NAME: the time of a forward pass on that device, with an interval. With --image
    FILE and --weights FILE: COCO-format keypoints as JSON, and with --draw the picture with its
    skeletons.
    """
    latency = options["device"] is not None or options["coefficients"] is not None
    if latency == (options["image"] is not None):
        raise click.UsageError(
            "give --device NAME for latency, or --image FILE with --weights FILE for keypoints"
        )
    if latency:
        from gadprof.commands.predict_latency import run

        return int(run(models, **options) or 0)
    _keypoints(models, options)
    return 0


def _keypoints(models: tuple[str, ...], options: dict[str, Any]) -> None:
    if len(models) != 1:
        raise click.UsageError(f"keypoints need one model, not {len(models)}")
    if options["weights"] is None:
        raise click.UsageError(
            "keypoints need trained weights: give --weights FILE, which 'gadprof train' writes"
        )
    from pathlib import Path

    from gadprof.commands.pose_options import check_device, input_size, network_source
    from gadprof.pose.extra import require

    source = network_source(models[0])
    require("gadprof predict --image", "cv2")
    from gadprof.errors import OutputError
    from gadprof.models.sources import build_module
    from gadprof.output import check_writable, emit, write_atomic
    from gadprof.pose.inference import settings_for
    from gadprof.pose.predict import predict as find_keypoints
    from gadprof.pose.predict import read_boxes
    from gadprof.pose.weights import load_into, read_weights

    for path in (options["draw"], options["output"]):
        if path is not None:
            check_writable(path)
            if Path(path).resolve() in {
                Path(options[name]).resolve() for name in ("image", "boxes") if options[name]
            }:
                raise OutputError(f"'{path}' is what is read here; name another file to write")
    texts = options["input_texts"]
    weights = read_weights(options["weights"])
    device = check_device(options["torch_device"])
    boxes = (
        read_boxes(options["boxes"], options["image"], threshold=options["threshold"])
        if options["boxes"]
        else ()
    )
    module = build_module(source)
    load_into(module, weights, source.name)
    settings = settings_for(
        weights,
        size=input_size(texts[0] if texts else None),
        decoding=options["decoding"],
        flip=options["flip"],
        device=device,
    )
    found = find_keypoints(
        module.to(device),
        options["image"],
        settings,
        boxes=boxes,
        least_score=options["least_score"],
    )
    if options["draw"]:
        write_atomic(options["draw"], found.drawn_png)
    emit(found.to_json(), options["output"])
