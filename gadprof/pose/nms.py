"""Rescoring and OKS non-maximum suppression of predicted persons, as in HRNet's evaluation.

Source: HRNet, ``lib/dataset/coco.py`` (evaluate) and ``lib/nms/nms.py`` (oks_nms).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gadprof.pose.oks import similarities

VISIBLE_SCORE = 0.2
OKS_THRESHOLD = 0.9


def rescore(
    joint_scores: NDArray[np.floating], box_score: float, *, visible: float = VISIBLE_SCORE
) -> float:
    """A person's score: the box's times the mean of the joints' scores above ``visible``."""
    good = joint_scores[joint_scores > visible]
    return float(good.mean() * box_score) if len(good) else 0.0


def oks_nms(
    people: NDArray[np.floating],
    scores: Sequence[float] | NDArray[np.floating],
    areas: Sequence[float] | NDArray[np.floating],
    *,
    threshold: float = OKS_THRESHOLD,
) -> list[int]:
    """The numbers of the persons (N x J x 3) of one picture that stay, best score first.

    A person goes when its OKS with a better one is above ``threshold``.
    """
    areas = np.asarray(areas, dtype=np.float64)
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    kept: list[int] = []
    while len(order):
        best, rest = int(order[0]), order[1:]
        kept.append(best)
        close = similarities(people[best], people[rest], float(areas[best]), areas[rest])
        order = rest[close <= threshold]
    return kept
