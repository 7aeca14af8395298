"""Which families of timm models count as one, at three widths: name prefix, module, merged kind.

Promises a name for each; a module that no kind claims is a kind of its own. A fit that leaves a
merged kind out has seen no transformer, or no residual network, or no inverted bottleneck at all.
"""

from __future__ import annotations

KINDS: dict[str, tuple[str, ...]] = {
    "vit": (
        "vision_transformer", "vision_transformer_hybrid", "vision_transformer_relpos",
        "vision_transformer_sam", "deit", "beit", "eva", "cait", "volo", "tnt", "crossvit", "pit",
        "xcit", "naflexvit", "mlp_mixer", "visformer",
    ),
    "windows": (
        "swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr", "twins", "hiera",
        "hieradet_sam2", "davit", "pvt_v2", "coat", "nest", "mvitv2", "maxxvit",
    ),
    "resnet": (
        "resnet", "resnetv2", "resnest", "res2net", "sknet", "senet", "byobnet", "regnet", "cspnet",
        "dla", "dpn", "nfnet", "vovnet", "hgnet", "selecsls", "tresnet", "densenet", "rdnet",
        "inception_v3", "inception_v4", "inception_resnet_v2", "xception", "xception_aligned",
        "vgg",
    ),
    "mbconv": (
        "efficientnet", "mobilenetv3", "mobilenetv5", "rexnet", "ghostnet", "repghost",
        "hardcorenas", "tiny_vit", "efficientvit_mit", "repvit", "mobilevit", "levit",
        "efficientvit_msra", "efficientformer", "efficientformer_v2", "fastvit", "nextvit",
        "edgenext",
    ),
    "convnext": ("convnext", "metaformer", "inception_next", "focalnet", "convmixer", "starnet"),
}  # fmt: skip


def kind_of(module: str) -> str:
    """The merged kind of a timm module's name."""
    return next((kind for kind, modules in KINDS.items() if module in modules), module)
