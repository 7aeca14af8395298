"""Which models tell most about a device, when only a few can be timed.

Promises the same models for the same prior: each next model is the one whose time, once known,
leaves least uncertainty about all models' times together, the coefficients being as free as a
calibration leaves them. So a model that is odd alone is not chosen. The models are of packages that
need no download. Without a prior, designs that lie far apart are the choice.
(Cohn, "Neural network exploration using optimal experiment design", 1996.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gadprof.prediction.fitting import Floats, Measured, variances
from gadprof.prediction.model import Coefficients

CANDIDATES = (
    "hrnet32", "gadnet32", "ghost-hrnet32", "litehrnet18", "torchvision:resnet18",
    "torchvision:resnet50", "torchvision:vgg11", "torchvision:densenet121",
    "torchvision:mobilenet_v2", "torchvision:mobilenet_v3_small", "torchvision:efficientnet_b0",
    "torchvision:convnext_tiny", "torchvision:swin_t", "torchvision:vit_b_32",
    "torchvision:shufflenet_v2_x1_0", "torchvision:regnet_y_800mf", "torchvision:squeezenet1_1",
    "torchvision:resnext50_32x4d", "torchvision:alexnet", "torchvision:maxvit_t",
)  # fmt: skip
NOISE = 4.0  # how far a time is from the form's, in units of BEND squared


def informative(rows: Sequence[Measured], prior: Coefficients, count: int) -> list[int]:
    """The indices of ``count`` rows in the order in which they tell most."""
    left = variances(prior, rows)
    chosen: list[int] = []
    for _ in range(min(count, len(rows))):
        spread = np.diag(left) + NOISE
        gain = (left**2).sum(axis=0) / spread
        gain[chosen] = -1.0
        pick = int(np.argmax(gain))
        left = left - np.outer(left[:, pick], left[pick]) / spread[pick]
        chosen.append(pick)
    return chosen


def far_apart(points: Floats, count: int) -> list[int]:
    """The indices of ``count`` points (n, axes), the first and then each farthest from those."""
    chosen = [0]
    distance = np.abs(points - points[0]).sum(axis=1)
    while len(chosen) < min(count, len(points)):
        chosen.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.abs(points - points[chosen[-1]]).sum(axis=1))
    return chosen
