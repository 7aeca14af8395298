"""The networks that were measured on phones, rebuilt from public libraries, with their inputs.

Promises a module and its input's shapes by the name that the table of measurements uses; nothing
is downloaded and weights stay as they start. What no library builds is not listed. The parameter
counts that the table states are checked by ``prediction_phones``, within ``SLACK``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import phone_rebuilt as rebuilt

SLACK = 0.12  # an exporter leaves heads out, joins norms, or counts buffers
Shape = tuple[int, ...]
SQUARE: Shape = (3, 224, 224)

TORCHVISION: dict[str, tuple[str, Shape]] = {
    "convnext_base": ("convnext_base", SQUARE),
    "convnext_tiny": ("convnext_tiny", SQUARE),
    "densenet121": ("densenet121", SQUARE),
    "efficientnet_b0": ("efficientnet_b0", SQUARE),
    "efficientnet_b4": ("efficientnet_b4", (3, 380, 380)),
    "efficientnet_v2_s": ("efficientnet_v2_s", (3, 384, 384)),
    "googlenet": ("googlenet", SQUARE),
    "mnasnet05": ("mnasnet0_5", SQUARE),
    "mobilenet_v2": ("mobilenet_v2", SQUARE),
    "mobilenet_v3_large": ("mobilenet_v3_large", SQUARE),
    "mobilenet_v3_small": ("mobilenet_v3_small", SQUARE),
    "regnet": ("regnet_x_3_2gf", SQUARE),
    "regnet_y_800mf": ("regnet_y_800mf", SQUARE),
    "resnet18": ("resnet18", SQUARE),
    "resnet50": ("resnet50", SQUARE),
    "resnet101": ("resnet101", SQUARE),
    "squeezenet1_1": ("squeezenet1_1", SQUARE),
    "swin_base": ("swin_b", SQUARE),
    "swin_small": ("swin_s", SQUARE),
    "swin_tiny": ("swin_t", SQUARE),
    "swinv2_base": ("swin_v2_b", (3, 256, 256)),
    "vit": ("vit_b_16", SQUARE),
    "fcn_resnet50": ("segmentation.fcn_resnet50", SQUARE),
    "resnet_3d": ("video.r3d_18", (3, 16, 112, 112)),
    "resnet_mixed": ("video.mc3_18", (3, 16, 112, 112)),
    "resnet_2plus1d": ("video.r2plus1d_18", (3, 16, 112, 112)),
}
TIMM: dict[str, tuple[str, Shape]] = {
    "beit": ("beit_base_patch16_224", SQUARE),
    "convnext_v2_base": ("convnextv2_base", SQUARE),
    "dla102x": ("dla102x", SQUARE),
    "efficientnet_lite4": ("tf_efficientnet_lite4", (3, 300, 300)),
    "efficientvit_b2_cls": ("efficientvit_b2", SQUARE),
    "efficientvit_l2_cls": ("efficientvit_l2", SQUARE),
    "levit": ("levit_128s", SQUARE),
    "mobile_vit": ("mobilevit_s", SQUARE),
    "mobilenet_v4": ("mobilenetv4_conv_medium", SQUARE),
    "nasnet": ("nasnetalarge", SQUARE),
    "repvit": ("repvit_m2_3", SQUARE),
    "sequencer2d": ("sequencer2d_s", SQUARE),
}
ULTRALYTICS: dict[str, tuple[str, int]] = {
    "yolov3": ("yolov3-tiny.yaml", 416),
    "yolov5": ("yolov5m.yaml", 640),
    "yolov6": ("yolov6n.yaml", 640),
    "yolov8_det": ("yolov8n.yaml", 640),
    "yolov8_seg": ("yolov8n-seg.yaml", 640),
    "yolov8_obb": ("yolov8n-obb.yaml", 640),
    "yolov9_det": ("yolov9t.yaml", 640),
    "yolov10_det": ("yolov10n.yaml", 640),
    "yolov11_det": ("yolo11n.yaml", 640),
    "yolov11_pose": ("yolo11n-pose.yaml", 640),
    "yolov11_seg": ("yolo11n-seg.yaml", 640),
    "yolo26_det": ("yolo26n.yaml", 640),
    "yolo26_pose": ("yolo26n-pose.yaml", 640),
    "yolo26_seg": ("yolo26n-seg.yaml", 640),
    "lpdm": ("yolov8n.yaml", 640),
}
OWN: dict[str, tuple[str, Shape]] = {"litehrnet": ("litehrnet18", (3, 256, 192))}


def torchvision_module(name: str) -> Any:
    """A torchvision network without weights."""
    from torchvision import models

    plain = name.rpartition(".")[2]
    given = {"weights": None}
    if plain == "fcn_resnet50":
        given["weights_backbone"] = None
    if plain == "googlenet":
        return models.googlenet(weights=None, init_weights=False, aux_logits=False)
    return models.get_model(plain, **given)


def _detr(resnet: str, dilation: bool, conditional: bool = False) -> Any:
    from transformers import (
        ConditionalDetrConfig,
        ConditionalDetrForObjectDetection,
        DetrConfig,
        DetrForObjectDetection,
    )

    config_type = ConditionalDetrConfig if conditional else DetrConfig
    config = config_type(
        use_timm_backbone=True, use_pretrained_backbone=False, backbone=resnet, dilation=dilation
    )
    kind = ConditionalDetrForObjectDetection if conditional else DetrForObjectDetection
    return kind(config)


def _segformer() -> Any:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    return SegformerForSemanticSegmentation(SegformerConfig(num_labels=150))


def _depth_anything() -> Any:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config

    backbone = Dinov2Config(
        hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14,
        out_indices=[9, 10, 11, 12], apply_layernorm=True, reshape_hidden_states=False,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=384, patch_size=14,
        neck_hidden_sizes=[48, 96, 192, 384], fusion_hidden_size=64,
    )  # fmt: skip
    return DepthAnythingForDepthEstimation(config)


def _compact(features: int, layers: int, scale: int) -> Any:
    """Real-ESRGAN's compact network: convolutions with PReLU, then a pixel shuffle."""
    from torch import nn

    parts: list[Any] = [nn.Conv2d(3, features, 3, padding=1), nn.PReLU(features)]
    for _ in range(layers):
        parts += [nn.Conv2d(features, features, 3, padding=1), nn.PReLU(features)]
    parts += [nn.Conv2d(features, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale)]
    return nn.Sequential(*parts)


def _rrdb() -> Any:
    """ESRGAN's network: 23 residual-in-residual dense blocks (Wang et al. 2018)."""
    import torch
    from torch import nn

    class Dense(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList(
                nn.Conv2d(64 + 32 * i, 64 if i == 4 else 32, 3, padding=1) for i in range(5)
            )

        def forward(self, x: Any) -> Any:
            maps = x
            for conv in self.convs[:4]:
                made = nn.functional.leaky_relu(conv(maps), 0.2, inplace=True)
                maps = torch.cat([maps, made], 1)
            return self.convs[4](maps) * 0.2 + x

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.Sequential(Dense(), Dense(), Dense())

        def forward(self, x: Any) -> Any:
            return self.parts(x) * 0.2 + x

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 64, 3, padding=1)
            self.body = nn.Sequential(*[Block() for _ in range(23)])
            self.after, self.up1, self.up2, self.high = (
                nn.Conv2d(64, 64, 3, padding=1) for _ in range(4)
            )
            self.last = nn.Conv2d(64, 3, 3, padding=1)

        def forward(self, x: Any) -> Any:
            x = self.first(x)
            x = x + self.after(self.body(x))
            for conv in (self.up1, self.up2):
                x = nn.functional.interpolate(x, scale_factor=2, mode="nearest")
                x = nn.functional.leaky_relu(conv(x), 0.2, inplace=True)
            return self.last(nn.functional.leaky_relu(self.high(x), 0.2, inplace=True))

    return Network()


def _srresnet() -> Any:
    """SRGAN's generator: 16 residual blocks, two pixel shuffles (Ledig et al. 2017)."""
    from torch import nn

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.PReLU(),
                nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64),
            )  # fmt: skip

        def forward(self, x: Any) -> Any:
            return x + self.body(x)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(3, 64, 9, padding=4), nn.PReLU())
            self.body = nn.Sequential(
                *[Block() for _ in range(16)], nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64)
            )
            up = [nn.Conv2d(64, 256, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()]
            again = [nn.Conv2d(64, 256, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()]
            self.up = nn.Sequential(*up, *again, nn.Conv2d(64, 3, 9, padding=4))

        def forward(self, x: Any) -> Any:
            x = self.first(x)
            return self.up(x + self.body(x))

    return Network()


def _unet() -> Any:
    """U-Net with transposed convolutions and batch norm (Ronneberger et al. 2015)."""
    import torch
    from torch import nn

    def double(c_in: int, c: int) -> Any:
        return nn.Sequential(
            nn.Conv2d(c_in, c, 3, padding=1, bias=False), nn.BatchNorm2d(c), nn.ReLU(inplace=True),
            nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c), nn.ReLU(inplace=True),
        )  # fmt: skip

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = (64, 128, 256, 512, 1024)
            self.down = nn.ModuleList(
                double(3 if i == 0 else widths[i - 1], c) for i, c in enumerate(widths)
            )
            pairs = list(zip(widths[::-1], widths[-2::-1], strict=False))
            self.lift = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, 2) for a, b in pairs)
            self.up = nn.ModuleList(double(a, b) for a, b in pairs)
            self.last = nn.Conv2d(64, 2, 1)

        def forward(self, x: Any) -> Any:
            kept = []
            for i, part in enumerate(self.down):
                x = part(nn.functional.max_pool2d(x, 2) if i else x)
                kept.append(x)
            for lift, up, skip in zip(self.lift, self.up, kept[-2::-1], strict=True):
                x = up(torch.cat([skip, lift(x)], 1))
            return self.last(x)

    return Network()


BUILT: dict[str, tuple[Callable[[], Any], Shape]] = {
    "detr_resnet50": (lambda: _detr("resnet50", False), (3, 480, 480)),
    "detr_resnet101": (lambda: _detr("resnet101", False), (3, 480, 480)),
    "detr_resnet50_dc5": (lambda: _detr("resnet50", True), (3, 480, 480)),
    "detr_resnet101_dc5": (lambda: _detr("resnet101", True), (3, 480, 480)),
    "conditional_detr_resnet50": (lambda: _detr("resnet50", False, True), (3, 480, 480)),
    "segformer_base": (_segformer, (3, 512, 512)),
    "depth_anything": (_depth_anything, (3, 518, 518)),
    "depth_anything_v2": (_depth_anything, (3, 518, 518)),
    "real_esrgan_general_x4v3": (lambda: _compact(64, 32, 4), (3, 128, 128)),
    "real_esrgan_x4plus": (_rrdb, (3, 128, 128)),
    "srgan": (_srresnet, (3, 128, 128)),
    "unet_segmentation": (_unet, (3, 640, 1280)),
    "aotgan": (rebuilt.aotgan, (4, 512, 512)),
    "cavaface": (rebuilt.cavaface, (3, 112, 112)),
    "mobile_facenet": (rebuilt.mobile_facenet, (3, 112, 112)),
    "deeplabv3_plus_mobilenet": (rebuilt.DeepLabPlus, (3, 513, 513)),
    "ffnet_40s": (lambda: rebuilt.ffnet(4, 5, 6, 4), (3, 1024, 2048)),
    "ffnet_54s": (lambda: rebuilt.ffnet(5, 8, 8, 5), (3, 1024, 2048)),
    "ffnet_78s": (lambda: rebuilt.ffnet(6, 12, 12, 8), (3, 1024, 2048)),
    "ffnet_78s_lowres": (lambda: rebuilt.ffnet(6, 12, 12, 8), (3, 512, 1024)),
    "midas": (rebuilt.Midas, (3, 256, 256)),
    "posenet_mobilenet": (rebuilt.posenet, (3, 513, 257)),
    "quicksrnetlarge": (lambda: rebuilt.quicksrnet(64, 11), (3, 128, 128)),
    "quicksrnetmedium": (lambda: rebuilt.quicksrnet(32, 5), (3, 128, 128)),
    "resnet34_ssd1200": (rebuilt.Ssd1200, (3, 1200, 1200)),
    "u2net_segmentation": (rebuilt.U2Net, (3, 320, 320)),
    "yolov4": (rebuilt.YoloTiny, (3, 416, 416)),
}


def names() -> tuple[str, ...]:
    """Every network that is rebuilt, by the table's name."""
    return (*TORCHVISION, *TIMM, *ULTRALYTICS, *BUILT, *OWN)


def build(name: str) -> tuple[Any, Shape]:
    """The module in eval mode and the shape of its input, without the batch."""
    if name in TORCHVISION:
        target, shape = TORCHVISION[name]
        return torchvision_module(target).eval(), shape
    if name in TIMM:
        import timm

        target, shape = TIMM[name]
        return timm.create_model(target, pretrained=False).eval(), shape
    if name in ULTRALYTICS:
        from ultralytics.nn.tasks import (
            DetectionModel,
            OBBModel,
            PoseModel,
            SegmentationModel,
        )  # fmt: skip

        target, side = ULTRALYTICS[name]
        kinds = {"seg": SegmentationModel, "pose": PoseModel, "obb": OBBModel}
        kind = kinds.get(target.partition("-")[2].partition(".")[0], DetectionModel)
        return kind(target, verbose=False).eval().fuse(verbose=False), (3, side, side)
    if name in OWN:
        import gadprof

        target, shape = OWN[name]
        return gadprof.build(target).eval(), shape
    made, shape = BUILT[name]
    return made().eval(), shape
