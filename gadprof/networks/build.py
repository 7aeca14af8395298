"""Builds a plan as nn.Modules: the same channels that ``cost`` folds, with the paper's class names.

Weights start as in the official HRNet code: convolutions normal with standard deviation 0.001,
batch normalisation 1 and 0; linear layers as torch starts them.
"""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from gadprof.errors import SourceError
from gadprof.networks import modules as m
from gadprof.networks import plan as p
from gadprof.networks.spec import ModelSpec, plan_of

SEQUENCES: dict[str, type[nn.Sequential]] = {
    "Sequential": nn.Sequential,
    "GDModule": m.GDModule,
    "Stage": m.Stage,
}
RESIDUALS: dict[str, type[m.Residual]] = {"Residual": m.Residual}
EXCHANGES: dict[str, type[m.HighResolutionModule]] = {
    "HighResolutionModule": m.HighResolutionModule,
    "ADModule": m.ADModule,
}
SKELETONS: dict[str, type[m.PoseHighResolutionNet]] = {
    "PoseHighResolutionNet": m.PoseHighResolutionNet,
    "GADNet": m.GADNet,
}
ACTIVATIONS: dict[str, Callable[[bool], nn.Module]] = {
    "relu": lambda inplace: nn.ReLU(inplace=inplace),
    "relu6": lambda inplace: nn.ReLU6(inplace=inplace),
    "silu": lambda inplace: nn.SiLU(inplace=inplace),
    "hardswish": lambda inplace: nn.Hardswish(inplace=inplace),
    "hardsigmoid": lambda inplace: nn.Hardsigmoid(inplace=inplace),
    "sigmoid": lambda inplace: nn.Sigmoid(),
}


def build_spec(spec: ModelSpec) -> nn.Module:
    """Build the network of a spec on the current default device, in training mode."""
    module = build(plan_of(spec))
    if not all(parameter.is_meta for parameter in module.parameters()):
        initialise(module)  # what has no memory needs no weights
    return module


def initialise(module: nn.Module, *, std: float = 0.001) -> None:
    """Set starting weights as the official HRNet code does; draws from the global generator.

    Weights on the meta device have no values and stay as they are.
    """
    for part in module.modules():
        if any(weight.is_meta for weight in part.parameters(recurse=False)):
            continue
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(part.weight, std=std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.ones_(part.weight)
            nn.init.zeros_(part.bias)


def build(node: p.Node) -> nn.Module:
    """Build one node and everything below it; each place gets parameters of its own.

    Raises TypeError for a node without a builder.
    """
    builder = BUILDERS.get(type(node)) or _extended_builder(type(node))
    return builder(node)


# modules with builders of further nodes, in BUILDERS of their own, loaded when one is first met
EXTENSIONS: tuple[str, ...] = (
    "gadprof.networks.blocks.unit_builders",
    "gadprof.networks.families.builders",
)


def _extended_builder(kind: type[p.Node]) -> Callable[[Any], nn.Module]:
    for name in EXTENSIONS:
        builder: Callable[[Any], nn.Module] | None
        builder = importlib.import_module(name).BUILDERS.get(kind)
        if builder is not None:
            return builder
    raise TypeError(f"no builder for {kind.__name__}")


def _named(kind: str, own: Mapping[str, Callable[..., nn.Module]]) -> Callable[..., nn.Module]:
    """The class that a node's kind names, here or in an extension's KINDS."""
    for name in EXTENSIONS if kind not in own else ():
        found: Callable[..., nn.Module] | None
        found = importlib.import_module(name).KINDS.get(kind)
        if found is not None:
            return found
    return own[kind]


def _optional(node: p.Node | None) -> nn.Module | None:
    return None if node is None else build(node)


def _conv(node: p.Conv) -> nn.Module:
    kernel = node.k if isinstance(node.k, tuple) else (node.k, node.k)
    padding = node.padding if node.padding is not None else (kernel[0] // 2, kernel[1] // 2)
    return nn.Conv2d(
        node.c_in, node.c_out, kernel, node.stride, padding, node.dilation, node.groups, node.bias
    )


def _conv_transpose(node: p.ConvTranspose) -> nn.Module:
    return nn.ConvTranspose2d(
        node.c_in, node.c_out, node.k, node.stride, node.padding, node.output_padding,
        node.groups, node.bias,
    )  # fmt: skip


def _sequence(node: p.Sequence) -> nn.Module:
    names = node.names or tuple(str(index) for index in range(len(node.items)))
    built = OrderedDict((name, build(item)) for name, item in zip(names, node.items, strict=True))
    return _named(node.kind, SEQUENCES)(built)


def _upsample(node: p.Upsample) -> nn.Module:
    align = None if node.mode == "nearest" else False
    return nn.Upsample(scale_factor=node.scale, mode=node.mode, align_corners=align)


def _skeleton(node: p.HighResolutionNet) -> nn.Module:
    names = (
        "conv1", "bn1", "conv2", "bn2", "layer1", "transition1", "stage2", "transition2",
        "stage3", "transition3", "stage4", "final_layer",
    )  # fmt: skip
    return SKELETONS[node.kind](*(build(getattr(node, name)) for name in names))


BUILDERS: dict[type[p.Node], Callable[[Any], nn.Module]] = {
    p.Conv: _conv,
    p.ConvTranspose: _conv_transpose,
    p.BatchNorm: lambda n: nn.BatchNorm2d(n.c, momentum=0.1),
    p.Linear: lambda n: nn.Linear(n.c_in, n.c_out, bias=n.bias),
    p.Activation: lambda n: ACTIVATIONS[n.kind](n.inplace),
    p.MaxPool: lambda n: nn.MaxPool2d(n.k, n.stride, n.padding),
    p.AvgPool: lambda n: nn.AvgPool2d(
        n.k, n.stride, n.padding, ceil_mode=n.ceil, count_include_pad=not n.ceil
    ),
    p.GlobalPool: lambda n: nn.AdaptiveAvgPool2d(1),
    p.Flatten: lambda n: nn.Flatten(1),
    p.Upsample: _upsample,
    p.Identity: lambda n: nn.Identity(),
    p.Sequence: _sequence,
    p.Residual: lambda n: _named(n.kind, RESIDUALS)(
        build(n.body), _optional(n.shortcut), _optional(n.activation)
    ),
    p.Concat: lambda n: m.Concat([build(path) for path in n.paths]),
    p.BasicBlock: lambda n: m.BasicBlock(
        build(n.conv1), build(n.bn1), build(n.conv2), build(n.bn2), _optional(n.downsample)
    ),
    p.Bottleneck: lambda n: m.Bottleneck(
        build(n.conv1), build(n.bn1), build(n.conv2), build(n.bn2), build(n.conv3), build(n.bn3),
        _optional(n.downsample),
    ),
    p.SEBlock: lambda n: m.SEBlock(n.c, n.hidden, bias=n.bias),
    p.CheapOperation: lambda n: m.CheapOperation(
        n.c, n.g, n.d, n.stride, activation=n.activation
    ),
    p.GhostModule: lambda n: m.GhostModule(build(n.primary), _optional(n.cheap)),
    p.GaBlock: lambda n: m.GaBlock(
        build(n.primary), _optional(n.attention), _optional(n.cheap), shortcut=n.shortcut
    ),
    p.GdBlock: lambda n: m.GdBlock(build(n.primary), _optional(n.cheap), _optional(n.attention)),
    p.GhostBlock: lambda n: m.GhostBlock(build(n.ghost1), build(n.ghost2)),
    p.Transition: lambda n: m.Transition([build(item) for item in n.items]),
    p.HighResolutionModule: lambda n: EXCHANGES[n.kind](
        [build(branch) for branch in n.branches],
        [[build(layer) for layer in row] for row in n.rows],
    ),
    p.HighResolutionNet: _skeleton,
}  # fmt: skip


def load_weights(module: nn.Module, path: str) -> nn.Module:
    """Load a checkpoint of tensors alone (``weights_only=True``) with ``strict=True``.

    Takes a plain state dict, or one under ``state_dict`` or ``model``, and names that start with
    ``module.``. Raises SourceError that names the first missing, unexpected or misshapen key.
    """
    import os

    if not os.path.isfile(path):
        raise SourceError(f"weights file {path!r} does not exist")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise SourceError(
            f"weights file {path!r} cannot be read as a PyTorch checkpoint of tensors alone "
            f"({type(error).__name__})"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not loaded:
        raise SourceError(f"weights file {path!r} holds no state dict")
    if all(str(key).startswith("module.") for key in loaded):
        loaded = {str(key)[len("module.") :]: value for key, value in loaded.items()}
    _check_state(module, loaded, path)
    module.load_state_dict(loaded, strict=True)
    return module


def _check_state(module: nn.Module, loaded: dict[Any, Any], path: str) -> None:
    own = module.state_dict()
    missing = [key for key in own if key not in loaded]
    unexpected = [str(key) for key in loaded if key not in own]
    if missing or unexpected:
        parts = []
        if missing:
            parts.append(f"{len(missing)} missing keys, the first is {missing[0]!r}")
        if unexpected:
            parts.append(f"{len(unexpected)} unexpected keys, the first is {unexpected[0]!r}")
        raise SourceError(
            f"weights file {path!r} does not fit the model: {'; '.join(parts)}; "
            "name the model that the weights were trained with"
        )
    for key, value in own.items():
        if tuple(loaded[key].shape) != tuple(value.shape):
            raise SourceError(
                f"weights file {path!r} does not fit the model: {key!r} has shape "
                f"{tuple(loaded[key].shape)}, the model needs {tuple(value.shape)}; "
                "set the model's width and joints to the checkpoint's"
            )
