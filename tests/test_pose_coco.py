"""COCO files: what is read, and one clear refusal for everything that is wrong in them."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from gadprof.errors import DataError
from gadprof.pose import coco, pictures
from gadprof.pose.detections import load_detections
from gadprof.pose.synthetic import make_split

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stick-figure folder in COCO's layout."""
    path = tmp_path_factory.mktemp("coco")
    make_split(path, "val2017", 3, 1)
    return path


def changed(folder: Path, tmp_path: Path, change: Change) -> coco.Split:
    """The folder's split with an annotation file that was changed."""
    original = folder / "annotations" / "person_keypoints_val2017.json"
    content = copy.deepcopy(json.loads(original.read_text()))
    change(content)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(content))
    return coco.find_split(None, "val2017", annotations=path, images=folder / "val2017")


def test_the_official_layout_is_found_and_read(folder: Path) -> None:
    people = coco.load_people(coco.find_split(folder, "val2017"))
    assert [person.image_id for person in people] == [1, 2, 3]
    assert people[0].joints.shape == (17, 3)
    assert people[0].path.is_file()


def test_crowds_and_unlabelled_persons_are_left_out(folder: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["iscrowd"] = 1
        content["annotations"][1]["keypoints"] = [0] * 51

    assert [p.annotation_id for p in coco.load_people(changed(folder, tmp_path, change))] == [3]


REFUSALS: dict[str, tuple[Change, str]] = {
    "no keypoints": (lambda c: c["annotations"][1].pop("keypoints"), "annotation 2 .*no keypoints"),
    "too few values": (
        lambda c: c["annotations"][0].update(keypoints=[1, 2, 2]),
        "annotation 1 has 3 keypoint values",
    ),
    "zero width": (
        lambda c: c["annotations"][0].update(bbox=[5, 5, 0, 9]),
        r"annotation 1 .*\[5, 5, 0, 9\] has no area",
    ),
    "negative height": (lambda c: c["annotations"][0].update(bbox=[5, 5, 4, -9]), "has no area"),
    "outside": (
        lambda c: c["annotations"][0].update(bbox=[500, 5, 9, 9]),
        "outside the picture, which is 240x240",
    ),
    "three numbers": (lambda c: c["annotations"][0].update(bbox=[5, 5, 9]), "is not x, y, width"),
    "not finite": (
        lambda c: c["annotations"][0].update(bbox=[5, 5, float("nan"), 9]),
        "is not finite",
    ),
    "keypoint not finite": (
        lambda c: c["annotations"][0]["keypoints"].__setitem__(0, float("inf")),
        "keypoints that are not finite",
    ),
    "picture missing": (
        lambda c: c["images"][0].update(file_name="absent.jpg"),
        "absent.jpg' of annotation 1 is missing",
    ),
    "picture not listed": (
        lambda c: c["annotations"][0].update(image_id=99),
        "annotation 1 names picture 99",
    ),
    "no person": (lambda c: c.update(annotations=[]), "holds no person"),
    "not COCO": (lambda c: c.pop("images"), "not in COCO's format"),
    "a number of pictures": (lambda c: c.update(images=4), "images is no list"),
    "no picture number": (
        lambda c: c["annotations"][1].pop("image_id"),
        "entry 1 of annotations lacks image_id",
    ),
    "no number": (lambda c: c["annotations"][0].update(id=None), "annotations lacks id"),
    "no width": (lambda c: c["images"][2].pop("width"), "entry 2 of images lacks width"),
    "no file name": (lambda c: c["images"][0].pop("file_name"), "images lacks file_name"),
    "numbers for annotations": (lambda c: c.update(annotations=[1]), "lacks id, image_id"),
    "keypoints of lists": (
        lambda c: c["annotations"][0].update(keypoints=[[2]] * 51),
        "keypoints that are not numbers",
    ),
    "keypoints of lists of several lengths": (
        lambda c: c["annotations"][0].update(keypoints=[[2], [2, 2], *[2] * 49]),
        "keypoints that are not numbers",
    ),
    "keypoints of text": (
        lambda c: c["annotations"][0].update(keypoints=["2"] * 51),
        "keypoints that are not numbers",
    ),
    "keypoint too large": (
        lambda c: c["annotations"][0]["keypoints"].__setitem__(0, 1e300),
        "keypoints that are not finite",
    ),
    "a box too large": (
        lambda c: c["annotations"][0].update(bbox=[0, 0, 1e300, 9]),
        "is larger than any picture",
    ),
    "a box of a long number": (
        lambda c: c["annotations"][0].update(bbox=[0, 0, 10**400, 9]),
        "is not x, y, width, height",
    ),
    "an infinite picture number": (
        lambda c: c["annotations"][1].update(image_id=float("inf")),
        "entry 1 of annotations lacks image_id",
    ),
    "a width of a long number": (
        lambda c: c["images"][0].update(width=10**400),
        "entry 0 of images lacks width",
    ),
    "box of nothing": (
        lambda c: c["annotations"][0].update(bbox=None),
        "box None is not x, y, width",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_bad_annotation_is_refused_in_one_line(case: str, folder: Path, tmp_path: Path) -> None:
    change, words = REFUSALS[case]
    with pytest.raises(DataError, match=words) as caught:
        coco.load_people(changed(folder, tmp_path, change))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_bad_persons_can_be_left_out_and_are_named(folder: Path, tmp_path: Path) -> None:
    split = changed(folder, tmp_path, lambda c: c["annotations"][0].update(bbox=[5, 5, 0, 9]))
    notes: list[str] = []
    assert len(coco.load_people(split, skip_bad=True, notes=notes)) == 2
    assert len(notes) == 1
    assert "annotation 1" in notes[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"data": None}, "no data"),
        ({"data": "absent"}, "does not exist"),
        ({"data": "."}, "COCO's layout is"),
    ],
)
def test_a_folder_that_is_no_coco_folder_is_refused(
    arguments, words, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=words):
        coco.find_split(split="val2017", **arguments)


def test_damaged_json_is_refused_with_its_place(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"images": [')
    split = coco.find_split(None, "x", annotations=path, images=folder / "val2017")
    with pytest.raises(DataError, match=r"not JSON: .*line 1"):
        coco.load_people(split)


def detections(tmp_path: Path, entries: Any) -> Path:
    path = tmp_path / "detections.json"
    path.write_text(json.dumps(entries))
    return path


def entry(**changes: Any) -> dict[str, Any]:
    return {"image_id": 1, "category_id": 1, "bbox": [5, 5, 50, 90], "score": 0.8, **changes}


def test_detections_keep_their_boxes_and_scores(folder: Path, tmp_path: Path) -> None:
    path = detections(tmp_path, [entry(), entry(score=0.1), entry(category_id=3)])
    split = coco.find_split(folder, "val2017")
    people = load_detections(path, split, threshold=0.5)
    assert [(p.box, p.score) for p in people] == [((5.0, 5.0, 50.0, 90.0), 0.8)]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"a": 1}, "is not a list"),
        ([{"image_id": 1}], "detection 0 .* has no bbox"),
        ([entry(), entry(bbox=[5, 5, 0, 3])], "detection 1 .* has no area"),
        ([entry(bbox=[-50, 5, 20, 3])], "outside the picture"),
        ([entry(image_id=77)], "names picture 77"),
        ([entry(image_id="one")], "image_id 'one' is no number"),
        ([entry(score=None)], "score None is no number"),
        ([entry(score=0.0)], "holds no person with a score"),
    ],
)
def test_a_bad_detection_is_refused(entries, words, folder: Path, tmp_path: Path) -> None:
    split = coco.find_split(folder, "val2017")
    with pytest.raises(DataError, match=words):
        load_detections(detections(tmp_path, entries), split, threshold=0.1)


def test_a_detection_s_missing_picture_is_refused_at_once(folder: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["images"][0]["file_name"] = "absent.jpg"

    path = detections(tmp_path, [entry()])
    with pytest.raises(DataError, match=r"absent\.jpg' of detection 0 .* is missing"):
        load_detections(path, changed(folder, tmp_path, change))


def jpeg(thumbnail: bytes = b"") -> bytes:
    picture = np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8)
    data: bytes = cv2.imencode(".jpg", picture)[1].tobytes()
    if thumbnail:  # as an application segment after the start marker, like EXIF's
        segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
        data = data[:2] + segment + data[2:]
    return data


def test_a_whole_jpeg_is_read_with_or_without_a_thumbnail(tmp_path: Path) -> None:
    for number, data in enumerate((jpeg(), jpeg(jpeg()), jpeg() + b"trailing bytes")):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(data)
        assert pictures.read_picture(path).shape == (64, 48, 3)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("thumbnail", [False, True])
def test_a_truncated_jpeg_is_refused(share: float, thumbnail: bool, tmp_path: Path) -> None:
    data = jpeg(jpeg()) if thumbnail else jpeg()
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=r"truncated JPEG|empty file"):
        pictures.read_picture(path)


def test_a_truncated_png_a_text_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    whole = cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes()
    (tmp_path / "cut.png").write_bytes(whole[:-20])
    (tmp_path / "text.jpg").write_text("hello")
    for name, words in (
        ("cut.png", "truncated PNG"),
        ("text.jpg", "not a picture"),
        ("absent.jpg", "No such file"),
    ):
        with pytest.raises(DataError, match=words):
            pictures.read_picture(tmp_path / name)


@pytest.mark.data
def test_the_real_pictures_are_read_and_left_untouched(data_folder: Path) -> None:
    folder = data_folder / "coco-mini"
    if not folder.is_dir():
        pytest.skip("no coco-mini in the development data")
    before = {p.name: hashlib.sha256(p.read_bytes()).digest() for p in folder.iterdir()}
    split = coco.find_split(folder, "val2017")
    people = coco.load_people(split)
    assert len(people) == 12  # of 14 annotated persons two have no labelled keypoint
    assert len({person.image_id for person in people}) == 4
    found = load_detections(folder / "person_detections.json", split)
    assert len(found) == 118
    for person in people:
        height, width = pictures.read_picture(person.path).shape[:2]
        x, y, w, h = person.box
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height
    assert before == {p.name: hashlib.sha256(p.read_bytes()).digest() for p in folder.iterdir()}
