"""Latency prediction: sane, monotone, refusing where the measurements do not carry."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from importlib import resources

import numpy as np
import pytest
import torch

import gadprof
from gadprof.errors import SpecError, UnknownNameError
from gadprof.prediction.api import (
    HOST,
    joins,
    kernel_seconds,
    predict,
    predict_features,
    predict_trace,
)
from gadprof.prediction.cards import plain_cards, read_cards
from gadprof.prediction.features import CLASSES, features_of
from gadprof.prediction.fits import COEFFICIENTS, cards, find_fit, fits, moved, transfer_errors
from gadprof.prediction.flow import PLANE_WORK
from gadprof.prediction.fusion import fused_traffic
from gadprof.prediction.limited import limited
from gadprof.prediction.model import operation_seconds
from gadprof.prediction.novelty import cells_of, families_by_cell, known_cells
from gadprof.prediction.per_sample import per_sample
from gadprof.prediction.tracing import BatchTrace, can_fuse, fuse, trace_of
from gadprof.prediction.way import Way


def traced(name: str, side: int = 64):
    with torch.device("meta"):
        module = gadprof.build(name).eval()
    return gadprof.count(module, (1, 3, side, side))


def test_work_and_bytes_of_the_features_are_the_traces():
    trace = traced("gadnet32:width=8")
    features = features_of(trace.forward, Way(amp=False))
    work = (features.columns[:, 0] * features.counts).sum()
    assert work == trace.macs
    assert features.unknown == ()


def test_autocast_halves_what_a_convolution_moves():
    trace = traced("hrnet32:width=8")
    full, half = (
        features_of(trace.forward, Way(amp=False)),
        features_of(trace.forward, Way(amp=True)),
    )
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
    features = features_of(trace.forward, Way(amp=False))
    batched = features.columns[:, 1] > 0
    assert batched.sum() == 1  # the convolution alone
    assert (features.columns[~batched, 3] > 0).all()


@cache
def features_as(way: Way):
    return features_of(trace_of("gadnet32:width=8", ((3, 64, 64),)).trace.forward, way)


@pytest.mark.parametrize("key", list(fits()))
def test_more_samples_take_longer_and_every_time_is_positive(key):
    fit = fits()[key]
    features = features_as(fit.way)
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


def test_a_compiled_batch_of_kernels_too_short_is_refused_and_the_batch_that_does_is_named():
    rows, fit = predict(["hrnet32"], "rtx4090", batch=1, mode="compiled")
    assert rows[0].predicted_latency_s is None
    enough = int(re.search(r"try --batch (\d+)", rows[0].refused).group(1))
    again, _ = predict(["hrnet32"], "rtx4090", batch=enough, mode="compiled")
    assert again[0].predicted_latency_s is not None
    features = features_of(trace_of("hrnet32").trace.forward, fit.way)
    assert kernel_seconds(features, fit, enough * 4 // 5) < fit.least_kernel_s


def test_a_card_whose_host_was_not_measured_has_an_interval_as_wide_as_hosts_scatter():
    small, large = (predict(["hrnet32"], "rtx3090", batch=batch)[0][0] for batch in (1, 512))

    def width(row):
        low, high = row.predicted_latency_s["interval95"]
        return high / low

    assert small.by_class[HOST] > 0.8
    assert large.by_class[HOST] < 0.1
    assert width(small) > 1.5 * width(large)


@pytest.mark.parametrize("device", ["titan-rtx", "gtx1080ti", "titan-xp"])
def test_at_batch_1_operations_set_the_time_and_not_their_macs(device):
    names = ("hrnet32", "gadnet32", "hrnet32:width=16")
    rows, _ = predict(names, device, batch=1)
    whole, other, narrow = (row.predicted_latency_s["value"] for row in rows)
    assert narrow == pytest.approx(whole, rel=0.05)  # as many operations, a quarter of the MACs
    assert other > whole  # more operations, fewer MACs


def test_a_timed_model_sets_the_speed_of_all():
    plain, fit = predict(["hrnet32", "gadnet32"], "titan-rtx", batch=1)
    before = [row.predicted_latency_s["value"] for row in plain]
    timed = [("hrnet32", 2 * before[0])]
    again, faster = predict(["hrnet32", "gadnet32"], "titan-rtx", batch=1, timed=timed)
    after = [row.predicted_latency_s["value"] for row in again]
    assert after == pytest.approx([2 * value for value in before])
    assert "1 timed model" in faster.method
    assert fit.host.once < faster.host.once


def test_a_clock_moves_products_and_launches_and_leaves_the_memory_and_the_host():
    fit = find_fit("titan-rtx", None)
    slow = limited(fit, None, 1770 / 2)
    moved_by = slow.members[0].base - fit.members[0].base
    assert moved_by == pytest.approx([-np.log(2), 0, np.log(2)])
    assert slow.host == fit.host
    widths = [one.cv["log_error_95"] for one in (slow, fit)]
    assert widths[0] - widths[1] == pytest.approx(np.log(2))


def test_a_power_limit_lowers_the_clock_by_its_cube_root_and_the_lower_of_two_limits_counts():
    fit = find_fit("rtx3090", "nchw")
    clock = limited(fit, None, 0.9 * 1695).members[0].base
    for power, other in ((0.729 * 350, None), (0.729 * 350, 1695), (349.0, 0.9 * 1695)):
        assert limited(fit, power, other).members[0].base == pytest.approx(clock)


@pytest.mark.parametrize(
    ("device", "option", "message"),
    [
        ("rtx3090", ("--power", "351"), "351 W is not within 87.5 to 350 W"),
        ("rtx3090", ("--clock", "3000"), "about the 1695 MHz"),
        ("radeon-680m", ("--power", "20"), "give --clock MHz instead"),
        ("i7-12700h", ("--power", "20"), "no data sheet"),
        ("samsung-galaxy-s24", ("--clock", "900"), "no data sheet"),
        ("all", ("--power", "200"), "leave out --power"),
    ],
)
def test_a_limit_that_a_device_has_not_is_refused(device, option, message, run_cli):
    code, _, err = run_cli("predict", "hrnet32", "--device", device, *option)
    assert code == 2
    assert message in " ".join(err.split())


@pytest.mark.parametrize(
    ("device", "dtype", "maker"), [("rx7900xtx", "fp16", "AMD"), ("gtx1070", "fp32", "NVIDIA")]
)
def test_a_sheet_of_any_maker_gives_the_error_of_its_makers_cards_left_out(device, dtype, maker):
    rows, fit = predict(["hrnet32"], device, batch=1, dtype=dtype)
    assert rows[0].predicted_latency_s["value"] > 0
    assert fit.cv["method"].startswith(f"cards of {maker} left out")
    pooled = cards()[dtype].cv_sheet
    # one maker's cards reach alike what their sheets say, the other's do not
    assert (fit.cv["log_error_95"] > pooled["log_error_95"]) == (maker == "AMD")


def test_a_format_chooses_among_the_fits_of_a_device():
    assert find_fit("rtx3090", None, dtype="float16").dtype == "fp16"
    assert find_fit("rtx3090", None).dtype == "amp"


def test_cards_measured_together_are_read_as_they_were_written():
    for one in cards().values():
        assert plain_cards(read_cards(plain_cards(one))) == plain_cards(one)


def test_a_batch_on_the_cpu_is_refused_because_only_single_samples_were_measured():
    rows, _ = predict(["hrnet32"], "i9-10940x", batch=8)
    assert "batch 1 " in rows[0].refused


def test_what_a_compiler_joins_is_moved_once():
    class Chain(torch.nn.Module):
        def forward(self, x):
            return torch.relu(x + 1) * 2

    trace = gadprof.count(Chain(), (1, 3, 16, 16))
    apart, joined = (features_of(trace.forward, Way(amp=False, compiled=c)) for c in (False, True))
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
    code, out, _ = run_cli(
        "predict", "hrnet48", "--device", "h100", "--batch", "512", "--format", "json"
    )
    assert code == 0
    payload = json.loads(out)
    assert payload["rows"][0]["predicted_latency_s"]["value"] > 0
    assert "not measured" in payload["method"]
    stated = payload["error_on_unseen_families"]
    assert "data sheets" in stated["method"]
    assert stated == transfer_errors()["cv"]


def test_a_sheet_with_twice_the_peaks_halves_the_time_but_for_the_launches():
    fit = find_fit("rtx4090", None)
    features = features_of(traced("gadnet32:width=8").forward, Way(amp=True))
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

    features = features_of(gadprof.count(Spread(), (1, 8, 16, 16)).forward, Way())
    copy = CLASSES.index("copy")
    assert features.columns[features.classes == copy, 1] == 4 * (8 + 8 * 16 * 16)


def names_of(module, shape, **options):
    options = {"amp": True} | options
    features = features_of(gadprof.count(module.eval(), shape).forward, Way(**options))
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
    features = features_of(trace.forward, Way(amp=True, wide_attention=True))
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
    features = features_of(gadprof.count(module, shape).forward, Way(amp=True, channels_last=True))
    copies = features.counts[features.classes == CLASSES.index("copy_strided")].sum()
    assert copies == 2


def test_a_kind_of_operation_that_was_never_measured_is_refused():
    class Odd(torch.nn.Module):
        def forward(self, x):
            return torch.fft.fft(x).abs()

    trace = gadprof.count(Odd(), (1, 3, 16, 16))
    row = predict_trace("odd", BatchTrace(trace, 1), find_fit("rtx3090", None), 256)
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


class Expanded(torch.nn.Module):
    """Copies a table of the weights for every picture."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(torch.zeros(1, 8, 16, 16))

    def forward(self, x):
        return self.table.expand(x.shape[0], -1, -1, -1).contiguous()


def test_a_copy_over_the_batch_shows_at_a_prime_batch_alone():
    one, prime = (gadprof.count(Expanded(), (batch, 8, 16, 16)).forward for batch in (1, 251))
    assert CLASSES.index("copy") not in features_of(one, Way()).classes
    features = features_of(prime, Way(), 251)
    copied = features.columns[features.classes == CLASSES.index("copy")]
    assert features.column("bytes").sum() == 4 * 8 * 16 * 16  # written for each, read once
    assert features.column("fixed_bytes").sum() == 4 * 8 * 16 * 16
    assert len(copied) == 1


@pytest.mark.parametrize("batch", [7, 251])
def test_a_prime_batch_gives_the_work_and_bytes_of_one_sample(batch):
    with torch.device("meta"):
        module = gadprof.build("ghost-se-hrnet32:width=8").eval()
    one, many = (
        features_of(gadprof.count(module, (size, 3, 64, 64)).forward, Way(amp=True), size)
        for size in (1, batch)
    )
    for name in ("work", "bytes", "fixed_bytes"):
        assert (one.column(name) * one.counts).sum() == (many.column(name) * many.counts).sum()


def test_a_sample_of_a_matrix_product_is_a_share_of_its_stack():
    class Attend(torch.nn.Module):
        def forward(self, x):
            return x @ x.transpose(-1, -2)

    trace = gadprof.count(Attend(), (251, 4, 16, 8))
    product = next(op for op in per_sample(trace.forward, 251) if op.kind == "matmul")
    assert product.macs == 4 * 16 * 16 * 8
    assert product.attributes["batch"] == 4


def test_a_smooth_resize_of_plane_after_plane_counts_its_planes():
    class Resize(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")

    operations = gadprof.count(Resize(), (1, 8, 16, 16)).forward
    planes, last, cpu = (
        features_of(operations, way).column("work").tolist()
        for way in (Way(gpu=True), Way(gpu=True, channels_last=True), Way())
    )
    assert planes == [8 * PLANE_WORK]
    assert last == cpu == [0]


def test_the_optimiser_of_a_training_step_goes_once_through_weights_and_statistics():
    norm = torch.nn.BatchNorm2d(8)  # two parameters and two statistics a channel
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), norm, torch.nn.Conv2d(8, 8, 1))
    trace = gadprof.count(module.eval(), (1, 3, 16, 16))
    features = features_of(trace.forward, Way(amp=True, gpu=True, train=True))
    optimiser = features.classes == CLASSES.index("optimiser")
    assert features.column("fixed_bytes")[optimiser].tolist() == [4 * (trace.params + 2 * 8)]


def test_branches_are_joined_by_the_method_that_a_block_has():
    class Branches(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = torch.nn.ModuleList([torch.nn.Conv2d(3, 3, 1), torch.nn.Conv2d(3, 3, 3)])

        def reparameterize(self):
            self.parts = torch.nn.ModuleList([torch.nn.Conv2d(3, 3, 3)])

        def forward(self, x):
            return sum(part(x) for part in self.parts)

    module = torch.nn.Sequential(Branches())
    assert can_fuse(module)
    assert not can_fuse(torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1)))
    assert sum(isinstance(part, torch.nn.Conv2d) for part in fuse(module).modules()) == 1


def test_branches_that_need_weights_to_be_joined_are_joined_with_weights():
    pytest.importorskip("timm")
    joined, apart = (
        trace_of("timm:mobileone_s0", ((3, 64, 64),), reparam=r) for r in (True, False)
    )
    assert joined.fused
    assert not apart.fused
    assert joined.trace.params < apart.trace.params
    assert joined.macs < apart.macs


@pytest.mark.parametrize(("device", "joined"), [("rtx3090", False), ("rtx4090", True)])
def test_each_device_joins_branches_as_its_table_did(device, joined, tmp_path):
    path = tmp_path / "net.py"
    path.write_text(
        "import torch\n"
        "class Two(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.a = torch.nn.ModuleList(torch.nn.Conv2d(64, 64, 3) for _ in range(2))\n"
        "    def reparameterize(self):\n"
        "        self.a = torch.nn.ModuleList([torch.nn.Conv2d(64, 64, 3)])\n"
        "    def forward(self, x):\n"
        "        return sum(part(x) for part in self.a)\n"
        "def build():\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 64, 3), Two())\n"
    )
    rows, fit = predict([f"{path}:build"], device, batch=64, shapes=((3, 64, 64),))
    assert rows[0].error is None
    first, second = 62 * 62 * 64 * 27, 60 * 60 * 64 * 64 * 9
    assert rows[0].macs == 64 * (first + second * (1 if joined else 2))
    assert rows[0].fused == joined
    assert [joins(fit, word) for word in ("auto", "yes", "no")] == [joined, True, False]


def test_the_interval_widens_with_novelty():
    fit = find_fit("rtx3090", None)
    features = features_of(traced("hrnet32", 256).forward, fit.way)
    nothing_known = replace(fit, cells=frozenset())
    all_known = replace(fit, cells=frozenset(cells_of(features).tolist()))
    widths = {}
    for name, one in (("new", nothing_known), ("old", all_known)):
        row = predict_features("hrnet32", features, one, 256)
        low, high = row.predicted_latency_s["interval95"]
        widths[name] = (row.novelty, high / low)
    assert widths["new"][0] == 1
    assert widths["old"][0] == 0
    assert (widths["new"][1] > widths["old"][1]) == (fit.cv["novelty_slope"] > 0)


def test_a_cell_is_known_from_three_families_on():
    features = features_of(traced("hrnet32:width=8").forward, Way())
    known = [
        known_cells(families_by_cell([features] * count, [str(i) for i in range(count)]))
        for count in (2, 3)
    ]
    assert known == [frozenset(), frozenset(cells_of(features).tolist())]


def test_the_coefficients_take_less_than_300_kilobytes():
    assert len(resources.files("gadprof.data").joinpath(COEFFICIENTS).read_bytes()) < 300_000


def test_every_table_states_its_ways_of_leaving_out_and_covers_the_hardest():
    for fit in fits().values():
        if fit.kind == "npu":
            continue
        # the machines' tables hold single networks and search spaces, no families of timm
        for way in ("network",) if "by_network" in fit.cv else ("prefix", "module", "kind"):
            stated = fit.cv[f"by_{way}"]
            assert stated["mean_absolute_error"] > 0
            assert stated["mean_over_families"] > 0
        assert fit.cv["interval_coverage"] >= 0.9


def test_all_devices_are_ranked_in_one_table_and_a_plot(run_cli, tmp_path):
    plot = tmp_path / "all.png"
    code, out, _ = run_cli(
        "predict", "hrnet32", "gadnet32", "--device", "all", "--format", "json",
        "--plot", str(plot),
    )  # fmt: skip
    assert code == 0
    found = json.loads(out)["devices"]
    assert {item["key"] for item in found} == set(fits())
    ratios = [
        item["rows"][1]["predicted_latency_s"]["value"]
        / item["rows"][0]["predicted_latency_s"]["value"]
        for item in found
        if all(row["predicted_latency_s"] for row in item["rows"])
    ]
    assert ratios == sorted(ratios)
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_devices_are_listed_with_how_well_they_are_known(run_cli):
    code, out, _ = run_cli("devices", "--format", "json")
    listed = json.loads(out)["devices"]
    assert code == 0
    by = {item["key"]: item["known_by"] for item in listed}
    assert by["rtx3090-nchw"] == "measured"
    assert by["h100-nchw"] == "data sheet"
    assert all(item["error_on_unseen_families"]["mean_absolute_error"] > 0 for item in listed)


def test_a_plot_of_a_single_device_is_refused(run_cli):
    code, _, err = run_cli("predict", "hrnet32", "--device", "rtx3090", "--plot", "x.png")
    assert code == 2
    assert "--device all" in err


def test_a_model_that_runs_nothing_is_refused_and_costs_the_others_nothing(run_cli, tmp_path):
    code = "import torch\nfrom torch import nn\n\ndef nothing():\n    return nn.Identity()\n"
    (tmp_path / "still.py").write_text(code)
    models = (f"{tmp_path / 'still.py'}:nothing", "hrnet32:width=8")
    _, out, _ = run_cli("predict", *models, "--device", "rtx3090", "--input", "3x64x64",
                        "--format", "json")  # fmt: skip
    still, network = json.loads(out)["rows"]
    assert "runs no operation" in still["refused"]
    assert network["predicted_latency_s"]["value"] > 0


@pytest.mark.parametrize("device", ["rtx3090", "rtx4090", "rtx5090"])
def test_a_batch_that_a_table_carries_is_paced_by_the_card_and_not_by_another_machines_host(device):
    fit = find_fit(device, "nchw")
    features = features_of(trace_of("hrnet32").trace.forward, fit.way)
    batch = 64
    while kernel_seconds(features, fit, batch) < fit.least_kernel_s:
        batch *= 2
    found = predict_features("hrnet32", features, fit, batch)
    alone = predict_features("hrnet32", features, replace(fit, host=None), batch)
    assert found.predicted_latency_s is not None
    assert alone.predicted_latency_s is not None
    at_once = alone.predicted_latency_s["value"]
    assert found.predicted_latency_s["value"] == pytest.approx(at_once, rel=0.05)
