"""What no table measured: boxes, regions, recurrence, transposed and volume convolutions, ONNX."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import gadprof
from gadprof.prediction.api import predict_trace
from gadprof.prediction.features import CLASSES, features_of
from gadprof.prediction.fits import find_fit
from gadprof.prediction.tracing import BatchTrace, trace_of
from gadprof.prediction.way import Way


class Read(nn.Module):
    """Reads an image's columns one after another."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 8, 8)
        self.rnn = getattr(nn, kind)(32, 64, batch_first=True)

    def forward(self, x):
        return self.rnn(self.conv(x).mean(2).transpose(1, 2))[0]


class Boxes(nn.Module):
    def forward(self, x):
        from torchvision.ops import nms

        box = x[0].flatten(1).t()
        return nms(torch.cat([box, box + 1], 1)[:, :4], box[:, 0], 0.5)


class Regions(nn.Module):
    def forward(self, x):
        from torchvision.ops import roi_align

        return roi_align(x, [torch.tensor([[0.0, 0.0, 8.0, 8.0]])] * len(x), 7)


class Bent(nn.Module):
    def forward(self, x):
        grid = x[:, :2].permute(0, 2, 3, 1)
        return nn.functional.grid_sample(x, grid, align_corners=False)


IMAGE = (1, 3, 64, 64)


@pytest.mark.parametrize(
    ("module", "shape", "kind"),
    [
        (Read("LSTM"), IMAGE, "rnn"),
        (Read("GRU"), IMAGE, "rnn"),
        (Read("RNN"), IMAGE, "rnn"),
        (Boxes(), IMAGE, "reduction:nms"),
        (Regions(), IMAGE, "resize:roi_align"),
        (Bent(), IMAGE, "resize:grid_sampler"),
        (
            nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ConvTranspose2d(16, 16, 4, 2, 1)),
            IMAGE,
            "conv_transposed",
        ),
        (nn.Conv3d(3, 16, 3, padding=1), (1, 3, 8, 64, 64), "conv3d"),
    ],
    ids=["lstm", "gru", "rnn", "nms", "roi_align", "grid_sample", "transposed", "volume"],
)
def test_what_no_family_had_is_refused_with_its_name_and_share(module, shape, kind):
    trace = gadprof.count(module.eval(), shape)
    row = predict_trace("odd", BatchTrace(trace, 1), find_fit("rtx3090", None), 256)
    assert row.predicted_latency_s is None
    share = re.search(r"take about (\d+) % of the time", row.refused)
    assert 5 <= int(share[1]) <= 100
    assert kind in row.refused


def test_a_rare_operation_that_takes_little_is_predicted():
    body = [nn.Conv2d(3, 128, 3), *[nn.Conv2d(128, 128, 3) for _ in range(6)]]
    tail = [nn.AdaptiveAvgPool2d(1), nn.ConvTranspose2d(128, 8, 1)]
    with torch.device("meta"):
        trace = gadprof.count(nn.Sequential(*body, *tail), IMAGE)
    row = predict_trace("mostly", BatchTrace(trace, 1), find_fit("rtx3090", None), 256)
    assert row.refused is None
    assert 0 < row.by_class["conv_transposed"] < 0.05


def test_suppression_counts_every_pair_of_boxes():
    features = features_of(gadprof.count(Boxes(), (1, 3, 8, 8)).forward, Way())
    bytes_moved = features.column("bytes") + features.column("fixed_bytes")
    assert features.unknown == ("reduction:nms",)
    assert bytes_moved[features.unmeasured][0] >= 4 * (8 * 8) ** 2


def test_a_volumes_convolution_stands_for_its_work_and_not_for_its_bytes_alone():
    trace = gadprof.count(nn.Conv3d(3, 16, 3, bias=False), (1, 3, 8, 16, 16))
    features = features_of(trace.forward, Way())
    assert [CLASSES[index] for index in features.classes] == ["conv"]
    assert features.unmeasured.all()
    assert features.column("work").tolist() == [trace.macs]


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 16, 3, bias=False), nn.LayerNorm(16)
        self.fc = nn.Linear(16, 4)

    def forward(self, x):
        y = nn.functional.relu6(self.conv(x))
        y = self.norm((y + y.sigmoid()).mean((2, 3)))
        return torch.softmax(self.fc(y), -1)


@pytest.mark.parametrize("way", [Way(), Way(amp=True, gpu=True)], ids=["fp32", "amp"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_onnx_graphs_operations_are_of_the_classes_that_torchs_are(way, tmp_path):
    pytest.importorskip("onnx")
    module, path = Small().eval(), tmp_path / "small.onnx"
    torch.onnx.export(module, torch.zeros(1, 3, 12, 12), str(path), dynamo=False, opset_version=17)

    def rows(operations):
        found = features_of(operations, way)
        names = [CLASSES[index] for index in found.classes]
        return sorted(zip(names, found.column("work").tolist(), strict=True))

    graph = rows(trace_of(str(path)).trace.forward)
    assert graph == rows(gadprof.count(module, (1, 3, 12, 12)).forward)
