"""Crops, targets and decoding: HRNet's conventions, and points that come back where they were."""

from __future__ import annotations

import math

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from gadprof.pose import augment, crops, keypoints, targets
from gadprof.pose.decode import decode


def three_point_affine(crop: crops.Crop, size: tuple[int, int]) -> np.ndarray:
    """The same map found as OpenCV does from three pairs of points (centre, up, beside)."""
    turn = math.radians(crop.rotation_deg)
    up = np.array([math.sin(turn), -math.cos(turn)]) * crop.width / 2
    centre = np.array([crop.x, crop.y])
    source = np.float32([centre, centre + up, centre + up + [up[1], -up[0]]])
    middle = np.array([size[0] / 2, size[1] / 2])
    target_up = np.array([0.0, -size[0] / 2])
    target = np.float32([middle, middle + target_up, middle + target_up + [target_up[1], 0.0]])
    return cv2.getAffineTransform(source, target)


@pytest.mark.parametrize("rotation", [0.0, 30.0, -77.0])
def test_the_affine_map_is_the_one_through_three_points(rotation: float) -> None:
    crop = crops.Crop(211.5, 130.25, 150.0, 200.0, rotation)
    assert np.allclose(
        crops.affine(crop, (192, 256)), three_point_affine(crop, (192, 256)), atol=1e-3
    )


@pytest.mark.parametrize(
    ("box", "size"),
    [
        ((10.0, 20.0, 100.0, 100.0), (125.0, 500 / 3)),
        ((10.0, 20.0, 30.0, 200.0), (187.5, 250.0)),
    ],
)
def test_a_box_is_widened_to_the_aspect_and_padded_by_a_quarter(box, size) -> None:
    crop = crops.crop_of_box(box, 192 / 256)
    assert (crop.width, crop.height) == pytest.approx(size)
    assert (crop.x, crop.y) == (box[0] + box[2] / 2, box[1] + box[3] / 2)


def test_a_crop_s_centre_falls_on_the_middle_of_the_input() -> None:
    crop = crops.Crop(50.0, 60.0, 75.0, 100.0, 33.0)
    middle = crops.transform(np.array([[50.0, 60.0]]), crops.affine(crop, (192, 256)))
    assert middle == pytest.approx(np.array([[96.0, 128.0]]))


def test_the_inverse_map_brings_points_back() -> None:
    matrix = crops.affine(crops.Crop(50.0, 60.0, 75.0, 100.0, 33.0), (48, 64))
    points = np.random.default_rng(0).uniform(0, 60, (17, 2))
    assert crops.transform(crops.transform(points, matrix), crops.inverse(matrix)) == pytest.approx(
        points
    )


def test_the_mirrored_map_is_the_map_of_the_mirrored_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    crop = crops.Crop(70.0, 40.0, 45.0, 60.0, 20.0)
    direct = crops.warp(picture, crops.mirrored(crop, (48, 64), 120), (48, 64))
    turned = crops.Crop(119 - 70.0, 40.0, 45.0, 60.0, 20.0)
    by_hand = crops.warp(
        np.ascontiguousarray(picture[:, ::-1]), crops.affine(turned, (48, 64)), (48, 64)
    )
    assert np.abs(direct.astype(int) - by_hand).max() <= 8  # bilinear weights have 5 bits
    assert np.abs(direct.astype(int) - by_hand).mean() < 1


def test_normalisation_is_imagenet_s_and_turns_bgr_to_rgb() -> None:
    picture = np.zeros((2, 3, 3), dtype=np.uint8)
    picture[..., 0], picture[..., 2] = 255, 51  # blue and red
    values = crops.normalise(picture)
    assert values.shape == (3, 2, 3)
    assert values[0, 0, 0] == pytest.approx((0.2 - 0.485) / 0.229, abs=1e-6)
    assert values[2, 0, 0] == pytest.approx((1.0 - 0.406) / 0.225, abs=1e-6)


def joint(x: float, y: float, visibility: float = 2.0) -> np.ndarray:
    return np.array([[x, y, visibility]])


def test_a_target_peaks_at_one_on_its_rounded_cell() -> None:
    maps, weights = targets.make_targets(joint(101.0, 57.0), (48, 64), sigma=2.0)
    assert maps.shape == (1, 64, 48)
    assert weights.tolist() == [1.0]
    assert np.unravel_index(maps[0].argmax(), maps[0].shape) == (14, 25)
    assert maps.max() == 1.0
    assert maps[0, 14, 27] == pytest.approx(math.exp(-4 / 8))
    assert maps[0, 14, 32] == 0.0  # three sigmas and no further


def test_sigma_is_two_at_64_and_three_at_96_rows() -> None:
    assert targets.default_sigma(64) == 2.0
    assert targets.default_sigma(96) == 3.0


@pytest.mark.parametrize(
    ("point", "weight"),
    [
        (joint(50, 50, 0), 0.0),
        (joint(50, 50, 1), 1.0),
        (joint(-50, 50), 0.0),
        (joint(50, 400), 0.0),
        (joint(-5, 50), 1.0),
    ],
    ids=["unlabelled", "hidden", "far left", "far below", "half outside"],
)
def test_only_labelled_joints_whose_blob_touches_the_map_have_weight(point, weight) -> None:
    maps, weights = targets.make_targets(point, (48, 64), sigma=2.0)
    assert weights.tolist() == [weight]
    assert (maps.max() > 0) == bool(weight)


@pytest.mark.parametrize("seed", range(5))
def test_dark_decoding_finds_an_unbiased_target_s_centre(seed: int) -> None:
    generator = np.random.default_rng(seed)
    points = np.concatenate(
        [generator.uniform([40, 40], [150, 210], (17, 2)), np.full((17, 1), 2)], 1
    )
    maps, _ = targets.make_targets(points, (48, 64), sigma=2.0, unbiased=True)
    found, scores = decode(maps[None], "dark")
    # a cell's 1/50: the drawn Gaussian is cut at three sigmas
    assert np.abs(found[0] - points[:, :2] / 4).max() < 0.02
    assert (scores > 0.8).all()


@pytest.mark.parametrize(("dx", "dy"), [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_the_quarter_offset_goes_to_the_higher_neighbour(dx: int, dy: int) -> None:
    maps = np.zeros((1, 1, 16, 12), dtype=np.float32)
    maps[0, 0, 8, 6] = 1.0
    maps[0, 0, 8 + dy, 6 + dx] = 0.5
    found, _ = decode(maps, "quarter")
    assert found[0, 0].tolist() == [6 + 0.25 * dx, 8 + 0.25 * dy]


def test_no_offset_is_taken_on_the_border() -> None:
    maps = np.zeros((1, 1, 16, 12), dtype=np.float32)
    maps[0, 0, 0, 11] = 1.0
    for rule in ("quarter", "dark", "argmax"):
        assert decode(maps, rule)[0][0, 0].tolist() == [11.0, 0.0]


def test_an_empty_map_gives_the_origin_with_score_zero() -> None:
    found, scores = decode(np.zeros((1, 2, 8, 8), dtype=np.float32), "quarter")
    assert found.tolist() == [[[0.0, 0.0], [0.0, 0.0]]]
    assert scores.tolist() == [[0.0, 0.0]]


def test_flip_pairs_and_flip_order_agree() -> None:
    for left, right in keypoints.FLIP_PAIRS:
        assert keypoints.FLIP_ORDER[left] == right
        assert keypoints.FLIP_ORDER[right] == left
        assert keypoints.NAMES[left].replace("left", "right") == keypoints.NAMES[right]


def whole_person() -> np.ndarray:
    generator = np.random.default_rng(3)
    points = generator.uniform(0, 100, (17, 2))
    return np.concatenate([points, np.full((17, 1), 2)], axis=1).astype(np.float32)


def test_no_augmentation_leaves_the_crop_alone() -> None:
    crop = crops.Crop(1.0, 2.0, 75.0, 100.0)
    drawn = augment.draw(crop, whole_person(), 0.75, augment.NONE, np.random.default_rng(0))
    assert drawn == augment.Draw(crop, False)


def test_augmentation_is_a_function_of_its_generator() -> None:
    crop = crops.Crop(1.0, 2.0, 75.0, 100.0)
    draws = [
        augment.draw(crop, whole_person(), 0.75, augment.DEFAULT, np.random.default_rng(seed))
        for seed in (5, 5, 6)
    ]
    assert draws[0] == draws[1] != draws[2]


def test_scale_and_rotation_stay_within_their_limits() -> None:
    generator = np.random.default_rng(0)
    settings = augment.Augmentation(half_body_probability=0.0)
    crop = crops.Crop(0.0, 0.0, 75.0, 100.0)
    draws = [augment.draw(crop, whole_person(), 0.75, settings, generator) for _ in range(400)]
    factors = [drawn.crop.width / 75 for drawn in draws]
    assert min(factors) == pytest.approx(0.65)
    assert max(factors) == pytest.approx(1.35)
    assert max(abs(drawn.crop.rotation_deg) for drawn in draws) <= 90
    assert 0.3 < np.mean([drawn.crop.rotation_deg == 0 for drawn in draws]) < 0.5
    assert 0.4 < np.mean([drawn.flip for drawn in draws]) < 0.6


def test_half_body_crops_surround_one_half_of_the_body() -> None:
    joints = whole_person()
    joints[:11, 1] -= 500  # the upper body is far above the lower
    crop = crops.Crop(50.0, 0.0, 750.0, 1000.0)
    seen = {
        augment.half_body(crop, joints, 0.75, 1.5, np.random.default_rng(seed)).y < -200
        for seed in range(10)
    }
    assert seen == {True, False}


def test_half_body_of_too_few_joints_changes_nothing() -> None:
    joints = whole_person()
    joints[1:, 2] = 0
    crop = crops.Crop(50.0, 0.0, 75.0, 100.0)
    assert augment.half_body(crop, joints, 0.75, 1.5, np.random.default_rng(0)) == crop
