"""``gadprof evaluate``: AP and AR of a trained network on COCO keypoints."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from gadprof.commands.option_types import Count, Number
from gadprof.commands.options import (
    command,
    model_argument,
    packed,
    result_options,
    store_option,
    timeout_option,
)
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
from gadprof.errors import GadprofError, SettingError
from gadprof.output import Output, check_writable, tell, write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from gadprof.measuring.settings import Setting
    from gadprof.pose.coco import Person
    from gadprof.pose.dataset import SampleSettings
    from gadprof.pose.evaluate import Scores
    from gadprof.pose.pages import DeployedScores


@dataclass(frozen=True)
class Boxes:
    """Whose boxes are used, and which of their twins go."""

    detections: str | None
    threshold: float
    oks_nms: float


@dataclass(frozen=True)
class Loading:
    """Which weights the network has, and how the crops reach it."""

    weights: str
    input_text: str | None
    batch: int
    workers: int


@dataclass(frozen=True)
class Files:
    """Files that are written beside the scores."""

    results: str | None
    accuracy: str | None


@dataclass(frozen=True)
class Deployment:
    """As which runtimes' files the network is scored too, and how these are made."""

    runtimes: str | None
    calibration: str
    timeout: float


def asked_runtimes(text: str | None) -> tuple[Setting, ...]:
    """The settings that ``--runtime`` names. Raises SettingError, UnknownNameError, DataError."""
    from gadprof.measuring.settings import check_setting, read_runtime

    found = tuple(check_setting(read_runtime(part)) for part in text.split(",")) if text else ()
    for setting in found:
        if not setting.is_file:
            raise SettingError(
                f"{setting.runtime} runs the module itself; name a runtime with a file of its own, "
                "for example onnxruntime:int8"
            )
    return found


def score_files(
    module: nn.Module,
    model: str,
    runtimes: Sequence[Setting],
    deployment: Deployment,
    people: Sequence[Person],
    samples: SampleSettings,
    scored: Callable[[nn.Module, str, str], tuple[Scores, Any]],
) -> list[DeployedScores]:
    """What the files of the runtimes score; ``scored`` is told a network, of what, and where."""
    from gadprof.measuring.deployed import deploy
    from gadprof.measuring.runtimes.calibration import PICTURES
    from gadprof.pose.dataset import write_crops
    from gadprof.pose.pages import DeployedScores
    from gadprof.render.progress import Working
    from gadprof.workers.folders import private_folder

    found = []
    with private_folder("gadprof-evaluate-") as folder:
        if runtimes and not deployment.calibration:
            os.makedirs(f"{folder}/crops")
            write_crops(people, samples, f"{folder}/crops", PICTURES)
        for number, asked in enumerate(runtimes):
            setting = replace(
                asked,
                input_shapes=((3, samples.height, samples.width),),
                calibration=deployment.calibration or f"{folder}/crops",
            )
            one = DeployedScores(setting.runtime, setting.dtype)
            try:
                with Working(f"making the file of {one.name}"):
                    file = deploy(
                        module.cpu(), model, setting, f"{folder}/{number}", deployment.timeout
                    )
                scores, _ = scored(file, f"persons as {one.name}", "cpu")
                found.append(
                    replace(
                        one,
                        version=file.version,
                        scores=scores,
                        joints_within_cell=file.joints_within_cell,
                    )
                )
            except GadprofError as error:
                found.append(replace(one, error=str(error)))
    return found


@command(name="evaluate", example="gadprof evaluate gadnet32 --weights weights.pt --data coco")
@model_argument
@packed(
    "loading",
    Loading,
    click.option(
        "--weights", required=True, metavar="FILE", help="weights.pt, a checkpoint or .pth."
    ),
    click.option("--input", "input_text", metavar="HxW", help="Crop size.  [the weights' own]"),
    click.option(
        "--batch", type=Count(1, 65536), default=32, show_default=True, help="Crops a step."
    ),
    click.option(
        "--workers", type=Count(0, 256), default=0, show_default=True, help="Loader processes."
    ),
)
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
@decoding_options
@packed(
    "deployment",
    Deployment,
    click.option(
        "--runtime",
        "runtimes",
        metavar="NAME[:PRECISION],…",
        help="Score these runtimes' files of it, too: onnxruntime:int8,openvino.",
    ),
    click.option(
        "--calibrate",
        "calibration",
        default="",
        metavar="FOLDER",
        help="Pictures to calibrate integers on.  [default: crops of the first persons]",
    ),
    timeout_option("How long to wait for a converter."),
)
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
    loading: Loading,
    data: Data,
    boxes: Boxes,
    decoding: Decoding,
    deployment: Deployment,
    files: Files,
    out: Output,
    store: str | None,
) -> int:
    """Score MODEL with trained weights by pycocotools.

    Boxes are the annotated ones unless --detections names a file. Predictions are rescored and
    thinned by OKS-NMS first. A runtime's file that cannot be made or scored costs its own row, and
    exits with 1.
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
    runtimes = asked_runtimes(deployment.runtimes)
    if deployment.calibration:
        from gadprof.measuring.runtimes.calibration import find_pictures

        find_pictures(deployment.calibration)
    split = find_split(data.data, data.split, annotations=data.annotations, images=data.images)
    spare(split, files.results, files.accuracy, out.path)
    trained = read_weights(loading.weights)
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

    def scored(network: nn.Module, of: str, where: str) -> tuple[Scores, list[dict[str, Any]]]:
        with Working(of, len(people)) as work:
            return run_evaluation(
                network.to(where),
                split,
                people,
                replace(settings, device=where),
                suppression=Suppression(oks=boxes.oks_nms),
                progress=work.count,
            )

    scores, results = scored(module, "persons", device)
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
    deployed = score_files(
        module, source.name, runtimes, deployment, people, settings.samples, scored
    )
    show(out, score_page(measured, scores, machine, deployed))
    return int(any(item.error for item in deployed))
