"""Calibration: a device's speed is found again from a few of its times, with an honest error."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gadprof.errors import DataError, StoreError
from gadprof.prediction.calibrate import Device, calibrate, measured_rows
from gadprof.prediction.errors import (
    adaptive_summary,
    conformal_width,
    coverage,
    error_summary,
)
from gadprof.prediction.fits import find_fit, fits, fits_text, plain_fit, read_fits
from gadprof.prediction.fitting import (
    Measured,
    fit_coefficients,
    folds_of,
    predict_rows,
    variances,
)
from gadprof.prediction.informative import NOISE, informative
from gadprof.prediction.measurements import Line, family_of, read_csv, read_store
from gadprof.store.store import NewEntry, Store

MODELS = (
    "hrnet32:width=8",
    "gadnet32:width=8",
    "ghost-hrnet32:width=8",
    "hrnet32:width=16",
    "gadnet32:width=16,s=3",
    "ghost-se-hrnet32:width=8",
)


@pytest.fixture(scope="module")
def rows():
    """Times of a device that is exactly 3 x slower than the committed CPU."""
    device = Device("slow", compiled=True)
    found, failed = measured_rows([Line(m, 1, (3, 64, 64), 1.0) for m in MODELS], device)
    assert failed == []
    times = np.exp(predict_rows(fits()["i9-10940x-nchw"].members[0], found))
    return [replace(row, seconds=3 * float(t)) for row, t in zip(found, times, strict=True)]


def test_a_device_that_is_three_times_slower_is_found_from_six_models(rows):
    fit = calibrate(rows, Device("slow", compiled=True), "here")
    assert fit.method == "scaled from i9-10940x-nchw"
    gap = predict_rows(fit.members[0], rows) - np.log([row.seconds for row in rows])
    assert np.abs(gap).max() < 0.03
    assert fit.cv["mean_absolute_error"] < 0.05
    assert fit.cv["method"].startswith("leave-one-out over 6 models")
    assert "Student" in fit.cv["interval_method"]


def test_fewer_than_five_models_are_refused(rows):
    with pytest.raises(DataError, match="4 models could be used and a calibration needs 5"):
        calibrate(rows[:4], Device("slow", compiled=True), "here")


def test_a_file_of_coefficients_is_read_as_it_was_written(rows):
    fit = fits()["i9-10940x-nchw"]
    again = read_fits(fits_text({fit.key: fit}, "x"), "x")[fit.key]
    assert plain_fit(again) == plain_fit(fit)


def test_few_rows_move_a_prior_less_than_many(rows):
    prior = fits()["i9-10940x-nchw"].members[0]
    odd = [replace(rows[0], seconds=rows[0].seconds * 2), *rows[1:]]
    few = fit_coefficients(odd, "cpu", prior)
    many = fit_coefficients(odd * 50, "cpu", prior)
    moved = [np.abs(found.shape - prior.shape).sum() for found in (few, many)]
    assert moved[0] < moved[1]


def test_a_family_is_never_split_between_folds():
    families = [name for name in "abcdefghij" for _ in range(7)]
    folds = folds_of(families, 4)
    assert set(folds) == {0, 1, 2, 3}
    for name in set(families):
        assert len({f for f, n in zip(folds, families, strict=True) if n == name}) == 1


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("timm:tf_efficientnet_b0", "efficientnet"),
        ("timm:legacy_seresnet50", "seresnet"),
        ("gadnet32:s=4", "gadnet"),
        ("dir/net.py:build", "dir/net.py:build"),
    ],
)
def test_a_models_family_is_its_names_first_letters(model, family):
    assert family_of(model) == family


def test_the_interval_of_a_new_family_covers_it():
    random = np.random.default_rng(0)
    families = [f"f{i}" for i in range(200) for _ in range(5)]
    gaps = np.repeat(random.normal(0, 0.1, 200), 5) + random.normal(0, 0.02, 1000)
    width = conformal_width(gaps, families)
    assert 0.17 < width < 0.26
    assert 0.92 < coverage(gaps, families) < 0.98


def test_eighteen_families_are_too_few_for_a_conformal_interval():
    assert math.isinf(conformal_width(np.zeros(18), [str(i) for i in range(18)]))
    assert math.isfinite(conformal_width(np.zeros(19), [str(i) for i in range(19)]))
    assert "Student" in error_summary(np.full(6, 0.1), list("abcdef"), "x")["interval_method"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks the columns model, batch, input, latency"),
        ("model,batch,latency\nhrnet32,1,0.1\n", "lacks the column input"),
        ("model,batch,input,latency\n", "no measurements"),
        ("model,batch,input,latency\nhrnet32,0,,0.1\n", "batch '0' is no positive whole number"),
        ("model,batch,input,latency\nhrnet32,1,,-1\n", ":2: latency -1 is not a positive time"),
        ("model,batch,input,latency\nhrnet32,1,,nan\n", "is not a positive time"),
        ("model,batch,input,latency\nhrnet32,1,,fast\n", "'fast' is no number"),
        ("model,batch,input,latency\n,1,,1\n", "no model's name"),
        ("model,batch,input,latency\nhrnet32,1,3x,1\n", ":2: "),
    ],
)
def test_a_bad_table_is_refused_in_one_line(tmp_path, text, message, run_cli):
    path = tmp_path / "m.csv"
    path.write_text(text)
    target = str(tmp_path / "o.json")
    code, out, err = run_cli("calibrate", "--from", "csv", str(path), "-o", target)
    assert code == 2
    assert out == ""
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_milliseconds_and_repeated_samples_are_understood(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text(
        "model,batch,input,latency_ms\nhrnet32,2,256x192,10\nhrnet32,2,256x192,30\n"
        "hrnet32,2,256x192,20\n"
    )
    assert read_csv(str(path)) == (Line("hrnet32", 2, (3, 256, 192), 0.02),)


def kept(threads, median=0.5, mode="infer"):
    setting = {"device": "cpu", "dtype": "fp32", "amp": False, "channels_last": False}
    setting |= {"runtime": "eager", "threads": threads, "batch": 2, "mode": mode}
    result = {"latency_s": {"median": median}, "input_shapes": [[3, 64, 64]]}
    return NewEntry("measurement", "hrnet32:width=8", result, setting)


def test_the_store_gives_inference_under_one_setting(tmp_path):
    path = str(tmp_path / "s.sqlite")
    with Store(path) as store:
        store.add([kept(1), kept(2, 0.25), kept(1, 9.0, "train")])
    with pytest.raises(StoreError, match=r"under 2 settings; choose with --only threads=1\|2"):
        read_store(path, {})
    lines, setting = read_store(path, {"threads": "1"})
    assert lines == (Line("hrnet32:width=8", 2, (3, 64, 64), 0.5),)
    assert setting["runtime"] == "eager"
    with pytest.raises(StoreError, match="no finished inference measurement with threads=7"):
        read_store(path, {"threads": "7"})


def test_a_calibrated_device_predicts_from_the_shell(tmp_path, rows, run_cli):
    table = tmp_path / "m.csv"
    lines = [f"{r.model.replace(',', ';')},1,64x64,{r.seconds}" for r in rows if "," not in r.model]
    table.write_text("\n".join(["model,batch,input,latency", *lines]) + "\n")
    target = tmp_path / "slow.json"
    code, out, _ = run_cli(
        "calibrate", "--from", "csv", str(table), "--device", "slow", "--compiled",
        "-o", str(target), "--format", "json",
    )  # fmt: skip
    assert code == 0
    payload = json.loads(out)
    assert payload["models"] == 5
    assert payload["method"].startswith("scaled from")
    code, out, err = run_cli(
        "predict", "hrnet32:width=8", "--input", "64x64", "--coefficients", str(target),
        "--format", "json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    [row] = json.loads(out)["rows"]
    assert row["predicted_latency_s"]["value"] == pytest.approx(rows[0].seconds, rel=0.1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "no coefficients file"),
        ("{}", "no coefficients file"),
        ('{"schema_version": 1, "fits": {}}', "schema version 1, not 4"),
        ('{"schema_version": 4, "fits": {}}', "holds no fit"),
        ('{"schema_version": 4, "fits": {"a": {"classes": []}}}', "is damaged at 'a'"),
    ],
)
def test_a_file_that_holds_no_coefficients_is_refused_in_one_line(tmp_path, text, message, run_cli):
    path = tmp_path / "c.json"
    path.write_text(text)
    code, out, err = run_cli("predict", "hrnet32", "--coefficients", str(path))
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


def test_a_missing_file_of_coefficients_is_refused(run_cli):
    code, _, err = run_cli("predict", "hrnet32", "--coefficients", "nowhere.json")
    assert code == 2
    assert "cannot read coefficients 'nowhere.json'" in err


def test_a_layout_that_a_device_lacks_is_refused():
    with pytest.raises(Exception, match="rtx4090 was not measured in layout nhwc"):
        find_fit("rtx4090", "nhwc")


def test_rows_are_plain_measurements(rows):
    assert all(isinstance(row, Measured) for row in rows)


def test_the_interval_of_several_ways_of_leaving_out_is_the_hardest_ones():
    families = [str(i) for i in range(40)]
    easy, hard = np.full(40, 0.1), np.full(40, 0.3)
    none = np.zeros(40)
    found = adaptive_summary(
        {"prefix": (easy, families, none), "kind": (hard, families, none)}, "prefix", "x"
    )
    assert found["log_error_95"] == 0.3
    assert found["interval_method"] == "conformal, by kind"
    assert found["mean_absolute_error"] == round(math.expm1(0.1), 4)
    assert found["novelty_slope"] == 0


def test_errors_that_double_with_full_novelty_give_a_slope_of_one():
    novelties = np.linspace(0, 1, 50)
    gaps = 0.1 * (1 + novelties)
    families = [str(i) for i in range(50)]
    found = adaptive_summary({"prefix": (gaps, families, novelties)}, "prefix", "x")
    assert found["novelty_slope"] == 1.0
    assert found["log_error_95"] == pytest.approx(0.1)
    assert found["interval_coverage"] == 1.0


def test_the_models_that_tell_most_are_not_one_model_twice(rows):
    prior = fits()["i9-10940x-nchw"].members[0]
    doubled = [rows[0], *rows]  # the first one twice
    chosen = informative(doubled, prior, 4)
    assert len(set(chosen)) == 4
    assert not {0, 1} <= set(chosen)


def test_what_the_first_models_tell_is_not_told_again_by_a_later_one(rows):
    prior = fits()["i9-10940x-nchw"].members[0]
    order = informative(rows, prior, len(rows))
    shared = variances(prior, rows)
    assert order[0] == int(np.argmax((shared**2).sum(0) / (np.diag(shared) + NOISE)))
    assert sorted(order) == list(range(len(rows)))


def test_calibrating_here_times_the_chosen_models(run_cli, tmp_path, monkeypatch):
    timed = {}

    def measure(models, setting, **_):
        timed["models"] = models
        row = lambda name, at: SimpleNamespace(  # noqa: E731
            model=name, error=None, latency_s=SimpleNamespace(median=0.01 * (at + 1))
        )
        return SimpleNamespace(rows=[row(name, at) for at, name in enumerate(models)])

    monkeypatch.setattr("gadprof.measuring.bench.measure", measure)
    monkeypatch.setattr("gadprof.prediction.informative.CANDIDATES", MODELS)
    output = tmp_path / "box.json"
    code, out, _ = run_cli(
        "calibrate", "--from", "here", "--models", "5", "-o", str(output), "--format", "json"
    )
    assert code == 0
    assert len(timed["models"]) == 5
    assert json.loads(out)["models"] == 5
    assert read_fits(output.read_text(), "x")
