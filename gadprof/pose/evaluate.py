"""AP and AR of predicted persons on COCO keypoints, by pycocotools.

Promises the ten official figures; predictions are rescored and thinned by OKS-NMS first, one
picture at a time. The annotation file is only read.
"""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from gadprof.pose import crops, nms
from gadprof.pose.coco import Person, Split
from gadprof.pose.inference import InferenceSettings, predict_people


@dataclass(frozen=True)
class Scores:
    """COCO's figures for keypoints, 0 to 1; -1 where no annotated person is of that size."""

    ap: float
    ap50: float
    ap75: float
    apm: float
    apl: float
    ar: float
    ar50: float
    ar75: float
    arm: float
    arl: float


@dataclass(frozen=True)
class Suppression:
    """The thresholds of rescoring and OKS-NMS; ``oks`` of 1 keeps every prediction."""

    visible: float = nms.VISIBLE_SCORE
    oks: float = nms.OKS_THRESHOLD


def evaluate(
    module: nn.Module,
    split: Split,
    people: Sequence[Person],
    settings: InferenceSettings,
    *,
    image_ids: Sequence[int] | None = None,
    suppression: Suppression | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Scores, list[dict[str, Any]]]:
    """Predict every person's box and score the result; also the results in COCO's format.

    ``image_ids`` limits the pictures that count; None means all of the annotation file. Raises
    DataError.
    """
    points = predict_people(module, people, settings, progress=progress)
    results = coco_results(people, points, settings, suppression or Suppression())
    return score(split, results, image_ids=image_ids), results


def coco_results(
    people: Sequence[Person],
    points: NDArray[np.floating],
    settings: InferenceSettings,
    suppression: Suppression,
) -> list[dict[str, Any]]:
    """Predictions (N x 17 x 3) in COCO's results format, rescored and without near-duplicates.

    A person's area for OKS-NMS is its padded crop's, as in HRNet.
    """
    by_image: dict[int, list[int]] = defaultdict(list)
    for number, person in enumerate(people):
        by_image[person.image_id].append(number)
    results: list[dict[str, Any]] = []
    for image_id, numbers in by_image.items():
        crops_ = [crops.crop_of_box(people[n].box, settings.samples.aspect) for n in numbers]
        scores = [
            nms.rescore(points[n, :, 2], people[n].score, visible=suppression.visible)
            for n in numbers
        ]
        kept = nms.oks_nms(
            points[numbers],
            scores,
            [crop.width * crop.height for crop in crops_],
            threshold=suppression.oks,
        )
        results.extend(
            {
                "image_id": image_id,
                "category_id": 1,
                "keypoints": [float(value) for value in points[numbers[row]].reshape(-1)],
                "score": scores[row],
            }
            for row in kept
        )
    return results


def score(
    split: Split, results: list[dict[str, Any]], *, image_ids: Sequence[int] | None = None
) -> Scores:
    """COCO's figures of results in COCO's format. pycocotools' printing is kept quiet."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    if not results:
        return Scores(*(0.0,) * 10)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(split.annotations))
        # loadRes needs these keys, which small sets may lack
        truth.dataset.setdefault("info", {})
        truth.dataset.setdefault("licenses", [])
        run = COCOeval(truth, truth.loadRes(results), "keypoints")
        if image_ids is not None:
            run.params.imgIds = sorted(image_ids)
        run.params.catIds = [1]
        run.evaluate()
        run.accumulate()
        run.summarize()
    return Scores(*(float(value) for value in run.stats))
