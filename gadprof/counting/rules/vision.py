"""Rules of detection and alignment: boxes, regions, deformable sampling, and the CTC loss.

What depends on data (how many boxes overlap, where a region lies) is counted as the algorithm's
worst case where only that is known from shapes, and says so in its formula.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from gadprof.counting.rules.work import Rule, Work, argument, elements, told

Args = Sequence[Any]
Kwargs = Mapping[str, Any]

_IOU_ADDS, _IOU_MULTIPLIES, _IOU_COMPARISONS = 6, 2, 7


def _nms(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """A sort, then each pair of boxes at most: overlap, areas added, a quotient, the threshold.

    Areas are computed once a box; each pair needs two minima and two maxima, two bounds at zero,
    six additions, two multiplications (the quotient one of them) and the threshold.
    """
    boxes = int(args[0].shape[0])
    pairs = boxes * (boxes - 1) // 2
    depth = max(0, (boxes - 1).bit_length())
    return Work(
        "reduction",
        adds=2 * boxes + _IOU_ADDS * pairs,
        multiplies=boxes + _IOU_MULTIPLIES * pairs,
        comparisons=boxes * depth + _IOU_COMPARISONS * pairs,
        attributes={"input_elements": elements(args[0]), "boxes": boxes},
    )


def _roi_samples(args: Args, ratio: int, height: int, width: int) -> int:
    """Samples a bin: the given ratio squared, else those of a region as large as the map."""
    if ratio > 0:
        return ratio * ratio
    x = args[0]
    return ceil(int(x.shape[-2]) / height) * ceil(int(x.shape[-1]) / width)


def _roi_align(positions: bool) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        """input, rois, scale, height, width, sampling_ratio, …: four taps a sample, then a mean."""
        height, width = int(args[3]), int(args[4])
        ratio = int(argument(args, kwargs, 5, "sampling_ratio", -1))
        samples, made = _roi_samples(args, ratio, height, width), elements(outs[0])
        return Work(
            "resize",
            adds=made * (samples * 4 - 1),
            multiplies=made * (samples * 4 + 1),
            attributes={"mode": "roi_align", "samples": samples, "regions": int(args[1].shape[0])},
        )

    return rule


def _roi_pool(average: bool) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        """Each bin of a region as large as the map: a maximum, or a mean."""
        samples = _roi_samples(args, 0, int(args[3]), int(args[4]))
        made = elements(outs[0])
        work = made * max(0, samples - 1)
        return Work(
            "pooling",
            adds=work if average else 0,
            multiplies=made if average else 0,
            comparisons=0 if average else work,
            attributes={
                "input_elements": made * samples,
                "average": average,
                "regions": int(args[1].shape[0]),
                "output_size": (int(args[3]), int(args[4])),
            },
        )

    return rule


def _ctc(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """log_probs (T, N, C), targets, …: at each step and each of 2 S + 1 states a sum of three.

    Three exponentials and a logarithm, three subtractions of the maximum and two comparisons for
    it, and four additions. Targets are taken as long as the longest.
    """
    steps = int(args[0].shape[0])
    batch = int(args[0].shape[1]) if args[0].dim() > 2 else 1
    longest = int(args[1].shape[-1]) if args[1].dim() > 1 else -(-elements(args[1]) // batch)
    cells = steps * batch * (2 * longest + 1)
    return Work(
        "reduction",
        adds=7 * cells,
        comparisons=2 * cells,
        transcendentals=4 * cells,
        attributes={"input_elements": elements(args[0])},
    )


def _ms_deform(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    """value (N, S, heads, size), shapes, starts, locations (N, Q, heads, levels, points, 2), ….

    Each sampled value is a weighted sum of four taps; attention then multiplies and adds it.
    """
    samples = elements(args[4]) * int(args[0].shape[-1])
    return Work(
        "attention",
        macs=samples,
        adds=3 * samples,
        multiplies=4 * samples,
        attributes={
            "batch": int(args[0].shape[0]),
            "heads": int(args[0].shape[2]),
            "queries": int(args[3].shape[1]),
            "keys": elements(args[4]) // max(1, elements(args[4][..., 0, 0])),
            "head_size": 0,
            "value_size": int(args[0].shape[-1]),
            "qk_macs": 0,
            "av_macs": samples,
            "mask": False,
            "causal": False,
        },
        functional="multi_scale_deformable_attention",
    )


_WORST = "; a region as large as the map where no sampling ratio is given"
RULES: dict[str, Rule] = {
    "torchvision.nms": told(_nms, "a sort, and every pair of n boxes: 15 n (n - 1) / 2 at most"),
    "torchvision.roi_align": told(
        _roi_align(False), "4 taps a sample, the mean of a bin's samples" + _WORST,
        "He et al., Mask R-CNN, 2017",
    ),
    "torchvision.ps_roi_align": told(
        _roi_align(True), "4 taps a sample, the mean of a bin's samples" + _WORST
    ),
    "torchvision.roi_pool": told(
        _roi_pool(False), "a maximum of each bin of a region as large as the map",
        "Girshick, Fast R-CNN, 2015",
    ),
    "torchvision.ps_roi_pool": told(
        _roi_pool(True), "a mean of each bin of a region as large as the map"
    ),
    "aten._ctc_loss": told(
        _ctc, "T N (2 S + 1) states: 7 additions, 2 comparisons, 4 transcendentals each",
        "Graves et al., Connectionist temporal classification, 2006, equation 6",
    ),
    **{
        name: told(
            _ms_deform, "samples x size MACs, and 4 taps a sample",
            "Zhu et al., Deformable DETR, 2021, equation 3",
        )
        for name in ("MultiScaleDeformableAttention.ms_deform_attn_forward",
                     "mmcv.ms_deform_attn_forward", "_C.ms_deform_attn_forward")
    },
}  # fmt: skip
