"""Claims about files of runtimes: they compute what eager computes, integers nearly so."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from gadprof.errors import DataError, MissingExtraError, ModelFailedError, SettingError, SourceError  # noqa: E402
from gadprof.measuring.kept import QUANTISERS, folder_of  # noqa: E402
from gadprof.measuring.runtimes import largest_difference, prepare, vendors  # noqa: E402
from gadprof.measuring.runtimes.calibration import sample_inputs  # noqa: E402
from gadprof.measuring.runtimes.converted import (  # noqa: E402
    Job,
    check_installed,
    joints_within_cell,
    judge,
    settle_norms,
)
from gadprof.measuring.runtimes.onnx_graph import load_graph  # noqa: E402
from gadprof.measuring.settings import PACKAGES, Setting, check_setting  # noqa: E402

FILES = [("onnxruntime", "fp32"), ("openvino", "fp32"), ("ncnn", "fp32"), ("mnn", "fp32")]
FILES += [("onnxruntime", "int8"), ("openvino", "int8"), ("ncnn", "fp16"), ("mnn", "fp16")]
# their compilers take seconds even for a small network
SLOW = [("executorch", "fp32"), ("executorch", "int8"), ("litert", "fp32"), ("litert", "int8")]


def network() -> nn.Module:
    """A network whose layers a phone's networks have: ordinary and depthwise, up and gated."""
    torch.manual_seed(0)

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU())
            self.deep = nn.Sequential(
                nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.BatchNorm2d(16), nn.ReLU6()
            )
            self.out = nn.Conv2d(16, 8, 1)
            self.up = nn.Upsample(scale_factor=2, mode="nearest")

        def forward(self, x: Any) -> Any:
            y = self.up(self.out(self.deep(self.stem(x))))
            return y + torch.sigmoid(y.mean((2, 3), keepdim=True))

    return Small().eval()


def skip_unless_installed(runtime: str, dtype: str) -> None:
    """Skip where the runtime, or its quantiser, is missing."""
    for package in PACKAGES[runtime]:
        if find_spec(package) is None:
            pytest.skip(f"the runtime {runtime} is not installed: no {package}")
    if (runtime, dtype) == ("openvino", "int8") and find_spec("nncf") is None:
        pytest.skip("integers for OpenVINO are not installed: no nncf")


def snr_db(module: nn.Module, x: Any, setting: Setting) -> float:
    """The signal-to-noise ratio of a module's file (dB)."""
    prepared = prepare(module, (x,), {}, setting)
    try:
        assert prepared.deployed is not None
        return float(prepared.deployed["snr_db"])
    finally:
        for close in prepared.closers:
            close()


@pytest.mark.parametrize(
    ("runtime", "dtype"), [*FILES, *(pytest.param(*item, marks=pytest.mark.slow) for item in SLOW)]
)
def test_a_file_computes_what_eager_computes(runtime: str, dtype: str) -> None:
    skip_unless_installed(runtime, dtype)
    x = torch.randn(1, 3, 32, 24)
    prepared = prepare(network(), (x,), {}, Setting(runtime=runtime, dtype=dtype))  # type: ignore[arg-type]
    try:
        facts = prepared.deployed
        assert facts is not None
        assert facts["file_bytes"] > 500
        assert facts["samples"] == (1 if dtype == "fp32" else 8)
        # eight bits over a range of about four deviations are some 35 dB
        assert facts["snr_db"] > {"fp32": 60, "fp16": 40, "int8": 20}[dtype]
        assert prepared.difference is not None
        assert prepared.difference < {"fp32": 2e-3, "fp16": 3e-2, "int8": 0.5}[dtype]
        # the same arrays again give the same outputs
        first, second = (torch.as_tensor(prepared.run()[0]).clone() for _ in range(2))
        assert torch.equal(first, second)
        assert first.shape == (1, 8, 32, 24)
    finally:
        for close in prepared.closers:
            close()


@pytest.mark.parametrize(
    "runtime",
    [
        "onnxruntime",
        "openvino",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("executorch", "litert")),
    ],
)
def test_the_range_of_integers_holds_a_value_that_one_sample_alone_has(
    runtime: str, tmp_path: Path
) -> None:
    skip_unless_installed(runtime, "int8")
    from PIL import Image

    # one picture is white, seven are as dark as the network knows a mean
    for number in range(8):
        Image.new("RGB", (24, 32), (255,) * 3 if number == 3 else (124, 116, 104)).save(
            tmp_path / f"{number}.png"
        )
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 8, 1)).eval()
    setting = Setting(runtime=runtime, dtype="int8", calibration=str(tmp_path))
    # cut off at a mean over the pictures, the white one would lose most of its signal
    assert snr_db(net, torch.zeros(1, 3, 32, 24), setting) > 25


@pytest.mark.slow
def test_litert_converts_a_model_once_for_all_precisions(tmp_path: Path, monkeypatch) -> None:
    litert_torch = pytest.importorskip("litert_torch", reason="litert is not installed")
    from gadprof.measuring.runtimes import lite_rt

    net, x = nn.Conv2d(3, 8, 3, 1, 1).eval(), torch.randn(1, 3, 16, 16)

    def made(dtype: Any) -> Path:
        folder = tmp_path / dtype
        folder.mkdir()
        setting = Setting(runtime="litert", dtype=dtype)
        samples = sample_inputs((x,), {}, setting, 2)
        shared = str(tmp_path / "shared")
        job = Job(net, (x,), {}, setting, str(folder), ("input_0",), samples, shared)
        return Path(lite_rt.convert(job).path)

    whole = made("fp32")
    monkeypatch.setattr(litert_torch, "convert", None)
    integers = made("int8")
    assert (whole.parent.name, integers.parent.name) == ("fp32", "int8")
    assert whole.read_bytes() != integers.read_bytes()


@pytest.mark.parametrize(
    ("name", "ends", "wide"),
    [
        ("map", (0.0, 0.0), (-1e-3, 1e-3)),
        ("map", (-1e-4, 2e-4), (-1e-4, 2e-4)),
        ("gate", (-1e-4, 2e-4), (-1e-2, 1e-2)),
        ("gate", (-3.0, 1.0), (-3.0, 1.0)),
    ],
)
def test_a_range_too_narrow_for_integers_is_widened(
    name: str, ends: tuple[float, float], wide: tuple[float, float]
) -> None:
    import numpy

    from gadprof.measuring.runtimes.lite_rt import wide_enough

    ranges = {name: {"min": numpy.array([ends[0]]), "max": numpy.array([ends[1]]), "other": 1}}
    found = wide_enough(ranges, {"gate"})[name]
    assert (float(found["min"][0]), float(found["max"][0])) == pytest.approx(wide)
    assert found["other"] == 1


@pytest.mark.slow
def test_litert_runs_integers_of_a_gate_that_is_always_half_open(tmp_path: Path) -> None:
    pytest.importorskip("litert_torch", reason="litert is not installed")

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.map, self.gate = nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 1)
            nn.init.zeros_(self.gate.weight)
            nn.init.zeros_(self.gate.bias)

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.map(x))
            return y * torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True)))

    torch.manual_seed(0)
    setting = Setting(runtime="litert", dtype="int8")
    assert snr_db(Gated().eval(), torch.randn(1, 3, 16, 16), setting) > 25


def test_asking_whether_a_runtime_is_there_imports_nothing_of_it() -> None:
    # some of these libraries write to standard output when they are imported
    code = """
import sys
from gadprof.errors import MissingExtraError
from gadprof.measuring.runtimes.converted import RUN_BY, check_installed
for runtime in RUN_BY:
    try:
        check_installed(runtime)
    except MissingExtraError as error:
        assert "pip install" in str(error), error
print([package for package, *_ in RUN_BY.values() if package in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_runtime_that_is_not_there_names_its_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "MNN", None)
    with pytest.raises(MissingExtraError, match=r"gadprof\[mnn\]"):
        check_installed("mnn")


def test_settled_norms_give_outputs_of_mean_square_one_and_keep_weights_and_flags() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)).eval()
    nn.init.normal_(module[0].weight, std=1e-2)
    kept = module[0].weight.clone()
    x = 1 + torch.randn(2, 3, 16, 16)
    assert settle_norms(module, (x,), {})
    assert torch.equal(module[0].weight, kept)
    assert not any(part.training for part in module.modules())
    assert not module[1].running_mean.any()
    assert not module[1]._forward_pre_hooks
    power = module(x).square().mean((0, 2, 3))
    assert power.tolist() == pytest.approx([1, 1, 1, 1], rel=1e-4)
    # trained statistics are nobody's to change
    assert not settle_norms(module, (x,), {})


def test_a_norm_over_one_value_is_settled_too() -> None:
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(3)).eval()
    x = 5 + torch.randn(1, 3, 64, 64)
    assert settle_norms(module, (x,), {})
    assert module[1].running_var.tolist() == pytest.approx([25, 25, 25], rel=0.02)


def test_signal_to_noise_is_of_powers_in_decibels() -> None:
    wanted = torch.tensor([3.0, 4.0]).numpy()
    got = torch.tensor([3.0, 4.5]).numpy()
    worst, snr = judge([([wanted], [got])], Setting(runtime="openvino", dtype="int8"))
    assert worst == pytest.approx(0.125)  # 0.5 of 4
    assert snr == pytest.approx(20.0)  # 25 over 0.25


def test_fp32_outputs_beyond_the_tolerance_are_refused_and_a_wider_one_takes_them() -> None:
    wanted, got = torch.tensor([1.0, 4.0]).numpy(), torch.tensor([1.0, 4.02]).numpy()
    setting = Setting(runtime="ncnn")
    with pytest.raises(ModelFailedError, match=r"differ from eager's by 0\.005"):
        judge([([wanted], [got])], setting)
    assert judge([([wanted], [got])], setting, 0.01)[0] == pytest.approx(0.005, rel=1e-3)


def test_outputs_that_are_not_finite_are_refused() -> None:
    wanted, got = torch.ones(2).numpy(), torch.tensor([1.0, float("nan")]).numpy()
    with pytest.raises(ModelFailedError, match="1 values that are not finite"):
        judge([([wanted], [got])], Setting(runtime="litert", dtype="int8"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gap_of_eagers_does_not_excuse_one_elsewhere(value: float) -> None:
    wanted = torch.tensor([float("nan"), 1.0, 2.0]).numpy()
    got = torch.tensor([0.0, value, 2.0]).numpy()
    setting = Setting(runtime="mnn")
    with pytest.raises(ModelFailedError, match="1 values that are not finite"):
        judge([([wanted], [got])], setting)
    # where eager has no number, none is compared
    assert judge([([wanted], [wanted])], setting) == (0.0, None)
    with pytest.raises(ModelFailedError, match="own outputs are not finite"):
        judge([([wanted[:1]], [wanted[:1]])], setting)


def test_a_gap_in_one_output_is_not_lost_behind_a_good_one() -> None:
    good, gap = torch.ones(2), torch.tensor([1.0, float("nan")])
    assert largest_difference([good, good], [gap, good]) == float("inf")
    assert largest_difference([gap, good], [gap, 1.5 * good]) == pytest.approx(0.5)


def test_an_input_that_the_exporter_drops_does_not_shift_the_others() -> None:
    for package in PACKAGES["onnxruntime"]:
        pytest.importorskip(package, reason="the runtime onnxruntime is not installed")

    class Second(nn.Module):
        def forward(self, unused: Any, x: Any) -> Any:
            return 2 * x

    x = torch.randn(1, 4)
    prepared = prepare(Second().eval(), (torch.zeros(1, 4), x), {}, Setting(runtime="onnxruntime"))
    assert torch.equal(torch.as_tensor(prepared.run()[0]), 2 * x)


@pytest.mark.parametrize(
    ("runtime", "dtype", "kwargs", "words"),
    [
        ("coreml", "fp16", {}, "not in fp16; type --precision fp32"),
        ("qnn", "fp32", {}, "not in fp32; type --precision fp16"),
        ("tensorrt-engine", "int8", {}, "fp32 or fp16 here, not in int8"),
        ("coreml", "fp32", {"mask": None}, "takes mask by keyword"),
    ],
)
def test_what_a_vendors_path_does_not_write_is_refused(
    runtime: str, dtype: str, kwargs: dict[str, Any], words: str, tmp_path: Path
) -> None:
    setting = Setting(runtime=runtime, dtype=dtype)  # type: ignore[arg-type]
    job = Job(nn.Identity(), (), kwargs, setting, str(tmp_path), (), ())
    with pytest.raises(SettingError, match=words):
        vendors.convert(job)


def test_other_pictures_and_another_quantiser_make_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(b"1")
    setting = Setting(runtime="openvino", dtype="int8", calibration=str(pictures))

    def folders() -> list[str]:
        chosen = (setting, replace(setting, dtype="fp32"))
        return [folder_of(str(tmp_path), "gadnet32", item, None) for item in chosen]

    integers, floats = folders()
    assert folders() == [integers, floats]
    (pictures / "a.png").write_bytes(b"12")
    changed, same = folders()
    assert changed != integers
    assert same == floats
    monkeypatch.setitem(QUANTISERS, "openvino", "pytest")
    again, same = folders()
    assert again != changed
    assert same == floats


def test_a_joint_two_cells_away_is_not_near() -> None:
    wanted = torch.zeros(1, 2, 8, 6)
    wanted[0, 0, 3, 3] = wanted[0, 1, 5, 5] = 1
    got = torch.zeros(1, 2, 8, 6)
    got[0, 0, 4, 2] = got[0, 1, 3, 5] = 1
    picture = torch.zeros(1, 3, 32, 24).numpy()
    assert joints_within_cell([([wanted.numpy()], [got.numpy()])], [picture]) == 0.5
    assert joints_within_cell([([wanted.numpy()], [got.numpy()])], [picture[:, :, :16]]) is None


def test_calibration_reads_pictures_and_refuses_a_folder_without(
    tmp_path: Path, monkeypatch
) -> None:
    from PIL import Image

    from gadprof.measuring.runtimes import calibration

    setting = Setting(runtime="openvino", dtype="int8", calibration=str(tmp_path))
    x = torch.zeros(1, 3, 8, 6)
    with pytest.raises(DataError, match="holds no picture"):
        sample_inputs((x,), {}, setting)
    Image.new("RGB", (20, 10), (255, 0, 0)).save(tmp_path / "red.png")
    ((picture,),) = sample_inputs((x,), {}, setting)
    assert picture.shape == (1, 3, 8, 6)
    assert picture[0, 0] == pytest.approx((1 - 0.485) / 0.229)
    assert picture[0, 1] == pytest.approx(-0.456 / 0.224)
    for name in "bcd":
        Image.new("RGB", (20, 10)).save(tmp_path / f"{name}.png")
    assert len(sample_inputs((x,), {}, setting)) == 4
    monkeypatch.setattr(calibration, "PICTURES", 3)
    assert len(sample_inputs((x,), {}, setting)) == 3
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"a\.jpg"):
        sample_inputs((x,), {}, setting)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (Setting(runtime="ncnn", dtype="int8"), "but fp32, fp16; for int8"),
        (Setting(runtime="eager", dtype="int8"), "eager has no int8 here"),
        (Setting(runtime="executorch", dtype="bf16"), "has no bf16 here"),
        (Setting(runtime="mnn", device="cuda"), "on the CPU"),
        (Setting(runtime="litert", mode="train"), "does not train"),
    ],
)
def test_a_precision_that_a_runtime_lacks_is_refused_before_anything_is_built(
    setting: Setting, words: str
) -> None:
    with pytest.raises(SettingError, match=words):
        check_setting(setting)


@pytest.mark.parametrize("runtime", ["executorch", "litert"])
def test_a_runtime_that_reads_no_onnx_refuses_a_graph_before_it_is_read(runtime: str) -> None:
    with pytest.raises(SourceError, match=f"the runtime {runtime} cannot run; type --runtime onnx"):
        load_graph("absent.onnx", Setting(runtime=runtime))


def test_precisions_of_files_are_divided_by_each_other_and_those_of_torch_are_not() -> None:
    files = {Setting(runtime="openvino", dtype=d).comparable_key for d in ("fp32", "fp16", "int8")}  # type: ignore[arg-type]
    assert files == {Setting().comparable_key}
    assert Setting(dtype="bf16").comparable_key != Setting().comparable_key
