"""Redundancy figures against hand-computed values, grids of maps, four networks side by side."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

cv2 = pytest.importorskip("cv2")

from gadprof.errors import ModelFailedError, UnknownNameError
from gadprof.pose.mapgrids import grid
from gadprof.pose.pictures import read_picture
from gadprof.pose.redundancy import effective_rank, feature_maps, linear_cka, measure
from gadprof.pose.side_by_side import VARIANTS
from gadprof.pose.synthetic import make_split
from gadprof.store.store import Store


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("picture")
    make_split(folder, "val2017", 1, 1)
    return folder / "val2017" / "000000000001.png"


def test_correlation_duplicates_and_rank_of_maps_made_by_hand() -> None:
    a = np.array([[1.0, -1.0], [1.0, -1.0]])
    b = np.array([[1.0, 1.0], [-1.0, -1.0]])  # orthogonal to a
    maps = np.stack([a, 5.0 - 2.0 * a, b, np.full((2, 2), 7.0)])
    found = measure("m", "here", maps)
    assert (found.maps, found.constant, found.height, found.width) == (4, 1, 2, 2)
    # pairs (a, -2a), (a, b), (-2a, b): 1, 0, 0
    assert found.mean_abs_correlation == pytest.approx(1 / 3)
    assert found.near_duplicate_share == pytest.approx(2 / 3)
    # singular values: 2 sqrt(5) along a, 2 along b
    first = math.sqrt(5) / (math.sqrt(5) + 1)
    entropy = -first * math.log(first) - (1 - first) * math.log(1 - first)
    assert found.effective_rank == pytest.approx(math.exp(entropy))
    assert found.effective_rank_share == pytest.approx(math.exp(entropy) / 3)


def test_the_effective_rank_of_equal_orthogonal_rows_is_their_number() -> None:
    assert effective_rank(np.eye(6) * 3) == pytest.approx(6)
    assert effective_rank(np.ones((6, 4))) == pytest.approx(1)
    assert math.isnan(effective_rank(np.zeros((3, 3))))


@pytest.mark.parametrize("seed", range(4))
def test_cka_is_that_of_the_centred_gram_matrices(seed: int) -> None:
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(12, 5)), generator.normal(size=(12, 7))
    centre = np.eye(12) - 1 / 12
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    expected = (k * m).sum() / math.sqrt((k * k).sum() * (m * m).sum())
    assert linear_cka(x, y) == pytest.approx(expected)
    rotation = np.linalg.qr(generator.normal(size=(5, 5)))[0]
    assert linear_cka(x, 3.0 * x @ rotation) == pytest.approx(1.0)


def test_maps_are_seen_where_they_are_named_and_the_module_stays_as_it_was() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)).train()
    state = {key: value.clone() for key, value in module.state_dict().items()}
    image = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    maps = feature_maps(module, image, ["0", "2"])
    with torch.no_grad():
        assert np.allclose(maps["0"], module[0](image)[0].double().numpy())
    assert (maps["2"] >= 0).all()
    assert (maps["0"] < 0).any()  # the in-place ReLU did not reach what was seen
    assert all(torch.equal(value, state[key]) for key, value in module.state_dict().items())
    assert module.training
    assert all(not part._forward_hooks for part in module.modules())
    with pytest.raises(UnknownNameError, match="no place '7'"):
        feature_maps(module, image, ["7"])
    assert all(not part._forward_hooks for part in module.modules())


def test_a_place_without_maps_is_refused() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with pytest.raises(ModelFailedError, match="not feature maps"):
        feature_maps(module, torch.randn(1, 3, 2, 2), ["1"])


def test_a_grid_holds_every_map_scaled_to_its_own_range() -> None:
    maps = np.stack([np.array([[0.0, 10.0]]), np.array([[-5.0, 5.0]]), np.zeros((1, 2))])
    picture = grid(maps)
    assert picture.shape == (3, 5)  # two rows and two columns of 1 x 2 maps, lines between
    assert picture[0, [0, 1, 3, 4]].tolist() == [0.0, 1.0, 0.0, 1.0]
    assert np.isnan(picture[0, 2])  # no colour of the scale, where no map is
    assert np.isnan(picture[2, 3:]).all()
    assert picture[2, :2].tolist() == [0.0, 0.0]
    assert grid(np.zeros((9, 4, 4)), limit=4).shape == (9, 9)


def test_the_four_variants_stand_side_by_side_in_figures_and_grids(
    run_cli, picture: Path, tmp_path: Path
) -> None:
    figure, store = tmp_path / "maps.png", tmp_path / "results.sqlite"
    code, out, err = run_cli(
        "redundancy", "--image", str(picture), "--input", "64x64", "--figure", str(figure),
        "--limit", "16", "--format", "json", "--store", str(store),
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(out)["redundancy"]
    assert [(item["model"], item["place"]) for item in found] == [
        (model, place)
        for model in VARIANTS
        for place in ("layer1", "stage2[0]", "stage3[0]", "stage4[0]")
    ]
    for item in found:
        assert 0 <= item["mean_abs_correlation"] <= 1
        assert 1 <= item["effective_rank"] <= item["maps"]
        assert 0 <= item["neighbour_cka"] <= 1
        assert 0 <= item["near_duplicate_share"] <= 1
    drawn = read_picture(figure)
    assert drawn.shape[0] > 1000
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 100
    with Store(store) as opened:
        entries = opened.entries(kinds=("redundancy",))
    assert [entry.model for entry in entries] == list(VARIANTS)
    assert entries[0].result["places"]["stage4[0]"]["maps"] == 32
    assert entries[0].settings["input"] == [[3, 64, 64]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--figure", "maps.gif"), "is not .png, .svg or .pdf"),
        (("--place", "stag2"), "did you mean 'stage2'"),
        (("--place", "stage2[7]"), "gives 2 tensors"),
        (("--weights", "a.pt", "--weights", "b.pt"), "give one for each model"),
        (("--input", "30x30"), "multiple of 32"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(
    options: tuple[str, ...], words: str, run_cli, picture: Path
) -> None:
    code, _, err = run_cli(
        "redundancy", "gadnet32:width=4", "--image", str(picture), "--input", "64x64", *options
    )
    assert code == 2
    assert words in err


def test_figures_of_random_weights_say_so(run_cli, picture: Path) -> None:
    code, out, _ = run_cli(
        "redundancy", "gadnet32:width=4", "--image", str(picture), "--input", "64x64"
    )
    assert code == 0
    assert "Random weights" in out
