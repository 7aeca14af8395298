"""From a network and boxes to keypoints in picture pixels: flip test, decoding and the way back.

The network maps N x 3 x H x W to heatmaps N x 17 x H/4 x W/4. Source: HRNet,
``lib/core/function.py`` (the flip test, whose mirrored map is moved by one cell) and
``lib/core/inference.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gadprof.errors import DataError, InputShapeError
from gadprof.pose import crops, keypoints, targets
from gadprof.pose.coco import Person
from gadprof.pose.dataset import SampleSettings, evaluation_loader
from gadprof.pose.decode import Decoding, decode
from gadprof.pose.faults import faults_of_workers_told
from gadprof.pose.weights import Weights

DEFAULT_SAMPLES = SampleSettings()


@dataclass(frozen=True)
class InferenceSettings:
    """How heatmaps are made and read; ``samples`` holds the input's size and the targets' sigma."""

    samples: SampleSettings = DEFAULT_SAMPLES
    decoding: Decoding = "quarter"
    flip: bool = True
    shift: bool = True
    batch: int = 32
    workers: int = 0
    device: str = "cpu"

    @property
    def sigma(self) -> float:
        """The targets' sigma in cells."""
        return self.samples.sigma or targets.default_sigma(self.samples.heatmap_size[1])


def settings_for(
    weights: Weights,
    *,
    size: tuple[int, int] | None = None,
    decoding: Decoding = "quarter",
    flip: bool = True,
    batch: int = 32,
    workers: int = 0,
    device: str = "cpu",
) -> InferenceSettings:
    """Settings with the input's size and sigma that the weights were trained with.

    ``size`` (height, width) overrides; weights that do not tell mean 256 x 192. Raises
    InputShapeError for a size that is not a multiple of 32.
    """
    trained = weights.settings
    height, width = size or (int(trained.get("height", 256)), int(trained.get("width", 192)))
    for word, value in (("height", height), ("width", width)):
        if value <= 0 or value % 32:
            raise InputShapeError(f"{word} {value} is not a positive multiple of 32; try 256x192")
    sigma = trained.get("sigma")
    return InferenceSettings(
        SampleSettings(height, width, None if sigma is None else float(sigma)),
        decoding,
        flip,
        batch=batch,
        workers=workers,
        device=device,
    )


def predict_people(
    module: nn.Module,
    people: Sequence[Person],
    settings: InferenceSettings,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float64]:
    """Keypoints N x 17 x 3 (x and y in picture pixels, score) of every person's box, in order.

    The module's training flags are as before afterwards. ``progress`` is told how many persons of
    how many are done. Raises DataError where the module is no pose network.
    """
    results = np.zeros((len(people), keypoints.COUNT, 3))
    loader = evaluation_loader(
        people, settings.samples, batch=settings.batch, workers=settings.workers
    )
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.inference_mode(), faults_of_workers_told():
            for images, numbers in loader:
                maps = heatmaps(module, images.to(settings.device), settings)
                points, scores = decode(maps, settings.decoding, sigma=settings.sigma)
                for row, number in enumerate(numbers.tolist()):
                    crop = crops.crop_of_box(people[number].box, settings.samples.aspect)
                    back = crops.inverse(crops.affine(crop, settings.samples.heatmap_size))
                    results[number, :, :2] = crops.transform(points[row], back)
                    results[number, :, 2] = scores[row]
                if progress is not None:
                    progress(int(numbers[-1]) + 1, len(people))
    finally:
        for part, training in modes.items():
            part.training = training
    return results


def heatmaps(
    module: nn.Module, images: torch.Tensor, settings: InferenceSettings
) -> NDArray[np.float32]:
    """Heatmaps of a batch, averaged with the mirrored batch's where the flip test is on.

    Raises DataError.
    """
    output = _run(module, images, settings)
    if settings.flip:
        mirrored = _run(module, images.flip(3), settings).flip(3)[:, list(keypoints.FLIP_ORDER)]
        if settings.shift:
            mirrored = torch.cat([mirrored[..., :1], mirrored[..., :-1]], dim=3)
        output = (output + mirrored) * 0.5
    array: NDArray[np.float32] = output.float().cpu().numpy()
    return array


def _run(module: nn.Module, images: torch.Tensor, settings: InferenceSettings) -> torch.Tensor:
    output = module(images)
    if isinstance(output, list) and output:
        output = output[-1]  # of a network with intermediate supervision the last one answers
    width, height = settings.samples.heatmap_size
    expected = (len(images), keypoints.COUNT, height, width)
    if not isinstance(output, torch.Tensor) or tuple(output.shape) != expected:
        shown = (
            "x".join(map(str, output.shape[1:]))
            if isinstance(output, torch.Tensor)
            else type(output).__name__
        )
        raise DataError(
            f"the network returns {shown}, not heatmaps of 17x{height}x{width}; name a pose "
            "network such as gadnet32 or hrnet32"
        )
    return output
