"""TensorFlow Lite files counted from their own tables; they are written here, field by field."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from gadprof.counting.tflite.flatbuffer import read_tflite
from gadprof.counting.tflite.graph import count_tflite
from gadprof.counting.tflite.operators import OPERATORS
from gadprof.errors import GadprofError, InputShapeError, SourceError

flatbuffers = pytest.importorskip("flatbuffers", reason="writes the files that are read here")

FLOAT, INT32, BYTE, INT8 = 0, 2, 3, 9
SAME, VALID = 0, 1


class File:
    """Writes one graph by the field numbers of the format's schema."""

    def __init__(self):
        self.builder = flatbuffers.Builder(1024)
        self.tensors: list[tuple[str, list[int], int, bool, list[int]]] = []
        self.operators: list[tuple[int, list[int], list[int], list[tuple[int, str, int]]]] = []
        self.codes: list[str] = []

    def tensor(self, shape, kind=FLOAT, *, stored=False, signature=()):
        self.tensors.append((f"t{len(self.tensors)}", list(shape), kind, stored, list(signature)))
        return len(self.tensors) - 1

    def operator(self, op, inputs, outputs, **options):
        """``options`` are field3="b1": the number of a field, its kind and its value."""
        if op not in self.codes:
            self.codes.append(op)
        fields = [(int(name[5:]), text[0], int(text[1:])) for name, text in options.items()]
        self.operators.append((self.codes.index(op), inputs, outputs, fields))

    def _ints(self, values):
        self.builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.builder.PrependInt32(value)
        return self.builder.EndVector()

    def _list(self, places):
        self.builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            self.builder.PrependUOffsetTRelative(place)
        return self.builder.EndVector()

    def _table(self, fields: list[tuple[int, str, Any]]):
        """Fields by number: "o" an offset, "b" a byte, "i" an int, "I" an unsigned one."""
        self.builder.StartObject(12)
        slot = {
            "o": self.builder.PrependUOffsetTRelativeSlot, "b": self.builder.PrependInt8Slot,
            "i": self.builder.PrependInt32Slot, "I": self.builder.PrependUint32Slot,
            "?": self.builder.PrependBoolSlot,
        }  # fmt: skip
        for number, kind, value in fields:
            slot[kind](number, value, None)
        return self.builder.EndObject()

    def save(self, path, inputs, outputs):
        b = self.builder
        b.StartVector(1, 4, 1)
        for _ in range(4):
            b.PrependByte(1)
        data = b.EndVector()
        buffers = self._list([self._table([]), self._table([(0, "o", data)])])
        tensors = []
        for name, shape, kind, stored, signature in self.tensors:
            fields = [(0, "o", self._ints(shape)), (1, "b", kind), (2, "I", int(stored)),
                      (3, "o", b.CreateString(name))]  # fmt: skip
            if signature:
                fields.append((7, "o", self._ints(signature)))
            tensors.append(self._table(fields))
        operators = []
        for code, given, made, options in self.operators:
            table = self._table(options)
            ends = [(1, "o", self._ints(given)), (2, "o", self._ints(made))]
            operators.append(self._table([(0, "I", code), *ends, (4, "o", table)]))
        ends = [(1, "o", self._ints(inputs)), (2, "o", self._ints(outputs))]
        held = [(0, "o", self._list(tensors)), (3, "o", self._list(operators))]
        graph = self._table([*held, *ends])
        codes = []
        for op in self.codes:
            if op in OPERATORS:
                number = OPERATORS.index(op)
                codes.append(self._table([(0, "b", min(number, 127)), (3, "i", number)]))
            else:
                word = b.CreateString(op)
                codes.append(self._table([(0, "b", 32), (1, "o", word), (3, "i", 32)]))
        model = self._table([(0, "I", 3), (1, "o", self._list(codes)),
                             (2, "o", self._list([graph])), (4, "o", buffers)])  # fmt: skip
        b.Finish(model, b"TFL3")
        path.write_bytes(bytes(b.Output()))
        return str(path)


def network(path, kind=FLOAT, bias=FLOAT):
    """A convolution with a fused ReLU6, a depthwise one, a sum, a pooling, a linear layer."""
    f = File()
    x, w1, b1 = f.tensor([1, 8, 8, 3], kind), f.tensor([16, 3, 3, 3], kind, stored=True), None
    b1 = f.tensor([16], bias, stored=True)
    a = f.tensor([1, 4, 4, 16], kind)
    f.operator("CONV_2D", [x, w1, b1], [a], field0="b0", field1="i2", field2="i2", field3="b3",
               field4="i1", field5="i1")  # fmt: skip
    w2, b2 = f.tensor([1, 3, 3, 16], kind, stored=True), f.tensor([16], bias, stored=True)
    d = f.tensor([1, 4, 4, 16], kind)
    f.operator("DEPTHWISE_CONV_2D", [a, w2, b2], [d], field0="b0", field1="i1", field2="i1",
               field3="i1", field4="b0", field5="i1", field6="i1")  # fmt: skip
    s = f.tensor([1, 4, 4, 16], kind)
    f.operator("ADD", [a, d], [s], field0="b1")
    p = f.tensor([1, 1, 1, 16], kind)
    f.operator("AVERAGE_POOL_2D", [s], [p], field0="b1", field1="i4", field2="i4", field3="i4",
               field4="i4")  # fmt: skip
    shape, r = f.tensor([2], INT32, stored=True), f.tensor([1, 16], kind)
    f.operator("RESHAPE", [p, shape], [r])
    w3, b3 = f.tensor([10, 16], kind, stored=True), f.tensor([10], bias, stored=True)
    y = f.tensor([1, 10], kind)
    f.operator("FULLY_CONNECTED", [r, w3, b3], [y], field0="b0")
    z = f.tensor([1, 10], kind)
    f.operator("SOFTMAX", [y], [z])
    return f.save(path, [x], [z])


MACS = 16 * 27 * 16 + 16 * 9 * 16 + 160
PARAMS = 16 * 27 + 16 + 16 * 9 + 16 + 160 + 10


@pytest.mark.parametrize(("kind", "bias", "weight_bytes"), [
    (FLOAT, FLOAT, 4 * PARAMS), (INT8, INT32, PARAMS + 3 * 42), (BYTE, INT32, PARAMS + 3 * 42),
])  # fmt: skip
def test_a_network_is_counted_in_floats_and_in_bytes(kind, bias, weight_bytes, tmp_path):
    trace = count_tflite(network(tmp_path / "m.tflite", kind, bias))
    assert (trace.macs, trace.params, trace.uncovered) == (MACS, PARAMS, {})
    assert trace.param_bytes == weight_bytes
    assert sum(trace.weight_bytes_by_dtype.values()) == weight_bytes
    assert trace.input_shapes == ((1, 8, 8, 3),)
    assert trace.output_shapes == ((1, 10),)
    assert trace.elementwise()["add"] == 256


def test_flops_are_those_of_the_same_torch_network(tmp_path):
    import torch
    from torch import nn

    import gadprof

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.act = nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU6()
            self.two = nn.Conv2d(16, 16, 3, padding=1, groups=16)
            self.fc = nn.Linear(16, 10)

        def forward(self, x):
            x = self.act(self.one(x))
            x = torch.relu(x + self.two(x))
            return self.fc(nn.functional.avg_pool2d(x, 4).flatten(1)).softmax(-1)

    ours, theirs = count_tflite(network(tmp_path / "m.tflite")), gadprof.count(Net(), (1, 3, 8, 8))
    assert (ours.macs, ours.params) == (theirs.macs, theirs.params)
    assert ours.flops == theirs.flops
    assert ours.activations == theirs.activations


def test_memory_is_what_lives_at_once(tmp_path):
    trace = count_tflite(network(tmp_path / "m.tflite"))
    assert trace.peak_activation_bytes == 4 * (8 * 8 * 3 + 3 * 4 * 4 * 16)


def test_a_transposed_convolution_multiplies_what_it_is_given(tmp_path):
    f = File()
    size, w = f.tensor([4], INT32, stored=True), f.tensor([8, 2, 2, 6], stored=True)
    x, y = f.tensor([1, 5, 5, 6]), f.tensor([1, 10, 10, 8])
    f.operator("TRANSPOSE_CONV", [size, w, x], [y], field0="b1", field1="i2", field2="i2")
    trace = count_tflite(f.save(tmp_path / "m.tflite", [x], [y]))
    assert (trace.macs, trace.params) == (25 * 6 * 8 * 4, 8 * 4 * 6)


def test_groups_follow_from_the_weight(tmp_path):
    f = File()
    x, w, y = f.tensor([1, 4, 4, 8]), f.tensor([16, 1, 1, 2], stored=True), f.tensor([1, 4, 4, 16])
    f.operator("CONV_2D", [x, w, -1], [y], field1="i1", field2="i1")
    trace = count_tflite(f.save(tmp_path / "m.tflite", [x], [y]))
    assert trace.macs == 16 * 16 * 2
    assert trace.operations[0].attributes["groups"] == 4


def test_a_product_of_two_maps_minds_its_transpositions(tmp_path):
    f = File()
    a, b, y = f.tensor([2, 5, 8]), f.tensor([2, 6, 8]), f.tensor([2, 5, 6])
    f.operator("BATCH_MATMUL", [a, b], [y], field1="?1")
    assert count_tflite(f.save(tmp_path / "m.tflite", [a, b], [y])).macs == 2 * 5 * 8 * 6


@pytest.mark.parametrize("op", ["TFLite_Detection_PostProcess", "WHILE", "SVDF"])
def test_what_has_no_rule_is_listed(op, tmp_path):
    f = File()
    x, y = f.tensor([1, 4]), f.tensor([1, 4])
    f.operator(op, [x], [y])
    assert count_tflite(f.save(tmp_path / "m.tflite", [x], [y])).uncovered == {f"tflite.{op}": 1}


def test_commands_count_the_file(tmp_path, run_cli):
    path = network(tmp_path / "m.tflite")
    code, out, _ = run_cli("compare", path, "hrnet32:width=8", "--format", "json")
    row = json.loads(out)["rows"][0]
    assert (code, row["macs"], row["method"]) == (0, MACS, "tflite graph")
    assert run_cli("count", path, "--input", "8x8x3")[0] == 0
    code, _, err = run_cli("count", path, "--input", "9x9x3")
    assert code == 2
    assert "converted for the input 1x8x8x3" in err
    with pytest.raises(InputShapeError):
        count_tflite(path, batch=2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda whole: b"", "no TensorFlow Lite file"),
        (lambda whole: b"\x08\x00\x00\x00TFL3", "is damaged"),
        (lambda whole: whole[: len(whole) // 2], "is damaged"),
        (lambda whole: b"PK\x03\x04" + whole[4:8] + b"zip", "is damaged"),
    ],
)
def test_a_file_of_another_kind_is_one_line(change, words, tmp_path):
    path = tmp_path / "m.tflite"
    network(path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(SourceError, match=words) as caught:
        count_tflite(str(path))
    assert "\n" not in str(caught.value)
    with pytest.raises(SourceError, match="does not exist"):
        read_tflite(str(tmp_path / "absent.tflite"))


def test_damage_anywhere_is_an_answer_or_one_line(tmp_path):
    path = tmp_path / "m.tflite"
    network(path)
    whole = path.read_bytes()
    generator, told = random.Random(0), []
    for _ in range(300):
        at = generator.randrange(8, len(whole))
        path.write_bytes(whole[:at] + bytes([generator.randrange(256)]) + whole[at + 1 :])
        try:
            assert count_tflite(str(path)).macs >= 0
        except GadprofError as error:
            told.append(str(error))
    assert len(told) > 20
    assert not [words for words in told if "\n" in words or str(path) not in words]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pool-negative-width", "AVERAGE_POOL_2D has width -458748"),
        ("pool-zero-stride", "AVERAGE_POOL_2D has stride_w 0"),
        ("pool-negative-height", "AVERAGE_POOL_2D has height -50331644"),
    ],
)
def test_a_window_that_cannot_be_is_refused_not_counted(name, told):
    path = Path(__file__).parent / "fuzz_corpus" / "tflite" / name
    with pytest.raises(GadprofError, match=told):
        count_tflite(str(path))
