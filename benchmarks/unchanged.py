"""Whether counting leaves real models as they were: state, hooks, attributes, classes and answers.

python benchmarks/unchanged.py [--package timm] [--limit 40] [--results FILE]

Small models of ten packages and more are built with random weights. Of each, everything that it
holds is written down and its answer to one input computed; then it is counted (forward, and again)
and everything is compared: parameters and buffers bit for bit, hooks of every kind by identity,
attributes of every module, attributes of its classes, training flags, random states, answers. A
model of a package that is not installed is left out, and named. ``--results`` keeps a line a
model, so that a run that was stopped goes on where it ended.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import io
import json
import random
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

PICTURE = (3, 64, 64)
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs",
         "_forward_pre_hooks_with_kwargs", "_forward_hooks_always_called", "_backward_hooks",
         "_backward_pre_hooks", "_state_dict_hooks", "_state_dict_pre_hooks",
         "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks")  # fmt: skip

Build = Callable[[], tuple[Any, tuple[Any, ...], dict[str, Any]]]


def picture(*shape: int) -> Any:
    """One random input."""
    import torch

    return torch.randn(1, *shape)


SIGNS = ("atto", "femto", "pico", "nano", "_xxs", "test_", "_xt", "tiny", "_xs", "_t0", "_s0",
         "_b0", "_small", "_s_", "18", "_0", "_m0")  # fmt: skip


def timm_file(name: str) -> str:
    """The file of timm that a model is written in."""
    import timm

    file: str = timm.model_entrypoint(name).__module__.rpartition(".")[2]
    return file


def timm_models() -> Iterator[tuple[str, Build]]:
    """The architecture of each of timm's files whose name promises the smallest."""
    import timm

    files: dict[str, list[str]] = {}
    for name in timm.list_models():
        files.setdefault(timm_file(name), []).append(name)
    for names in files.values():
        name = next((item for sign in SIGNS for item in names if sign in item), None)
        if name is None:
            continue

        def build(name: str = name) -> Any:
            model = timm.create_model(name)
            size = model.default_cfg.get("input_size", (3, 224, 224))
            return model, (picture(*size),), {}

        yield name, build


def torchvision_models() -> Iterator[tuple[str, Build]]:
    """Classifiers, segmenters and detectors."""
    import torchvision

    for name in ("resnet18", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "googlenet",
                 "densenet121", "squeezenet1_1", "shufflenet_v2_x0_5", "mnasnet0_5", "swin_t",
                 "vit_b_32", "convnext_tiny", "regnet_y_400mf", "maxvit_t", "inception_v3",
                 "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large", "fcn_resnet50",
                 "ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn", "r3d_18",
                 "swin3d_t", "raft_small"):  # fmt: skip

        def build(name: str = name) -> Any:
            extra = {"weights": None}
            if "resnet50" in name or name.startswith(("deeplab", "lraspp", "ssd")):
                extra["weights_backbone"] = None
            model = torchvision.models.get_model(name, **extra)
            if name in ("ssdlite320_mobilenet_v3_large", "retinanet_resnet50_fpn"):
                return model, ([picture(3, 96, 96)[0]],), {}
            if name in ("r3d_18", "swin3d_t"):
                return model, (picture(3, 8, 64, 64),), {}
            if name == "raft_small":
                return model, (picture(3, 128, 128), picture(3, 128, 128)), {}
            size = {"vit_b_32": 224, "maxvit_t": 224, "inception_v3": 299}.get(name, 96)
            return model, (picture(3, size, size),), {}

        yield name, build


# tiny configurations, by what makes any of transformers' models small
SMALL = {
    "hidden_size": 32, "d_model": 32, "embed_dim": 32, "dim": 32, "n_embd": 32,
    "num_hidden_layers": 2, "num_layers": 2, "encoder_layers": 2, "decoder_layers": 2,
    "n_layers": 2, "n_layer": 2, "num_attention_heads": 2, "n_heads": 2, "n_head": 2,
    "num_key_value_heads": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "intermediate_size": 64, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "hidden_dim": 64,
    "vocab_size": 99, "image_size": 64, "patch_size": 16, "head_dim": 16,
    "max_position_embeddings": 64, "num_local_experts": 4,
}  # fmt: skip
# what a model wants otherwise; None is for what its configuration does not take
OWN: dict[str, dict[str, Any]] = {
    "CodeGen": {"rotary_dim": 8}, "GPTJ": {"rotary_dim": 8}, "Falcon": {"head_dim": None},
    "Funnel": {"num_hidden_layers": None, "block_sizes": [1, 1]}, "Phi3": {"pad_token_id": 0},
    "GPTNeo": {"attention_types": [[["global", "local"], 1]]}, "SqueezeBert": {"hidden_size": None},
    "XLNet": {"max_position_embeddings": None, "d_head": 16}, "Swin": {"window_size": 2},
    "Hiera": {"image_size": [64, 64]}, "Yolos": {"image_size": [64, 64]},
}  # fmt: skip
TEXT = ("Bert", "Roberta", "Albert", "DistilBert", "Electra", "MobileBert", "GPT2", "GPTNeoX",
        "Llama", "Mistral", "Mixtral", "Qwen2", "Qwen3", "Phi", "Phi3", "Gemma", "Gemma2",
        "Falcon", "Bloom", "OPT", "XLNet", "DebertaV2", "Funnel", "MPNet", "Camembert", "ConvBert",
        "RoFormer", "SqueezeBert", "Mamba", "Olmo", "StableLm", "Starcoder2", "Cohere", "Granite",
        "Nystromformer", "FNet", "XGLM", "CodeGen", "GPTJ", "GPTNeo", "Persimmon")  # fmt: skip
VISION = ("ViT", "DeiT", "Beit", "Swin", "Swinv2", "ConvNext", "ConvNextV2", "ResNet", "RegNet",
          "MobileNetV1", "MobileNetV2", "Dinov2", "Data2VecVision", "PoolFormer", "Segformer",
          "Levit", "Cvt", "EfficientNet", "Bit", "FocalNet", "PvtV2", "Pvt", "MobileViT",
          "MobileViTV2", "ViTMSN", "Hiera", "Dinov2WithRegisters", "ViTMAE", "IJepa",
          "SwiftFormer", "GLPN", "DPT", "Yolos")  # fmt: skip


def transformers_models() -> Iterator[tuple[str, Build]]:
    """Text and vision models from small configurations; segmenters and depth estimators."""
    import torch
    import transformers

    def configured(name: str) -> Any:
        kind = getattr(transformers, f"{name}Config")
        plain = kind()
        wanted = {key: value for key, value in SMALL.items() if hasattr(plain, key)}
        wanted |= OWN.get(name, {})
        return kind(**{key: value for key, value in wanted.items() if value is not None})

    for name in TEXT:

        def text(name: str = name) -> Any:
            model = getattr(transformers, f"{name}Model")(configured(name))
            return model, (torch.arange(12)[None],), {}

        yield name, text
    for name in VISION:

        def vision(name: str = name) -> Any:
            kind = getattr(transformers, f"{name}Config")
            size = {"image_size": 64} if hasattr(kind(), "image_size") else {}
            config = kind(**(size | OWN.get(name, {})))
            model = getattr(transformers, f"{name}Model")(config)
            return model, (picture(*PICTURE),), {}

        yield name, vision

    def segmenter() -> Any:
        config = transformers.SegformerConfig(
            depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 32, 64], decoder_hidden_size=32
        )
        return transformers.SegformerForSemanticSegmentation(config), (picture(*PICTURE),), {}

    def beit() -> Any:
        config = transformers.BeitConfig(
            hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64,
            image_size=64, out_indices=[0, 1, 2, 3], pool_scales=[1, 2], use_auxiliary_head=False,
        )  # fmt: skip
        return transformers.BeitForSemanticSegmentation(config), (picture(*PICTURE),), {}

    def depth() -> Any:
        config = transformers.DPTConfig(
            hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64,
            image_size=64, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 16, 16, 16],
            fusion_hidden_size=16,
        )  # fmt: skip
        return transformers.DPTForDepthEstimation(config), (picture(*PICTURE),), {}

    yield "SegformerForSemanticSegmentation", segmenter
    yield "BeitForSemanticSegmentation", beit
    yield "DPTForDepthEstimation", depth


def segmentation_models() -> Iterator[tuple[str, Build]]:
    """Every decoder on a small encoder."""
    import segmentation_models_pytorch as smp

    for name in ("Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "DeepLabV3",
                 "DeepLabV3Plus", "PAN", "UPerNet", "Segformer"):  # fmt: skip

        def build(name: str = name) -> Any:
            size = 128 if name == "PAN" else 64  # its pyramid asks for more
            model = getattr(smp, name)("resnet18", encoder_weights=None)
            return model, (picture(3, size, size),), {}

        yield name, build


def vit_models() -> Iterator[tuple[str, Build]]:
    """Transformers of vit-pytorch."""
    from importlib import import_module

    plain = {"image_size": 64, "patch_size": 16, "num_classes": 5, "dim": 32, "depth": 2,
             "heads": 2, "mlp_dim": 64}  # fmt: skip
    for file, name, extra in (
        ("vit", "ViT", {}), ("simple_vit", "SimpleViT", {}), ("deepvit", "DeepViT", {}),
        ("vit_for_small_dataset", "ViT", {}), ("parallel_vit", "ViT", {}), ("rvt", "RvT", {}),
        ("cait", "CaiT", {"cls_depth": 1}), ("vit_with_patch_dropout", "ViT", {}),
        ("simple_vit_with_register_tokens", "SimpleViT", {}), ("learnable_memory_vit", "ViT", {}),
    ):  # fmt: skip

        def build(file: str = file, name: str = name, extra: Any = extra) -> Any:
            kind = getattr(import_module(f"vit_pytorch.{file}"), name)
            return kind(**plain, **extra), (picture(*PICTURE),), {}

        yield f"{file}.{name}", build


def pytorchcv_models() -> Iterator[tuple[str, Build]]:
    """Classifiers of pytorchcv."""
    from pytorchcv.model_provider import get_model

    for name in ("resnet10", "preresnet10", "seresnet10", "mobilenet_wd4", "mobilenetv2_wd4",
                 "mobilenetv3_small_w7d20", "shufflenet_g1_wd4", "shufflenetv2_wd2",
                 "squeezenet_v1_1", "squeezeresnet_v1_1", "ghostnet", "fdmobilenet_wd4",
                 "efficientnet_b0", "igcv3_wd4", "bninception", "darknet_tiny", "vgg11", "bn_vgg11",
                 "hrnet_w18_small_v1", "dla34", "spnasnet", "mnasnet_small", "regnetx002",
                 "condensenet74_c4_g4", "nin_cifar10", "resnet20_cifar10"):  # fmt: skip

        def build(name: str = name) -> Any:
            size = 32 if "cifar" in name else 224
            return get_model(name, pretrained=False), (picture(3, size, size),), {}

        yield name, build


def kornia_models() -> Iterator[tuple[str, Build]]:
    """Detectors, descriptors and classifiers of kornia."""
    import kornia
    from kornia.filters import dexined
    from kornia.models import tiny_vit, vit, vit_mobile

    gray = (1, 64, 64)
    table: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
        "HardNet": (lambda: kornia.feature.HardNet(False), (1, 32, 32)),
        "HardNet8": (lambda: kornia.feature.HardNet8(False), (1, 32, 32)),
        "HyNet": (lambda: kornia.feature.HyNet(False), (1, 32, 32)),
        "SOSNet": (lambda: kornia.feature.SOSNet(False), (1, 32, 32)),
        "TFeat": (lambda: kornia.feature.TFeat(False), (1, 32, 32)),
        "OriNet": (lambda: kornia.feature.OriNet(False), (1, 32, 32)),
        "KeyNet": (lambda: kornia.feature.KeyNet(False), gray),
        "DeFMO encoder": (lambda: kornia.feature.DeFMO(False).encoder, (6, 64, 64)),
        "DexiNed": (lambda: dexined.DexiNed(False), PICTURE),
        "VisionTransformer": (
            lambda: vit.VisionTransformer(64, 16, embed_dim=32, depth=2, num_heads=2),
            PICTURE,
        ),
        "MobileViT": (lambda: vit_mobile.MobileViT(), (3, 256, 256)),
        "TinyViT": (lambda: tiny_vit.TinyViT.from_config("5m"), (3, 224, 224)),
    }
    for name, (make, shape) in table.items():

        def build(make: Any = make, shape: Any = shape) -> Any:
            return make(), (picture(*shape),), {}

        yield name, build


def monai_models() -> Iterator[tuple[str, Build]]:
    """Networks of monai, in two and three dimensions."""
    from monai.networks import nets

    flat, solid = (1, 64, 64), (1, 32, 32, 32)
    table: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
        "UNet": (lambda: nets.UNet(2, 1, 2, (4, 8, 16), (2, 2)), flat),
        "BasicUNet": (lambda: nets.BasicUNet(2, 1, 2, (4, 4, 8, 8, 8, 4)), flat),
        "DynUNet": (lambda: nets.DynUNet(2, 1, 2, [3, 3, 3], [1, 2, 2], [2, 2]), flat),
        "SegResNet": (lambda: nets.SegResNet(2, 8, 1, 2), flat),
        "AttentionUnet": (lambda: nets.AttentionUnet(2, 1, 2, (4, 8, 16), (2, 2)), flat),
        "UNETR": (lambda: nets.UNETR(1, 2, (32, 32, 32), 4, 32, 64, 2), solid),
        "SwinUNETR": (lambda: nets.SwinUNETR(1, 2, feature_size=12), (1, 64, 64, 64)),
        "VNet": (lambda: nets.VNet(), solid),
        "DenseNet121": (lambda: nets.DenseNet121(2, 1, 2), flat),
        "EfficientNetBN": (
            lambda: nets.EfficientNetBN("efficientnet-b0", False, in_channels=1),
            flat,
        ),
        "ViT": (lambda: nets.ViT(1, (32, 32, 32), (8, 8, 8), 32, 64, 2, 2), solid),
        "SEResNet50": (lambda: nets.SEResNet50(spatial_dims=2, in_channels=1), flat),
    }
    for name, (make, shape) in table.items():

        def build(make: Any = make, shape: Any = shape) -> Any:
            return make(), (picture(*shape),), {}

        yield name, build


def open_clip_models() -> Iterator[tuple[str, Build]]:
    """Pictures and words together."""
    import open_clip
    import torch

    for name in ("RN50", "ViT-B-32", "ViT-S-32-alt"):

        def build(name: str = name) -> Any:
            model = open_clip.create_model(name, pretrained=None)
            return model, (picture(3, 224, 224), torch.zeros(1, 77, dtype=torch.long)), {}

        yield name, build


def diffusers_models() -> Iterator[tuple[str, Build]]:
    """Denoisers and autoencoders of diffusers, small."""
    import diffusers
    import torch

    blocks = {"block_out_channels": (8, 8), "norm_num_groups": 4}

    def unet() -> Any:
        model = diffusers.UNet2DModel(
            16, 3, 3, down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"), attention_head_dim=4, **blocks,
        )  # fmt: skip
        return model, (picture(3, 16, 16), torch.tensor([1])), {}

    def conditional() -> Any:
        model = diffusers.UNet2DConditionModel(
            16, cross_attention_dim=8, attention_head_dim=4,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **blocks,
        )  # fmt: skip
        return model, (picture(4, 16, 16), torch.tensor([1]), picture(5, 8)), {}

    def autoencoder() -> Any:
        model = diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            **blocks,
        )  # fmt: skip
        return model, (picture(3, 16, 16),), {}

    def transformer() -> Any:
        model = diffusers.DiTTransformer2DModel(
            2, 8, 4, num_layers=1, sample_size=8, norm_num_groups=4
        )
        return model, (picture(4, 8, 8), torch.tensor([1]), torch.tensor([1])), {}

    yield from (("UNet2DModel", unet), ("UNet2DConditionModel", conditional),
                ("AutoencoderKL", autoencoder), ("DiTTransformer2DModel", transformer))  # fmt: skip


def ultralytics_models() -> Iterator[tuple[str, Build]]:
    """Detectors, segmenters and pose networks from their descriptions."""
    for file in ("yolo11n", "yolov8n", "yolov5n", "yolov10n", "yolo12n", "yolov9t"):

        def build(file: str = file) -> Any:
            from ultralytics.nn.tasks import DetectionModel

            return DetectionModel(f"{file}.yaml", verbose=False), (picture(*PICTURE),), {}

        yield file, build


PACKAGES: dict[str, Callable[[], Iterator[tuple[str, Build]]]] = {
    "timm": timm_models,
    "torchvision": torchvision_models,
    "transformers": transformers_models,
    "segmentation_models_pytorch": segmentation_models,
    "vit_pytorch": vit_models,
    "pytorchcv": pytorchcv_models,
    "kornia": kornia_models,
    "monai": monai_models,
    "open_clip": open_clip_models,
    "diffusers": diffusers_models,
    "ultralytics": ultralytics_models,
}


def held(model: Any) -> dict[str, Any]:
    """All that a model holds, as values that compare."""
    import torch

    found: dict[str, Any] = {}
    for path, module in model.named_modules():
        found[f"{path} type"] = type(module)
        found[f"{path} flag"] = module.training
        found[f"{path} names"] = sorted(vars(module))
        found[f"{path} hooks"] = [[*map(id, getattr(module, name, {}).values())] for name in HOOKS]
        for name, value in vars(module).items():
            if isinstance(value, (bool, int, float, str, tuple, type(None))):
                found[f"{path} {name}"] = repr(value)
            elif isinstance(value, (list, dict, set)) and not name.startswith("_"):
                found[f"{path} {name}"] = (id(value), len(value))
    for kind in {type(module) for module in model.modules()}:
        for base in kind.__mro__[:-1]:
            found[f"class {base}"] = {key: id(value) for key, value in vars(base).items()}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        same = tensor.detach().clone()
        found[f"tensor {name}"] = (id(tensor), tensor.requires_grad, tensor.grad, same)
    found["random"] = (torch.get_rng_state(), random.getstate())
    return found


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """The names under which two states differ."""
    import torch

    found = [key for key in {*before, *now} if (key in before) is not (key in now)]
    for key in before.keys() & now.keys():
        left, right = before[key], now[key]
        if key.startswith("tensor "):
            same = left[:3] == right[:3] and torch.equal(
                left[3].nan_to_num() if left[3].is_floating_point() else left[3],
                right[3].nan_to_num() if right[3].is_floating_point() else right[3],
            )
        elif key == "random":
            same = torch.equal(left[0], right[0]) and left[1] == right[1]
        else:
            same = left == right
        if not same:
            found.append(key)
    return sorted(found)


def answers(model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
    """Tensors of a seeded run."""
    import torch

    from gadprof.counting.trace.trees import tensors_in

    torch.manual_seed(1)
    with torch.no_grad():
        return [tensor.clone() for tensor in tensors_in(model(*args, **kwargs))]


def tried(build: Build) -> tuple[str, str]:
    """``same``, ``changed``, ``uncounted`` or ``unbuilt``, and what there is to say."""
    import torch

    import gadprof

    torch.manual_seed(0)
    try:
        model, args, kwargs = build()
        model.eval()
        untouched = copy.deepcopy(model)  # one that never was counted
        expected = answers(untouched, args, kwargs)
    except Exception as error:
        return "unbuilt", f"{type(error).__name__}: {str(error).splitlines()[:1]}"
    before = held(model)
    failed = ""
    for _ in range(2):
        try:
            gadprof.count(model, args, kwargs)
        except Exception as error:
            failed = f"{type(error).__name__}: {str(error).splitlines()[:1]}"
    found = differences(before, held(model))
    if found:
        return "changed", ", ".join(found[:4])
    try:
        given = answers(model, args, kwargs)
    except Exception as error:
        return "changed", f"does not run any more: {type(error).__name__}: {error}"
    if len(given) != len(expected) or not all(
        torch.equal(a.nan_to_num(), b.nan_to_num()) if a.is_floating_point() else torch.equal(a, b)
        for a, b in zip(given, expected, strict=True)
    ):
        return "changed", "other answers"
    return ("uncounted", failed) if failed else ("same", "")


@click.command()
@click.option("--package", "packages", multiple=True, help="Only these; all by default.")
@click.option("--limit", default=60, show_default=True, help="Models of each package.")
@click.option("--results", type=click.Path(path_type=Path), help="A line a model; resumed.")
def main(packages: tuple[str, ...], limit: int, results: Path | None) -> None:
    """Count models of many packages and compare each with what it was."""
    warnings.simplefilter("ignore")
    done: dict[str, tuple[str, str]] = {}
    if results is not None and results.exists():
        for line in results.read_text().splitlines():
            row = json.loads(line)
            done[row["model"]] = (row["outcome"], row["words"])
    for package in packages or PACKAGES:
        try:
            models = list(PACKAGES[package]())
        except ImportError as error:
            click.echo(f"{package}: not installed ({error})")
            continue
        tally: Counter[str] = Counter()
        for name, build in models[:limit]:
            key = f"{package}:{name}"
            if key not in done:
                with contextlib.redirect_stdout(io.StringIO()):
                    done[key] = tried(build)
                if results is not None:
                    row = {"model": key, "outcome": done[key][0], "words": done[key][1]}
                    with results.open("a") as stream:
                        stream.write(json.dumps(row) + "\n")
                gc.collect()
            tally[done[key][0]] += 1
            if done[key][0] != "same":
                click.echo(f"{key}: {done[key][0]}: {done[key][1]}")
        click.echo(f"{package}: " + ", ".join(f"{n} {word}" for word, n in tally.most_common()))
    total = Counter(outcome for outcome, _ in done.values())
    click.echo("in all: " + ", ".join(f"{n} {word}" for word, n in total.most_common()))
    raise SystemExit(1 if total["changed"] else 0)


if __name__ == "__main__":
    main()
