"""Random changes of a crop while training: half body, scaling, rotation and mirroring.

Every draw comes from one generator, so that a sample is a function of (seed, epoch, number) alone,
whatever the number of workers. Source: HRNet, ``lib/dataset/JointsDataset.py`` and its COCO
configuration (scale 0.35, rotation 45 degrees, half body of persons with more than 8 keypoints).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gadprof.pose import keypoints
from gadprof.pose.crops import Crop, crop_of_box


@dataclass(frozen=True)
class Augmentation:
    """How strong and how likely every random change is; all zeros change nothing."""

    scale: float = 0.35
    rotation_deg: float = 45.0
    rotation_probability: float = 0.6
    flip_probability: float = 0.5
    half_body_probability: float = 0.3
    half_body_joints: int = 8
    half_body_padding: float = 1.5


DEFAULT = Augmentation()
NONE = Augmentation(0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Draw:
    """One sample's crop, and whether it is taken from the mirrored picture."""

    crop: Crop
    flip: bool


def draw(
    crop: Crop,
    joints: NDArray[np.float32],
    aspect: float,
    settings: Augmentation,
    generator: np.random.Generator,
) -> Draw:
    """Draw one sample's crop; ``joints`` (17 x 3, picture pixels) serve the half-body choice."""
    labelled = joints[:, 2] > 0
    if (
        labelled.sum() > settings.half_body_joints
        and generator.random() < settings.half_body_probability
    ):
        crop = half_body(crop, joints, aspect, settings.half_body_padding, generator)
    factor = np.clip(
        generator.standard_normal() * settings.scale + 1.0,
        1.0 - settings.scale,
        1.0 + settings.scale,
    )
    rotation = 0.0
    if generator.random() < settings.rotation_probability:
        limit = 2.0 * settings.rotation_deg
        rotation = float(
            np.clip(generator.standard_normal() * settings.rotation_deg, -limit, limit)
        )
    flip = bool(generator.random() < settings.flip_probability)
    return Draw(
        replace(
            crop,
            width=crop.width * float(factor),
            height=crop.height * float(factor),
            rotation_deg=rotation,
        ),
        flip,
    )


def half_body(
    crop: Crop,
    joints: NDArray[np.float32],
    aspect: float,
    padding: float,
    generator: np.random.Generator,
) -> Crop:
    """A crop around the upper or the lower body's labelled keypoints; unchanged where too few."""
    labelled = joints[:, 2] > 0
    upper = [index for index in keypoints.UPPER_BODY if labelled[index]]
    lower = [index for index in keypoints.LOWER_BODY if labelled[index]]
    first, second = (upper, lower) if generator.random() < 0.5 else (lower, upper)
    chosen = first if len(first) > 2 else second
    if len(chosen) < 2:
        return crop
    points = joints[chosen, :2]
    low, high = points.min(axis=0), points.max(axis=0)
    centre = points.mean(axis=0)
    width, height = (float(size) for size in np.maximum(high - low, 1.0))
    box = (float(centre[0]) - width / 2, float(centre[1]) - height / 2, width, height)
    return crop_of_box(box, aspect, padding=padding)
