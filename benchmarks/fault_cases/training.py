"""Training, evaluation and detection: annotations, pictures, checkpoints and options that cannot be."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.fault_cases.case import Case
from benchmarks.fault_cases.made import RUNS

NET = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 6, 5, 4, 2), nn.ReLU(), nn.Conv2d(6, 17, 3, 1, 1))

def nan():
    class Nan(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = build()

        def forward(self, x):
            return self.body(x) * float("nan")
    return Nan()

def wrong():
    return nn.Conv2d(3, 5, 3)

def raises():
    raise ValueError("\\x1b[2J")
"""
TRAIN = ("train", "net.py:build", "--data=data", "-o", "run", "--input=64x64", "--epochs=1",
         "--batch=2", "--device=cpu", "--logger=none")  # fmt: skip
WRITES = ("run", "run/*")
DATA = "data/annotations/person_keypoints_train2017.json"


def _split(work: Path) -> None:
    from gadprof.pose.synthetic import make_split

    (work / "data").mkdir()
    make_split(work / "data", "train2017", 2, 1)


def _changed(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """The data with an annotation file that was changed."""

    def make(work: Path) -> None:
        _split(work)
        content = json.loads((work / DATA).read_text())
        change(content)
        (work / DATA).write_text(json.dumps(content))

    return make


def _text(content: str | bytes) -> Callable[[Path], None]:
    def make(work: Path) -> None:
        _split(work)
        data = content if isinstance(content, bytes) else content.encode()
        (work / DATA).write_bytes(data)

    return make


def _first(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["annotations"][0].update(values)


def _image(**values: Any) -> Callable[[dict[str, Any]], object]:
    return lambda content: content["images"][0].update(values)


ANNOTATIONS: dict[str, Callable[[Path], None]] = {
    "empty": _text(""), "words": _text("words"), "null": _text("null"), "a list": _text("[]"),
    "an object": _text("{}"), "deep": _text("[" * 100_000), "a long number": _text("9" * 5000),
    "noise": _text(bytes(range(256))), "cut": _text('{"images": ['), "UTF-16": _text("{}".encode("utf-16")),
    "no pictures": _changed(lambda c: c["images"].clear()), "no annotations": _changed(lambda c: c["annotations"].clear()),
    "pictures of a number": _changed(lambda c: c.update(images=5)), "pictures of numbers": _changed(lambda c: c.update(images=[5])),
    "annotations of text": _changed(lambda c: c.update(annotations="x")), "annotations of null": _changed(lambda c: c.update(annotations=[None])),
    "an id of text": _changed(_first(image_id="x")), "an id of null": _changed(_first(image_id=None)),
    "an id of a list": _changed(_first(image_id=[1])), "an id of 2^70": _changed(_first(image_id=2**70)),
    "a box of text": _changed(_first(bbox="x")), "a box of two": _changed(_first(bbox=[1, 2])),
    "a box of NaN": _changed(_first(bbox=[float("nan")] * 4)), "a box of infinity": _changed(_first(bbox=[0, 0, float("inf"), 5])),
    "a box below 0": _changed(_first(bbox=[0, 0, -5, -5])), "a box of nothing": _changed(_first(bbox=[0, 0, 0, 0])),
    "a box outside": _changed(_first(bbox=[10**6, 10**6, 5, 5])), "a box of 10^300": _changed(_first(bbox=[0, 0, 1e300, 1e300])),
    "keypoints of text": _changed(_first(keypoints="x")), "keypoints of three": _changed(_first(keypoints=[1, 2, 2])),
    "keypoints of lists": _changed(_first(keypoints=[[1]] * 51)), "keypoints of NaN": _changed(_first(keypoints=[float("nan")] * 51)),
    "keypoints of null": _changed(_first(keypoints=None)), "keypoints of 10^300": _changed(_first(keypoints=[1e300, 1e300, 2] * 17)),
    "keypoints of -5": _changed(_first(keypoints=[-5, -5, -5] * 17)),
    "a name that leaves the folder": _changed(_image(file_name="../../../neighbour")), "a name of a root": _changed(_image(file_name="/etc/passwd")),
    "a name of escapes": _changed(_image(file_name="\x1b[2J.jpg")), "a name of a null": _changed(_image(file_name="a\0b.jpg")),
    "a name too long": _changed(_image(file_name="x" * 300 + ".jpg")), "a name of a number": _changed(_image(file_name=5)),
    "a width of 0": _changed(_image(width=0)), "a width of text": _changed(_image(width="x")), "a width of -5": _changed(_image(width=-5)),
    "a picture twice": _changed(lambda c: c["images"].append(c["images"][0])), "categories of a number": _changed(lambda c: c.update(categories=5)),
}  # fmt: skip
# the last: a person with no point that can be seen is passed over
HARMLESS = ("a picture twice", "categories of a number", "keypoints of -5")


def _picture(content: bytes | None) -> Callable[[Path], None]:
    def make(work: Path) -> None:
        _split(work)
        place = next((work / "data").rglob("*.png"))
        place.unlink()
        if content is not None:
            place.write_bytes(content)

    return make


PICTURES = {"missing": None, "empty": b"", "words": b"words", "cut": b"\xff\xd8\xff\xe0" + bytes(30),
            "noise": bytes(range(256)) * 10, "GIF of a bomb": b"GIF89a\xff\xff\xff\xff\x00\x00\x00"}  # fmt: skip
CHECKPOINTS: dict[str, object] = {
    "empty": b"", "words": b"words", "a pickle that runs": RUNS,
    "None": None, "a list": [1], "an empty dict": {}, "another's": {"state_dict": {}, "epoch": 3},
    "an epoch of text": {"epoch": "x", "state_dict": {}, "pytorch-lightning_version": "2.0"},
    "an epoch below 0": {"epoch": -1, "state_dict": {}, "pytorch-lightning_version": "2.0"},
    "settings of a number": {"gadprof_settings": 5, "epoch": 0, "state_dict": {}, "pytorch-lightning_version": "2.0"},
}  # fmt: skip


def _checkpoint(content: object) -> Callable[[Path], None]:
    def make(work: Path) -> None:
        import torch

        _split(work)
        (work / "run").mkdir()
        place = work / "run" / "last.ckpt"
        if isinstance(content, bytes):
            place.write_bytes(content)
        else:
            torch.save(content, place)

    return make


def _place(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def both(work: Path) -> None:
        _split(work)
        make(work)

    return both


def cases() -> Iterator[Case]:
    """Each annotation file, picture and checkpoint before ``train``; the rest before its command."""
    files = {"net.py": NET}
    # torch's own cache, one for all its processes, is made where it is first imported
    for name, make in ANNOTATIONS.items():
        yield Case(f"annotations: {name}", TRAIN, files=files, make=make, writes=WRITES, limit_s=200,
                   exits=(0,) if name in HARMLESS else (0, 1, 2) if name == "keypoints of 10^300" else (2,), lines=6)  # fmt: skip
    for name, content in PICTURES.items():
        yield Case(f"a picture that is {name}", TRAIN, files=files, make=_picture(content),
                   writes=WRITES, limit_s=200, lines=6)  # fmt: skip
    for name, held in CHECKPOINTS.items():
        yield Case(f"a checkpoint of {name}", (*TRAIN, "--resume"), files=files, make=_checkpoint(held),
                   writes=(), limit_s=200, lines=3)  # fmt: skip
    for name, make in (("a pipe", lambda w: os.mkfifo(w / "run")), ("a file", lambda w: (w / "run").write_text("x")),
                       ("a link to nothing", lambda w: (w / "run").symlink_to("/nothing/x"))):  # fmt: skip
        yield Case(
            f"a run that is {name}", TRAIN, files=files, make=_place(make), limit_s=200, lines=3
        )
    yield Case("a run beside its data", tuple("data" if word == "run" else word for word in TRAIN),
               files=files, make=_split, exits=(0,), limit_s=200, lines=6,
               writes=("data/last.ckpt", "data/weights.pt"))  # fmt: skip
    for out in ("data/train2017", "data/annotations", "net.py", "/proc/run", "x" * 300, ""):
        words = tuple(out if word == "run" else word for word in TRAIN)
        yield Case(
            f"a run into {out[:20]!r}", words, files=files, make=_split, limit_s=200, lines=3
        )
    for name, exits in (("nan", (1,)), ("wrong", (1, 2)), ("raises", (1, 2)), ("nothing", (1, 2))):
        words = tuple(word.replace(":build", f":{name}") for word in TRAIN)
        yield Case(f"a network that is {name}", words, files=files, make=_split, exits=exits,
                   writes=WRITES, limit_s=200, lines=6)  # fmt: skip
    for more in (("--preset=nothing",), ("--schedule=nothing",), ("--precision=nothing",), ("--device=nothing",),
                 ("--devices=nothing",), ("--logger=nothing",), ("--split=nothing",), ("--split=../..",),
                 ("--annotations=nothing.json",), ("--annotations=/dev/zero",), ("--images=nothing",),
                 ("--input=0x0",), ("--input=63x64",), ("--input=64",), ("--resume",), ("--batch=65536",),
                 ("--input=999999999x999999999",)):  # fmt: skip
        yield Case(f"train {' '.join(more)[:40]}", (*TRAIN, *more), files=files, make=_split, exits=(0, 1, 2)
                   if more == ("--batch=65536",) else (1, 2), writes=WRITES, limit_s=200, lines=6)  # fmt: skip
    for boxes in (
        "",
        "{}",
        "[]",
        '[{"bbox": 5}]',
        "[5]",
        "[" * 50_000,
        '[{"image_id": 1, "bbox": [0, 0, -1, 5]}]',
    ):
        yield Case(f"detect with boxes {boxes[:20]!r}", ("detect", "gadnet32", "--image=p.png", "--boxes=b.json"),
                   files={"b.json": boxes, "p.png": b"words"}, limit_s=100, lines=3)  # fmt: skip
    for words in (("redundancy", "gadnet32:width=8", "--image=nothing.png"), ("redundancy", "nothing", "--image=p.png"),
                  ("redundancy", "gadnet32:width=8", "--image=p.png", "--place=nothing"),
                  ("detect", "gadnet32", "--image=/dev/zero"), ("detect", "gadnet32", "--image=."),
                  ("ablate", "--overrides=nothing=1"), ("ablate", "--overrides=s=0"), ("ablate", "--data=nothing"),
                  ("ablate", "--seeds=x"), ("ablate", "--seeds=-1"), ("ablate", "--name=../x", "-o", "out"),
                  ("evaluate", "nothing", "--weights=w.pt", "--data=x"), ("evaluate", "gadnet32", "--weights=w.pt", "--data=x",
                   "--detections=/dev/zero")):  # fmt: skip
        yield Case(" ".join(words)[:70], words, files={"p.png": b"words"}, limit_s=100, lines=3,
                   exits=(1, 2))  # fmt: skip
