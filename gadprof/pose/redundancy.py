"""How redundant a network's feature maps are at named places, in figures and in pictures.

A place is a module's name, with ``[i]`` for one map of several (``stage4[0]``); its maps are those
of one picture, C x H x W. Observing leaves the module as it was. The figures:

- mean absolute pairwise correlation (Pearson) over all pairs of maps;
- effective rank: exp of the entropy of the normalised singular values of the C x HW matrix of
  centred maps (Roy and Vetterli, "The effective rank", 2007), also as a share of C;
- linear CKA between neighbouring maps c and c + 1, a map's rows being the examples and its columns
  the features (Kornblith et al., "Similarity of neural network representations revisited", 2019);
- share of near-duplicates: maps that some other map follows with |correlation| >= 0.95.

Maps that are constant have no correlation: they are left out of the figures and counted apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gadprof.errors import ModelFailedError, UnknownNameError, nearest

NEAR_DUPLICATE = 0.95

# the same four places in every network with HRNet's skeleton: after each stage, full resolution
DEFAULT_PLACES = ("layer1", "stage2[0]", "stage3[0]", "stage4[0]")


@dataclass(frozen=True)
class Redundancy:
    """The figures of one place: see the module for what each means.

    ``maps`` are counted with the ``constant`` ones, which the other figures leave out; a figure
    that needs two maps is NaN where there are fewer.
    """

    model: str
    place: str
    maps: int
    height: int
    width: int
    constant: int
    mean_abs_correlation: float
    effective_rank: float
    effective_rank_share: float
    neighbour_cka: float
    near_duplicate_share: float


def feature_maps(
    module: nn.Module, image: torch.Tensor, places: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """The maps (C x H x W) that a forward pass of one image (1 x 3 x H x W) gives at each place.

    Hooks, training flags and buffers are as before afterwards. Raises UnknownNameError for a place
    that is not there, ModelFailedError for one that gives no maps.
    """
    parts = dict(module.named_modules())
    caught: dict[str, Any] = {}
    handles = []
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        for name in dict.fromkeys(_split(place)[0] for place in places):
            if name not in parts:
                raise UnknownNameError(
                    f"the model has no place {name!r}"
                    + (nearest(name, parts) or f"; it has {', '.join(_top(parts))}")
                )
            handles.append(parts[name].register_forward_hook(_catcher(caught, name)))
        with torch.inference_mode():
            module(image)
    finally:
        for handle in handles:
            handle.remove()
        for part, training in modes.items():
            part.training = training
    return {place: _maps(caught, place) for place in places}


def measure(model: str, place: str, maps: NDArray[np.float64]) -> Redundancy:
    """The figures of one place's maps (C x H x W)."""
    count, height, width = maps.shape
    flat = maps.reshape(count, -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(centred, axis=1)
    # a map whose spread is rounding noise beside its size is constant
    alive = norms > 1e-6 * np.maximum(np.linalg.norm(flat, axis=1), 1e-12)
    used = int(alive.sum())
    unit = centred[alive] / norms[alive, None] if used else centred[:0]
    correlation = np.abs(unit @ unit.T)
    pairs = correlation[np.triu_indices(used, 1)]
    np.fill_diagonal(correlation, 0.0)
    rank = effective_rank(centred[alive])
    living = maps[alive]
    neighbours = [linear_cka(living[i], living[i + 1]) for i in range(used - 1)]
    finite = [value for value in neighbours if np.isfinite(value)]
    return Redundancy(
        model=model,
        place=place,
        maps=count,
        height=height,
        width=width,
        constant=count - used,
        mean_abs_correlation=float(pairs.mean()) if len(pairs) else float("nan"),
        effective_rank=rank,
        effective_rank_share=rank / used if used else float("nan"),
        neighbour_cka=float(np.mean(finite)) if finite else float("nan"),
        near_duplicate_share=(
            float((correlation.max(axis=1) >= NEAR_DUPLICATE).mean()) if used > 1 else float("nan")
        ),
    )


def effective_rank(matrix: NDArray[np.float64]) -> float:
    """exp of the entropy of the singular values' shares; NaN for a matrix of nothing."""
    values = np.linalg.svd(matrix, compute_uv=False) if matrix.size else np.zeros(0)
    total = values.sum()
    if total <= 0:
        return float("nan")
    shares = values[values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def linear_cka(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Linear CKA of two matrices with one example a row, 0 to 1; NaN where one has no spread."""
    x = first - first.mean(axis=0, keepdims=True)
    y = second - second.mean(axis=0, keepdims=True)
    own = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    if own <= 0:
        return float("nan")
    return float(np.linalg.norm(y.T @ x) ** 2 / own)


def _split(place: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(.*)\[(\d+)\]", place)
    return (match.group(1), int(match.group(2))) if match else (place, None)


def _catcher(caught: dict[str, Any], name: str) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        # a later in-place operation must not change what was seen
        caught[name] = (
            output.detach().clone()
            if isinstance(output, torch.Tensor)
            else [item.detach().clone() for item in output if isinstance(item, torch.Tensor)]
        )

    return hook


def _maps(caught: dict[str, Any], place: str) -> NDArray[np.float64]:
    name, index = _split(place)
    if name not in caught:
        raise ModelFailedError(f"place {place!r} was not run in this model's forward pass")
    value = caught[name]
    if isinstance(value, list):
        if (index or 0) >= len(value):
            raise UnknownNameError(f"place {name!r} gives {len(value)} tensors; {place!r} is none")
        value = value[index or 0]
    elif index:
        raise UnknownNameError(f"place {name!r} gives one tensor; leave out [{index}]")
    if value.dim() != 4:
        shape = "x".join(map(str, value.shape))
        raise ModelFailedError(f"place {place!r} gives {shape}, not feature maps (1 x C x H x W)")
    maps: NDArray[np.float64] = value[0].double().cpu().numpy()
    if not np.isfinite(maps).all():
        raise ModelFailedError(f"the feature maps at {place!r} are not finite; check the weights")
    return maps


def _top(names: Iterable[str]) -> list[str]:
    return [name for name in names if name and "." not in name]
