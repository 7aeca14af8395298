"""What a model is called with when nothing is given, and who says so.

Promises that the inputs are the model's own wherever it states any: what its builder returned, its
``example_input_array`` or ``example_input_shapes``, timm's configuration, torchvision's weights,
transformers' configuration and dummy inputs, ultralytics' image size. Where nothing is stated a
picture of 224 x 224 is assumed, of as many channels as the first convolution takes; the words that
come with the inputs say so. Two sizes are a picture only for a model whose first layer takes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gadprof.counting.inputs import Input
from gadprof.errors import SourceError

if TYPE_CHECKING:
    from torch import nn

_PICTURES = ("builtin", "timm", "torchvision")
_CHANNELS = (3, 4)  # colours, and colours with depth or transparency


def own_inputs(kind: str, target: str, module: nn.Module) -> tuple[tuple[Input, ...], str]:
    """The inputs that a model states, and who states them, in a few words.

    ``kind`` and ``target`` are those of its source. Raises SourceError where the model asks for
    something that its configuration does not tell.
    """
    array = _plain_tensors(getattr(module, "example_input_array", None))
    if array:
        return array, "the model's example_input_array"
    declared: Any = getattr(module, "example_input_shapes", None)
    if declared:
        shapes = tuple(tuple(int(size) for size in shape) for shape in declared)
        return tuple(map(Input, shapes)), "the model's example_input_shapes"
    if kind == "torchvision":
        found = _torchvision(target, module)
        if found:
            return found, "torchvision's weights"
    if takes_keywords(module):
        return _transformers(target or type(module).__name__, module)
    config = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None)
    size = config.get("input_size") if isinstance(config, Mapping) else None
    if size:
        return (Input(tuple(int(value) for value in size)),), "timm's configuration"
    if hasattr(module, "yaml") and hasattr(module, "stride"):  # ultralytics' own models
        table: Any = module.yaml
        channels = int(table.get("channels", table.get("ch", 3)))
        return (Input((channels, 640, 640)),), "ultralytics' image size"
    return (Input((_channels(module) or 3, 224, 224)),), "an assumption"


def settle(kind: str, module: nn.Module | None, item: Input) -> Input:
    """The input with its channels, where two sizes are a picture of a model that takes pictures."""
    if not item.plain or len(item.shape) != 2:
        return item
    channels = 3 if module is None else _channels(module)
    if channels in _CHANNELS or kind in _PICTURES:
        return Input((channels or 3, *item.shape))
    return item


def _channels(module: nn.Module) -> int:
    """The channels that a model takes pictures of, 0 where its first layer takes none."""
    from torch import nn

    known = (
        nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.Embedding, nn.RNNBase, nn.MultiheadAttention,
    )  # fmt: skip
    layer = next((item for item in module.modules() if isinstance(item, known)), None)
    return int(layer.in_channels) if isinstance(layer, nn.Conv2d) else 0


def _plain_tensors(value: Any) -> tuple[Input, ...]:
    """Example tensors as whole inputs, where they are nothing else."""
    import torch

    def whole(tensor: torch.Tensor, name: str = "") -> Input:
        dtype = str(tensor.dtype).removeprefix("torch.")
        return Input(tuple(tensor.shape), dtype, name, whole=True)

    if isinstance(value, torch.Tensor):
        return (whole(value),)
    if isinstance(value, Mapping) and value:
        if all(isinstance(item, torch.Tensor) for item in value.values()):
            return tuple(whole(item, str(name)) for name, item in value.items())
    elif isinstance(value, (tuple, list)) and all(isinstance(v, torch.Tensor) for v in value):
        return tuple(whole(item) for item in value)
    return ()


# --- torchvision ----------------------------------------------------------------------------------


def _torchvision(name: str, module: nn.Module) -> tuple[Input, ...]:
    """The size that a model's published weights were made for."""
    from torchvision import models

    try:
        weights: Any = models.get_model_weights(name).DEFAULT
        transforms = weights.transforms()
    except (ValueError, AttributeError):  # a model without weights
        return ()
    if hasattr(getattr(module, "transform", None), "min_size"):  # a detector: a list of pictures
        return ()
    if type(transforms).__name__ == "OpticalFlow":
        return Input((3, 520, 960)), Input((3, 520, 960))
    size = getattr(transforms, "crop_size", None) or getattr(transforms, "resize_size", None)
    if not size:
        return ()
    height, width = size if len(size) == 2 else (size[0], size[0])
    if "Video" in type(transforms).__name__:
        frames = int(weights.meta.get("min_temporal_size", 16))
        return (Input((3, max(frames, 16), int(height), int(width))),)
    return (Input((3, int(height), int(width))),)


# --- transformers ---------------------------------------------------------------------------------


def takes_keywords(module: nn.Module) -> bool:
    """Whether it is a model of transformers, which names its main input."""
    return bool(getattr(module, "main_input_name", None)) and hasattr(module, "config")


def by_main_keyword(module: nn.Module, shapes: Sequence[tuple[int, ...]]) -> tuple[Input, ...]:
    """What transformers' model is called with where a shape alone is given: the length of its
    tokens, or its main input's own shape."""
    main = str(getattr(module, "main_input_name", "input_ids"))
    if main != "input_ids":
        return (Input(shapes[0], "", main),)
    names = ["input_ids"]
    if getattr(module.config, "is_encoder_decoder", False):
        names.append("decoder_input_ids")
    return tuple(Input((shapes[0][-1],), "int64", name) for name in names)


_TOKENS = 128


def _transformers(name: str, module: nn.Module) -> tuple[tuple[Input, ...], str]:
    """Tokens, pixels, features or a wave, at the sizes of the configuration."""
    main = str(getattr(module, "main_input_name", "input_ids"))
    config: Any = module.config
    said = "transformers' configuration"
    if main == "input_ids":
        text: Any = getattr(config, "text_config", None) or config
        longest: Any = getattr(text, "max_position_embeddings", None) or _TOKENS
        found = [Input((min(_TOKENS, int(longest)),), "int64", "input_ids")]
        if getattr(config, "vision_config", None) is not None and "pixel_values" in _names(module):
            found += _pixels(config.vision_config)
        if getattr(config, "is_encoder_decoder", False):
            found.append(Input((_TOKENS,), "int64", "decoder_input_ids"))
        return tuple(found), said
    if main == "pixel_values":
        pixels = _pixels(getattr(config, "vision_config", None) or config)
        if pixels:
            return tuple(pixels), said
        channels: Any = getattr(config, "num_channels", 0)
        if channels:
            return (Input((int(channels), 224, 224), "", main),), "an assumption"
    if main == "input_features" and getattr(config, "num_mel_bins", None):
        positions: Any = getattr(config, "max_source_positions", 0)
        length = 2 * int(positions or 512)
        found = [Input((int(config.num_mel_bins), length), "float32", main)]
        if getattr(config, "is_encoder_decoder", False):
            found.append(Input((_TOKENS,), "int64", "decoder_input_ids"))
        return tuple(found), said
    if main == "input_values" and getattr(config, "conv_stride", None):
        return (Input((16000,), "float32", main),), f"{said}, one second of sound"
    dummy = _plain_tensors(getattr(module, "dummy_inputs", None))
    if dummy and any(item.name == main for item in dummy):
        return dummy, "transformers' dummy inputs"
    raise SourceError(
        f"{name} is called with {main!r}, whose shape its configuration does not say; "
        f"type --input {main}=SHAPE"
    )


def _names(module: nn.Module) -> list[str]:
    import inspect

    return list(inspect.signature(module.forward).parameters)


def _pixels(config: Any) -> list[Input]:
    """The picture (or the frames) that a vision configuration states, [] where it states none."""
    size = getattr(config, "image_size", None)
    if size is None:
        return []
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    shape: tuple[int, ...] = (int(getattr(config, "num_channels", 3)), int(height), int(width))
    frames = getattr(config, "num_frames", None)
    if frames:
        shape = (int(frames), *shape)
    return [Input(shape, "", "pixel_values")]
