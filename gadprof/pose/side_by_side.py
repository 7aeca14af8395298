"""Several networks looked at on one picture: their feature maps and redundancy at equal places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from gadprof.models.sources import Source, build_module
from gadprof.pose import crops
from gadprof.pose.inference import settings_for
from gadprof.pose.mapgrids import Maps, figure_bytes
from gadprof.pose.pictures import read_picture
from gadprof.pose.redundancy import Redundancy, feature_maps, measure
from gadprof.pose.weights import Weights, load_into, read_weights

VARIANTS = ("hrnet32", "ghost-hrnet32", "ghost-se-hrnet32", "gadnet32")
FIGURE_FORMATS = ("png", "svg", "pdf")


@dataclass(frozen=True)
class MapsSideBySide:
    """Maps by model and place, their figures, and the input's (height, width)."""

    maps: Mapping[str, Mapping[str, Maps]]
    figures: tuple[Redundancy, ...]
    size: tuple[int, int]

    def figure(self, file_format: str, *, limit: int = 64) -> bytes:
        """The maps as one figure, each grid with its figures below."""
        captions = {
            (item.model, item.place): (
                f"|r| {item.mean_abs_correlation:.2f}, rank {item.effective_rank:.1f}/{item.maps}, "
                f"CKA {item.neighbour_cka:.2f}"
            )
            for item in self.figures
        }
        return figure_bytes(self.maps, captions, file_format=file_format, limit=limit)


def feature_maps_of(
    sources: Sequence[Source],
    image: str,
    *,
    weights: Sequence[str] = (),
    places: Sequence[str],
    size: tuple[int, int] | None = None,
    seed: int = 0,
) -> MapsSideBySide:
    """Run every network on one picture, whole and padded to the input's aspect.

    Networks without weights start from ``seed`` and are calibrated on the picture; the random state
    is left as it was. Raises GadprofError.
    """
    picture = read_picture(image)
    box = (0.0, 0.0, float(picture.shape[1]), float(picture.shape[0]))
    maps: dict[str, dict[str, Maps]] = {}
    figures: list[Redundancy] = []
    chosen = (0, 0)
    for number, source in enumerate(sources):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = build_module(source)
        given = read_weights(weights[number]) if weights else Weights("", "", {})
        if weights:
            load_into(module, given, source.name)
        settings = settings_for(given, size=size).samples
        chosen = (settings.height, settings.width)
        matrix = crops.affine(crops.crop_of_box(box, settings.aspect, padding=1.0), settings.size)
        warped = crops.normalise(crops.warp(picture, matrix, settings.size))
        tensor = torch.from_numpy(warped)[None]
        if not weights:
            calibrate(module, tensor)
        seen = feature_maps(module, tensor, places)
        name = source.name if source.name not in maps else f"{source.name} ({number + 1})"
        maps[name] = seen
        figures.extend(measure(name, place, planes) for place, planes in seen.items())
    return MapsSideBySide(maps, tuple(figures), chosen)


def calibrate(module: nn.Module, image: torch.Tensor) -> None:
    """Give an untrained network's batch normalisations the statistics of one image.

    Without it their running means and variances are 0 and 1, and a deep network's maps fade to
    nothing.
    """
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.momentum = 1.0
    module.train()
    with torch.no_grad():
        module(image)
    module.eval()
