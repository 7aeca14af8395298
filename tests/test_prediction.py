"""Latency prediction: sane, monotone, refusing where the measurements do not carry."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import gadprof
from gadprof.errors import SpecError, UnknownNameError
from gadprof.prediction.api import predict, predict_trace
from gadprof.prediction.features import CLASSES, features_of
from gadprof.prediction.fits import find_fit, fits, moved, transfer_errors
from gadprof.prediction.fusion import fused_traffic
from gadprof.prediction.model import operation_seconds


def traced(name: str, side: int = 64):
    with torch.device("meta"):
        module = gadprof.build(name).eval()
    return gadprof.count(module, (1, 3, side, side))


def test_work_and_bytes_of_the_features_are_the_traces():
    trace = traced("gadnet32:width=8")
    features = features_of(trace.forward, amp=False)
    work = (features.columns[:, 0] * features.counts).sum()
    assert work == trace.macs
    assert features.unknown == ()


def test_autocast_halves_what_a_convolution_moves():
    trace = traced("hrnet32:width=8")
    full, half = features_of(trace.forward, amp=False), features_of(trace.forward, amp=True)
    moved = [(f.columns[:, 1] * f.counts).sum() for f in (full, half)]
    assert 0.4 < moved[1] / moved[0] < 0.7


def test_weights_alone_do_not_grow_with_the_batch():
    class Standardised(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(8, 3, 3, 3))

        def forward(self, x):
            return torch.nn.functional.conv2d(x, self.weight - self.weight.mean())

    trace = gadprof.count(Standardised(), (1, 3, 16, 16))
    features = features_of(trace.forward, amp=False)
    batched = features.columns[:, 1] > 0
    assert batched.sum() == 1  # the convolution alone
    assert (features.columns[~batched, 3] > 0).all()


@pytest.mark.parametrize("key", list(fits()))
def test_more_samples_take_longer_and_every_time_is_positive(key):
    fit = fits()[key]
    features = features_of(
        traced("gadnet32:width=8").forward, amp=fit.dtype == "amp", compiled=fit.compiled
    )
    small = operation_seconds(fit.members[0], features, 64)
    large = operation_seconds(fit.members[0], features, 256)
    assert (small > 0).all()
    assert large.sum() > small.sum()


def test_a_prediction_has_an_interval_and_shares_that_add_up():
    rows, fit = predict(["hrnet32", "gadnet32"], "rtx3090", batch=256)
    for row in rows:
        low, high = row.predicted_latency_s["interval95"]
        assert low < row.predicted_latency_s["value"] < high
        assert sum(row.by_class.values()) == pytest.approx(1.0)
    assert fit.families > 50


def test_a_tiny_batch_on_a_gpu_is_refused_in_its_own_row():
    rows, _ = predict(["hrnet32"], "rtx3090", batch=1)
    assert rows[0].predicted_latency_s is None
    assert "below the smallest" in rows[0].refused


def test_a_batch_on_the_cpu_is_refused_because_only_single_samples_were_measured():
    rows, _ = predict(["hrnet32"], "i9-10940x", batch=8)
    assert "batch 1 " in rows[0].refused


def test_what_a_compiler_joins_is_moved_once():
    class Chain(torch.nn.Module):
        def forward(self, x):
            return torch.relu(x + 1) * 2

    trace = gadprof.count(Chain(), (1, 3, 16, 16))
    apart, joined = (features_of(trace.forward, amp=False, compiled=c) for c in (False, True))
    moved = [(f.columns[:, 1] * f.counts).sum() for f in (apart, joined)]
    assert moved == [6 * 3 * 16 * 16 * 4, 2 * 3 * 16 * 16 * 4]


def test_a_value_that_is_needed_later_is_written_though_it_is_joined():
    class Residual(torch.nn.Module):
        def forward(self, x):
            y = x + 1
            return torch.relu(y) + torch.nn.functional.avg_pool2d(y, 3, 1, 1)

    trace = gadprof.count(Residual(), (1, 3, 16, 16))
    traffic = fused_traffic(trace.forward)
    assert traffic[0].written  # y, which the pooling reads again
    assert len(traffic[1].kept) == 1  # relu reads y where it is made


def test_a_device_with_a_data_sheet_alone_states_the_error_of_such_moves(run_cli):
    code, out, _ = run_cli("predict", "hrnet32:width=8", "--device", "h100", "--format", "json")
    assert code == 0
    payload = json.loads(out)
    assert payload["rows"][0]["predicted_latency_s"]["value"] > 0
    assert "not measured" in payload["method"]
    stated = payload["error_on_unseen_families"]
    assert "data sheets" in stated["method"]
    assert stated == transfer_errors()["cv"]


def test_a_sheet_with_twice_the_peaks_halves_the_time_but_for_the_launches():
    fit = find_fit("rtx4090", None)
    features = features_of(traced("gadnet32:width=8").forward, amp=True)
    before = operation_seconds(fit.members[0], features, 256).sum()
    faster = moved(fit.members[0], (1.0, 1.0), (2.0, 2.0))
    launches = np.exp(fit.members[0].base[2]) * features.counts.sum()
    after = operation_seconds(faster, features, 256).sum()
    assert after - launches == pytest.approx((before - launches) / 2)


def test_a_sheet_is_of_no_use_for_a_layout_that_it_was_not_tried_in():
    with pytest.raises(UnknownNameError, match="layout nchw, not nhwc"):
        find_fit("h100", "nhwc")


def test_an_expanded_tensor_is_read_as_what_lies_behind_it():
    class Spread(torch.nn.Module):
        def forward(self, x):
            return x.mean((2, 3), keepdim=True).expand(-1, -1, 16, 16).clone()

    features = features_of(gadprof.count(Spread(), (1, 8, 16, 16)).forward, amp=False)
    copy = CLASSES.index("copy")
    assert features.columns[features.classes == copy, 1] == 4 * (8 + 8 * 16 * 16)


def names_of(module, shape, **options):
    options = {"amp": True} | options
    features = features_of(gadprof.count(module.eval(), shape).forward, **options)
    return [CLASSES[index] for index in features.classes]


def test_a_normalisation_of_permuted_pixels_copies_them_first():
    class Norm(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.layer_norm(x.permute(0, 2, 3, 1), (8,))

    first, last = (
        names_of(Norm(), (1, 8, 16, 16), amp=False, channels_last=last) for last in (False, True)
    )
    assert (first, last) == (["copy_strided", "layer_norm"], ["layer_norm"])


def test_attention_of_five_dimensions_has_no_fused_kernel():
    class Windows(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.scaled_dot_product_attention(x, x, x)

    names = [
        set(names_of(Windows(), shape)) - {"cast"} for shape in ((1, 2, 16, 8), (1, 2, 3, 16, 8))
    ]
    assert names == [{"attention"}, {"mul", "matmul", "softmax"}]


def test_unfused_attention_computes_in_single_precision_where_torch_is_newer():
    class Shared(torch.nn.Module):
        def forward(self, x):  # one head of keys for all heads of queries
            one = x[:, :1]
            return torch.nn.functional.scaled_dot_product_attention(x, one, one)

    module, shape = Shared(), (1, 4, 16, 8)
    assert "matmul_single" not in names_of(module, shape)
    assert "matmul_single" in names_of(module, shape, wide_attention=True)
    trace = gadprof.count(module, shape)
    features = features_of(trace.forward, amp=True, wide_attention=True)
    assert (features.columns[:, 0] * features.counts).sum() == trace.macs


def test_the_heads_of_a_fused_attention_are_joined_without_a_copy():
    class Heads(torch.nn.Module):
        def __init__(self, fused):
            super().__init__()
            self.fused = fused

        def forward(self, x):
            x = x.view(1, 16, 2, 8).transpose(1, 2)
            if self.fused:
                x = torch.nn.functional.scaled_dot_product_attention(x, x, x)
            else:
                x = (x @ x.transpose(-2, -1)).softmax(-1) @ x
            return x.transpose(1, 2).reshape(1, 16, 16)

    assert "copy" not in names_of(Heads(True), (1, 16, 16))
    assert "copy_strided" in names_of(Heads(False), (1, 16, 16))


def test_a_bias_is_added_apart_except_by_the_kernel_of_wide_depthwise_windows():
    def convolution(kernel):
        return torch.nn.Conv2d(32, 32, kernel, groups=32)

    shape = (1, 32, 16, 16)
    assert {"conv_depthwise", "bias"} <= set(names_of(convolution(3), shape))
    wide = names_of(convolution(7), shape)
    assert "conv_depthwise_native" in wide
    assert "bias" not in wide
    last = names_of(convolution(7), shape, channels_last=True)
    assert {"conv_depthwise", "bias"} <= set(last)


def test_groups_that_are_no_power_of_two_wide_stand_apart_with_channels_last():
    shape = (1, 48, 16, 16)
    for groups, name in ((2, "conv_grouped_uneven"), (3, "conv_grouped")):
        module = torch.nn.Conv2d(48, 48, 3, groups=groups, bias=False)
        assert name in names_of(module, shape, channels_last=True)
        assert "conv_grouped" in names_of(module, shape)


def test_a_group_norm_of_channels_last_pixels_sets_them_apart_and_a_convolution_joins_them_again():
    module = torch.nn.Sequential(
        torch.nn.GroupNorm(2, 8), torch.nn.ReLU(), torch.nn.Conv2d(8, 8, 3, bias=False)
    )
    shape = (1, 8, 16, 16)
    assert "copy_strided" not in names_of(module, shape)
    features = features_of(gadprof.count(module, shape).forward, amp=True, channels_last=True)
    copies = features.counts[features.classes == CLASSES.index("copy_strided")].sum()
    assert copies == 2


def test_a_kind_of_operation_that_was_never_measured_is_refused():
    class Odd(torch.nn.Module):
        def forward(self, x):
            return torch.fft.fft(x).abs()

    trace = gadprof.count(Odd(), (1, 3, 16, 16))
    row = predict_trace("odd", trace, find_fit("rtx3090", None), 256)
    assert row.predicted_latency_s is None
    assert "never measured" in row.refused


def test_an_unknown_device_names_the_nearest():
    with pytest.raises(UnknownNameError, match="rtx3090"):
        find_fit("rtx309", None)


def test_a_format_that_was_not_measured_is_refused():
    with pytest.raises(SpecError, match="measured in amp"):
        predict(["hrnet32"], "rtx3090", dtype="fp64")


def test_the_json_has_its_keys(run_cli):
    code, out, _ = run_cli(
        "predict", "hrnet32", "hrnet99", "--device", "rtx3090", "--batch", "256", "--format", "json"
    )
    payload = json.loads(out)
    assert code == 1
    good, bad = payload["rows"]
    assert set(good["predicted_latency_s"]) == {"value", "interval95"}
    assert good["throughput"] == pytest.approx(256 / good["predicted_latency_s"]["value"])
    assert good["by_class"]
    assert good["refused"] is None
    assert "unknown model" in bad["error"]
    assert payload["error_on_unseen_families"]["method"].startswith("leave-family-out")
