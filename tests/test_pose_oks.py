"""OKS equals pycocotools' own, on random persons and on the edge cases; OKS-NMS keeps the best."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pycocotools")

from gadprof.pose import nms
from gadprof.pose.oks import oks, similarities


def reference(truths: list[dict[str, Any]], detections: list[dict[str, Any]]) -> np.ndarray:
    """pycocotools' matrix of detections by truths, detections in score order."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": 1, "width": 640, "height": 480}],
            "categories": [{"id": 1, "name": "person"}],
            "annotations": truths,
        }
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(detections), "keypoints")
        run._prepare()
        return np.array(run.computeOks(1, 1))


def person(generator: np.random.Generator, number: int, **changes: Any) -> dict[str, Any]:
    joints = np.zeros((17, 3))
    joints[:, :2] = generator.uniform(0, 400, (17, 2))
    joints[:, 2] = generator.integers(0, 3, 17)
    x, y, w, h = *generator.uniform(0, 200, 2), *generator.uniform(1, 300, 2)
    truth = {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": joints.reshape(-1).tolist(),
        "num_keypoints": int((joints[:, 2] > 0).sum()),
        "bbox": [x, y, w, h],
        "area": float(w * h * generator.uniform(0.2, 1)),
    }
    return {**truth, **changes}


def unlabelled(generator: np.random.Generator) -> list[float]:
    joints = np.concatenate([generator.uniform(0, 400, (17, 2)), np.zeros((17, 1))], axis=1)
    return joints.reshape(-1).tolist()


EDGE_CASES: dict[str, dict[str, Any]] = {
    "ordinary": {},
    "zero area": {"area": 0.0},
    "crowd": {"iscrowd": 1},
    "crowd without labels": {"iscrowd": 1, "num_keypoints": 0},
    "no labelled keypoint": {"num_keypoints": 0},
    "box of zero size": {"num_keypoints": 0, "bbox": [100.0, 100.0, 0.0, 0.0]},
}


@pytest.mark.parametrize("case", EDGE_CASES)
@pytest.mark.parametrize("seed", range(6))
def test_oks_is_pycocotools_oks(case: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    changes = dict(EDGE_CASES[case])
    if changes.get("num_keypoints") == 0:
        changes["keypoints"] = unlabelled(generator)
    truth = person(generator, 1, **changes)
    spread = 10.0 ** generator.uniform(-1, 2)
    guess = np.array(truth["keypoints"]).reshape(17, 3)
    guess[:, :2] += generator.normal(0, spread, (17, 2))
    detections = [
        {"image_id": 1, "category_id": 1, "keypoints": k.reshape(-1).tolist(), "score": s}
        for k, s in ((guess, 0.9), (guess + 5.0, 0.5), (np.array(guess[::-1]), 0.1))
    ]
    expected = reference([truth], detections)
    ours = [
        oks(
            np.array(truth["keypoints"]).reshape(17, 3),
            np.array(item["keypoints"]).reshape(17, 3),
            truth["area"],
            tuple(truth["bbox"]),
        )
        for item in detections
    ]
    assert np.abs(expected[:, 0] - ours).max() <= 1e-9
    if case == "ordinary":
        assert 0 < max(ours) < 1


def test_a_perfect_prediction_has_oks_one() -> None:
    joints = np.concatenate([np.arange(34.0).reshape(17, 2), np.full((17, 1), 2.0)], axis=1)
    assert oks(joints, joints, 1000.0, (0, 0, 10, 10)) == 1.0


def test_hidden_keypoints_do_not_count() -> None:
    joints = np.concatenate([np.arange(34.0).reshape(17, 2), np.full((17, 1), 2.0)], axis=1)
    joints[3, 2] = 0
    guess = joints.copy()
    guess[3, :2] += 1000
    assert oks(joints, guess, 1000.0, (0, 0, 10, 10)) == 1.0


def test_nms_removes_the_worse_of_two_twins_and_keeps_the_stranger() -> None:
    generator = np.random.default_rng(0)
    first = np.concatenate([generator.uniform(0, 100, (17, 2)), np.ones((17, 1))], axis=1)
    stranger = first + np.array([300.0, 0, 0])
    people = np.stack([first + np.array([0.1, 0, 0]), stranger, first])
    assert nms.oks_nms(people, [0.5, 0.4, 0.9], [1e4] * 3) == [2, 1]
    assert nms.oks_nms(people, [0.5, 0.4, 0.9], [1e4] * 3, threshold=1.0) == [2, 0, 1]


def test_similarities_are_symmetric() -> None:
    generator = np.random.default_rng(1)
    people = generator.uniform(0, 50, (2, 17, 3))
    one = similarities(people[0], people[1:], 900.0, np.array([400.0]))
    two = similarities(people[1], people[:1], 400.0, np.array([900.0]))
    assert one == pytest.approx(two)


def test_rescoring_takes_the_mean_of_the_joints_that_show() -> None:
    assert nms.rescore(np.array([0.1, 0.4, 0.8]), 0.5) == pytest.approx(0.3)
    assert nms.rescore(np.array([0.1, 0.1]), 0.5) == 0.0
