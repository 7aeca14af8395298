"""Evaluation and prediction: perfect maps score 1, and every step is checked against plain code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

cv2 = pytest.importorskip("cv2")
pytest.importorskip("pycocotools", reason="needs gadprof[pose]")

from gadprof.pose import crops, keypoints, nms, targets
from gadprof.pose.coco import Person, Split, find_split, load_people
from gadprof.pose.dataset import EvaluationSet, SampleSettings, write_crops
from gadprof.pose.decode import decode
from gadprof.pose.evaluate import Suppression, coco_results, evaluate, score
from gadprof.pose.inference import InferenceSettings, heatmaps, predict_people
from gadprof.pose.oks import oks
from gadprof.pose.pictures import read_picture
from gadprof.pose.synthetic import make_split
from gadprof.pose.weights import weights_bytes

SAMPLES = SampleSettings(128, 96, unbiased=True)

NETWORK = """
from torch import nn

def build():
    return nn.Conv2d(3, 17, 3, 4, 1)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stick-figure folder, a file with a network, and weights of it."""
    path = tmp_path_factory.mktemp("evaluation")
    make_split(path, "val2017", 4, 1)
    (path / "net.py").write_text(NETWORK)
    torch.manual_seed(0)
    settings = {"height": 64, "width": 64, "sigma": None}
    name = f"{path / 'net.py'}:build"
    (path / "weights.pt").write_bytes(weights_bytes(name, nn.Conv2d(3, 17, 3, 4, 1), settings))
    return path


@pytest.fixture(scope="module")
def split(folder: Path) -> Split:
    return find_split(folder, "val2017")


class Oracle(nn.Module):
    """Answers with the persons' own targets, in the order in which they are asked for."""

    def __init__(self, people: tuple[Person, ...], offset: float = 0.0) -> None:
        super().__init__()
        self.people, self.offset, self.next = people, offset, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = []
        for person in self.people[self.next : self.next + len(images)]:
            crop = crops.crop_of_box(person.box, SAMPLES.aspect)
            joints = person.joints.astype(np.float64)
            joints[:, :2] = crops.transform(joints[:, :2], crops.affine(crop, SAMPLES.size))
            joints[:, 0] += self.offset
            maps.append(
                targets.make_targets(joints, SAMPLES.heatmap_size, sigma=1.0, unbiased=True)[0]
            )
        self.next += len(images)
        return torch.from_numpy(np.stack(maps))


def settings(**changes: Any) -> InferenceSettings:
    given = {"decoding": "dark", "flip": False, "batch": 3, **changes}
    return InferenceSettings(SAMPLES, **given)


def test_the_targets_themselves_score_one_and_shifted_ones_do_not(split: Split) -> None:
    people = load_people(split)
    right, results = evaluate(Oracle(people), split, people, settings())
    assert [right.ap, right.ar] == pytest.approx([1.0, 1.0])
    assert len(results) == len(people)
    wrong, _ = evaluate(Oracle(people, offset=12.0), split, people, settings())
    assert wrong.ap < 0.5


def test_points_come_back_in_picture_pixels(split: Split) -> None:
    people = load_people(split)
    found = predict_people(Oracle(people), people, settings())
    for person, points in zip(people, found, strict=True):
        seen = person.joints[:, 2] > 0
        # DARK finds a cell's 1/20; a cell is some pixels of the picture
        assert np.abs(points[seen, :2] - person.joints[seen, :2]).max() < 0.5


def test_the_scores_are_those_of_pycocotools_own_matching(split: Split) -> None:
    """AP over the ten thresholds by hand: one picture, one person, one guess."""
    people = load_people(split)[:1]
    guess = people[0].joints.astype(np.float64)
    guess[:, 0] += 4.0
    content = json.loads(split.annotations.read_text())
    truth = next(a for a in content["annotations"] if a["id"] == people[0].annotation_id)
    likeness = oks(
        np.array(truth["keypoints"]).reshape(17, 3), guess, truth["area"], tuple(truth["bbox"])
    )
    results = [
        {
            "image_id": people[0].image_id,
            "category_id": 1,
            "keypoints": guess.reshape(-1).tolist(),
            "score": 1.0,
        }
    ]
    scores = score(split, results, image_ids=[people[0].image_id])
    thresholds = np.linspace(0.5, 0.95, 10)
    assert 0.5 < likeness < 0.95  # neither all nor none of the thresholds
    assert scores.ap == pytest.approx((likeness >= thresholds).mean())
    assert scores.ap50 == pytest.approx(1.0)


class Sided(nn.Module):
    """Maps that tell which side of the image a cell came from; joint j sees channel j mod 3."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        small = nn.functional.avg_pool2d(images, 4)
        return torch.cat([small[:, j % 3 : j % 3 + 1] * (j + 1) for j in range(17)], dim=1)


@pytest.mark.parametrize("shift", [False, True])
def test_the_flip_test_averages_with_the_mirrored_maps_of_the_other_side(shift: bool) -> None:
    images = torch.randn(2, 3, 128, 96, generator=torch.Generator().manual_seed(0))
    module = Sided()
    got = heatmaps(module, images, settings(flip=True, shift=shift))
    plain, mirrored = module(images).numpy(), module(images.flip(3)).numpy()
    expected = np.empty_like(plain)
    for joint, name in enumerate(keypoints.NAMES):
        other = name
        if "left" in name or "right" in name:
            word, rest = name.split("_")
            other = ("right_" if word == "left" else "left_") + rest
        twin = mirrored[:, keypoints.NAMES.index(other), :, ::-1].copy()
        if shift:  # moved one cell to the right, the first column kept
            twin[..., 1:] = twin[..., :-1].copy()
        expected[:, joint] = (plain[:, joint] + twin) / 2
    assert np.abs(got - expected).max() < 1e-6


def test_dark_s_step_is_newton_s_on_the_logarithm_of_the_smoothed_map() -> None:
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :24]
    centre = np.array([11.3, 14.8])
    plane = np.exp(-((columns - centre[0]) ** 2 + (rows - centre[1]) ** 2) / 8.0)
    plane = (plane + 0.02 * generator.random(plane.shape)).astype(np.float32)
    found, _ = decode(plane[None, None], "dark", sigma=2.0)

    smooth = cv2.GaussianBlur(plane.astype(np.float64), (11, 11), 0, borderType=cv2.BORDER_CONSTANT)
    logs = np.log(smooth * plane.max() / smooth.max())
    y, x = np.unravel_index(plane.argmax(), plane.shape)
    gradient = np.array([logs[y, x + 1] - logs[y, x - 1], logs[y + 1, x] - logs[y - 1, x]]) / 2
    hessian = np.empty((2, 2))
    hessian[0, 0] = (logs[y, x + 2] - 2 * logs[y, x] + logs[y, x - 2]) / 4
    hessian[1, 1] = (logs[y + 2, x] - 2 * logs[y, x] + logs[y - 2, x]) / 4
    hessian[0, 1] = hessian[1, 0] = (
        logs[y + 1, x + 1] - logs[y + 1, x - 1] - logs[y - 1, x + 1] + logs[y - 1, x - 1]
    ) / 4
    expected = np.array([x, y]) - np.linalg.solve(hessian, gradient)
    assert found[0, 0] == pytest.approx(expected, abs=1e-6)
    assert np.abs(found[0, 0] - centre).max() < 0.3


def test_results_are_rescored_and_twins_go(split: Split) -> None:
    person = load_people(split)[0]
    points = np.concatenate([person.joints[:, :2], np.full((17, 1), 0.5)], axis=1)
    points[3, 2] = 0.1  # below the least score: it does not count in the mean
    twin, stranger = points.copy(), points + np.array([150.0, 0, 0])
    twin[:, :2] += 0.2
    boxes = [(person, 0.6), (person, 0.9), (person, 0.3)]
    people = [Person(p.image_id, n, p.path, p.box, p.joints, s) for n, (p, s) in enumerate(boxes)]
    results = coco_results(people, np.stack([twin, points, stranger]), settings(), Suppression())
    assert [item["score"] for item in results] == pytest.approx([0.9 * 0.5, 0.3 * 0.5])
    assert results[0]["keypoints"] == pytest.approx(points.reshape(-1).tolist())
    kept = coco_results(
        people, np.stack([twin, points, stranger]), settings(), Suppression(oks=1.0)
    )
    assert len(kept) == 3


def test_oks_nms_is_the_plain_double_loop() -> None:
    generator = np.random.default_rng(0)
    people = np.concatenate(
        [generator.uniform(0, 30, (12, 17, 2)) * generator.integers(0, 2, (12, 1, 1)),
         np.ones((12, 17, 1))], axis=2,
    )  # fmt: skip
    scores, areas = generator.random(12), generator.uniform(500, 9000, 12)
    variances = (2 * np.array(keypoints.SIGMAS)) ** 2
    kept: list[int] = []
    for number in np.argsort(-scores):
        for better in kept:
            squares = ((people[number, :, :2] - people[better, :, :2]) ** 2).sum(axis=1)
            mean_area = (areas[number] + areas[better]) / 2
            if np.exp(-squares / (2 * variances * mean_area)).mean() > 0.5:
                break
        else:
            kept.append(int(number))
    assert nms.oks_nms(people, scores, areas, threshold=0.5) == kept
    assert 1 < len(kept) < 12


def run_evaluate(run_cli: Any, folder: Path, *more: str) -> tuple[int, str, str]:
    arguments = (f"{folder / 'net.py'}:build", "--weights", str(folder / "weights.pt"))
    code, out, err = run_cli("evaluate", *arguments, "--data", str(folder), *more)
    return int(code), out, err


def test_the_command_scores_annotated_and_detected_boxes_and_leaves_the_data_alone(
    run_cli, folder: Path, tmp_path: Path
) -> None:
    before = {p: hashlib.sha256(p.read_bytes()).digest() for p in folder.rglob("*.*g")}
    annotations = (folder / "annotations" / "person_keypoints_val2017.json").read_bytes()
    results = tmp_path / "results.json"
    code, out, err = run_evaluate(
        run_cli, folder, "--format", "json", "--results", str(results), "--decoding", "dark"
    )
    assert code == 0, err
    payload = json.loads(out)
    assert payload["accuracy"]["boxes"] == "annotated"
    assert payload["accuracy"]["flip_test"] is True
    assert payload["accuracy"]["input"] == [64, 64]  # the weights' own
    assert {item["image_id"] for item in json.loads(results.read_text())} == {1, 2, 3, 4}

    boxes = [
        {"image_id": n, "category_id": 1, "bbox": [9, 9, 99, 99], "score": n / 4} for n in (1, 2, 3)
    ]
    detections = tmp_path / "detections.json"
    detections.write_text(json.dumps(boxes))
    code, out, err = run_evaluate(
        run_cli, folder, "--detections", str(detections), "--threshold", "0.5", "--no-flip",
        "--results", str(results), "--format", "json",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["accuracy"]["boxes"] == "detected (detections.json)"
    assert {item["image_id"] for item in json.loads(results.read_text())} == {2, 3}
    assert before == {p: hashlib.sha256(p.read_bytes()).digest() for p in folder.rglob("*.*g")}
    assert annotations == (folder / "annotations" / "person_keypoints_val2017.json").read_bytes()


@pytest.mark.parametrize("option", ["--results", "--accuracy", "-o"])
def test_nothing_is_written_over_the_data(run_cli, folder: Path, option: str) -> None:
    for target in (
        folder / "annotations" / "person_keypoints_val2017.json",
        folder / "val2017" / "000000000001.png",
        folder / "val2017" / "new.json",
    ):
        before = target.read_bytes() if target.exists() else None
        code, _, err = run_evaluate(run_cli, folder, option, str(target))
        assert code == 2
        drawn = option == "-o" and target.suffix == ".png"
        assert ("is a picture; -o writes" if drawn else "never written to") in err
        assert before == (target.read_bytes() if target.exists() else None)


def test_a_damaged_picture_is_one_line_also_from_a_loader_s_process(
    run_cli, folder: Path, tmp_path: Path
) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    picture = copy / "val2017" / "000000000003.png"
    picture.write_bytes(picture.read_bytes()[:500])
    for workers in ("0", "2"):
        code, _, err = run_evaluate(run_cli, copy, "--workers", workers)
        (line,) = [text for text in err.splitlines() if text.startswith("gadprof:")]
        assert code == 2
        assert line == (
            f"gadprof: picture '{picture}' is a truncated PNG (no end chunk); copy or download it "
            "again"
        )


def test_weights_of_another_network_are_refused_by_name(run_cli, folder: Path) -> None:
    code, _, err = run_cli(
        "evaluate", "gadnet32:width=4", "--weights", str(folder / "weights.pt"),
        "--data", str(folder),
    )  # fmt: skip
    assert code == 2
    assert "net.py:build', not of 'gadnet32:width=4'" in err


def predict(run_cli: Any, folder: Path, *more: str) -> tuple[int, str, str]:
    arguments = (f"{folder / 'net.py'}:build", "--weights", str(folder / "weights.pt"))
    code, out, err = run_cli(
        "predict", *arguments, "--image", str(folder / "val2017" / "000000000002.png"), *more
    )
    return int(code), out, err


def test_predict_draws_skeletons_and_prints_cocos_keypoints(
    run_cli, folder: Path, tmp_path: Path
) -> None:
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps([[10, 10, 100, 150], [120, 60, 90, 150]]))
    drawn = tmp_path / "drawn.png"
    options = ["--boxes", str(boxes), "--draw", str(drawn), "--least-score", "-9"]
    code, out, err = predict(run_cli, folder, *options, "--format", "json")
    assert code == 0, err
    found = json.loads(out)
    assert [item["image_id"] for item in found] == [2, 2]
    assert all(len(item["keypoints"]) == 51 for item in found)
    original = read_picture(folder / "val2017" / "000000000002.png")
    picture = read_picture(drawn)
    assert picture.shape == original.shape
    assert (picture != original).any()
    x, y = (round(value) for value in found[-1]["keypoints"][-3:-1])
    if 0 <= x < 240 and 0 <= y < 240:  # the last joint that is drawn, right ankle, on top
        assert picture[y, x].tolist() == [178, 114, 0]


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([[5, 5, 0, 10]], "has no area"),
        ([[500, 5, 10, 10]], "lies outside the picture, which is 240x240"),
        ([[5, 5, 10]], "is not x, y, width, height"),
        ([], "holds no box for picture 2"),
        ([{"bbox": [1, 2, 3, 4], "score": "high"}], "score 'high' is no number"),
    ],
)
def test_a_box_that_cannot_be_is_refused(
    boxes: Any, words: str, run_cli, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(boxes))
    code, _, err = predict(run_cli, folder, "--boxes", str(path))
    assert code == 2
    assert words in err
    assert len(err.strip().splitlines()) == 1


def test_predict_never_writes_over_what_it_reads(run_cli, folder: Path) -> None:
    picture = folder / "val2017" / "000000000002.png"
    before = picture.read_bytes()
    for option in ("--draw", "-o"):
        code, _, err = predict(run_cli, folder, option, str(picture))
        assert code == 2
        assert ("is a picture; -o writes" if option == "-o" else "name another file") in err
    assert picture.read_bytes() == before


def _deployed(run_cli, folder: Path, *options: str) -> tuple[int, Any]:
    """The exit code and the document of a scoring of the folder's network as files, too."""
    code, out, _ = run_cli(
        "evaluate", f"{folder / 'net.py'}:build", "--weights", str(folder / "weights.pt"),
        "--data", str(folder), "--store", "off", "--format", "json", *options,
    )  # fmt: skip
    return code, json.loads(out)


def test_a_file_of_the_network_scores_what_the_network_scores(run_cli, folder: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    code, document = _deployed(run_cli, folder, "--runtime", "onnxruntime,onnxruntime:int8")
    whole, integers = document["deployed"]
    assert code == 0
    assert whole["version"].startswith("onnxruntime ")
    assert whole["scores"]["ap"] == pytest.approx(document["scores"]["ap"], abs=1e-6)
    assert whole["joints_within_cell"] == 1
    assert (integers["precision"], integers["error"]) == ("int8", None)
    assert 0.5 < integers["joints_within_cell"] <= 1


def test_a_file_that_cannot_be_made_costs_its_own_row(run_cli, folder: Path) -> None:
    pytest.importorskip("onnxruntime")
    code, document = _deployed(run_cli, folder, "--runtime", "onnxruntime", "--timeout", "10ms")
    (row,) = document["deployed"]
    assert (code, row["scores"]) == (1, None)
    assert "answer" in row["error"]
    assert document["scores"]["ap"] >= 0


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--runtime", "eager"), "runs the module itself"),
        (("--runtime", "ncnn:int8"), "ncnn has no int8"),
        (("--runtime", "onnxrutnime"), "onnxruntime"),
        (("--runtime", "onnxruntime", "--calibrate", "nowhere"), "nowhere"),
    ],
)
def test_a_runtime_that_cannot_be_is_refused_before_anything_is_scored(
    run_cli, folder: Path, options: tuple[str, ...], told: str
) -> None:
    code, out, err = run_cli(
        "evaluate", f"{folder / 'net.py'}:build", "--weights", str(folder / "weights.pt"),
        "--data", str(folder), *options,
    )  # fmt: skip
    assert (code, out) == (2, "")
    assert told in err


def test_crops_for_calibration_are_the_persons_own(split: Split, tmp_path: Path) -> None:
    people = load_people(split)
    write_crops(people, SAMPLES, str(tmp_path), 2)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["000.png", "001.png"]
    kept = crops.normalise(read_picture(tmp_path / "000.png"))
    assert np.array_equal(kept, EvaluationSet(people, SAMPLES)[0][0].numpy())
