"""The fixed list of models that every counter is audited on, and how it is audited in one go.

Small members of as many families as timm and torchvision have: plain, grouped, squeeze-excite,
densely connected, searched, transformer, window and linear attention, mixer, hybrid and recurrent
networks, and every preset of gadprof. Inputs are no larger than a model needs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from gadprof.audit.audit import Audit, explain_all, observe_model
from gadprof.audit.backends import BackendCount
from gadprof.audit.counter_process import DEFAULT_TIMEOUT_S, CounterProcess
from gadprof.errors import GadprofError
from gadprof.networks.spec import known_presets, parse_shape

STOP_S = 0.1
# model string -> input, "" for the model's own
_CLASSIFIERS: dict[str, str] = {
    "torchvision:alexnet": "",
    "torchvision:vgg11_bn": "3x128x128",
    "torchvision:resnet18": "",
    "torchvision:resnet50": "3x160x160",
    "torchvision:resnext50_32x4d": "3x160x160",
    "torchvision:densenet121": "3x160x160",
    "torchvision:squeezenet1_1": "",
    "torchvision:googlenet": "3x160x160",
    "torchvision:inception_v3": "3x160x160",
    "torchvision:mobilenet_v2": "",
    "torchvision:mobilenet_v3_small": "",
    "torchvision:shufflenet_v2_x0_5": "",
    "torchvision:mnasnet0_5": "",
    "torchvision:regnet_y_400mf": "",
    "torchvision:efficientnet_b0": "",
    "torchvision:convnext_tiny": "3x128x128",
    "torchvision:swin_t": "",
    "torchvision:swin_v2_t": "",
    "torchvision:maxvit_t": "",
    "torchvision:vit_b_32": "",
    "timm:skresnet18": "3x160x160",
    "timm:seresnet18": "3x160x160",
    "timm:resnest14d": "3x160x160",
    "timm:res2net50_14w_8s": "3x128x128",
    "timm:ecaresnet26t": "3x128x128",
    "timm:ghostnet_100": "",
    "timm:ghostnetv2_100": "",
    "timm:mobilenetv4_conv_small": "",
    "timm:mobilenetv4_hybrid_medium": "",
    "timm:lcnet_050": "",
    "timm:mixnet_s": "",
    "timm:tf_efficientnet_lite0": "",
    "timm:rexnet_100": "",
    "timm:dpn68": "3x160x160",
    "timm:dla34": "3x160x160",
    "timm:hrnet_w18_small": "3x160x160",
    "timm:ese_vovnet19b_dw": "3x160x160",
    "timm:cspresnet50": "3x128x128",
    "timm:repvgg_a0": "3x160x160",
    "timm:mobileone_s0": "",
    "timm:fastvit_t8": "",
    "timm:efficientformer_l1": "",
    "timm:edgenext_xx_small": "",
    "timm:mobilevit_xxs": "",
    "timm:mobilevitv2_050": "",
    "timm:levit_128s": "",
    "timm:poolformer_s12": "3x160x160",
    "timm:convnextv2_atto": "",
    "timm:caformer_s18": "3x160x160",
    "timm:vit_tiny_patch16_224": "",
    "timm:deit_tiny_distilled_patch16_224": "",
    "timm:cait_xxs24_224": "",
    "timm:xcit_nano_12_p16_224": "",
    "timm:crossvit_tiny_240": "",
    "timm:pit_ti_224": "",
    "timm:visformer_tiny": "",
    "timm:twins_svt_small": "",
    "timm:pvt_v2_b0": "",
    "timm:swin_tiny_patch4_window7_224": "",
    "timm:gcvit_xxtiny": "",
    "timm:mixer_s32_224": "",
    "timm:resmlp_12_224": "",
    "timm:gmlp_s16_224": "",
    "timm:sequencer2d_s": "3x64x64",
    "timm:focalnet_tiny_srf": "",
    "timm:eca_nfnet_l0": "3x128x128",
    "timm:bat_resnext26ts": "3x256x256",
    "timm:lambda_resnet26t": "3x256x256",
    "timm:halonet26t": "3x256x256",
    "timm:botnet26t_256": "",
    "timm:coatnet_nano_rw_224": "",
    "timm:nest_tiny": "",
    "timm:davit_tiny": "",
    "timm:inception_next_atto": "",
    "timm:starnet_s1": "",
    "timm:repvit_m0_9": "",
    "timm:efficientvit_b0": "",
    "timm:vit_tiny_r_s16_p8_224": "",
    "timm:mvitv2_tiny": "",
    "timm:eva02_tiny_patch14_224": "",
}

MODELS: Mapping[str, str] = {**dict.fromkeys(known_presets(), ""), **_CLASSIFIERS}


def audit_models(
    models: Mapping[str, str],
    backends: Sequence[str],
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_limit_bytes: int | None = None,
    jobs: int = 1,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[tuple[Audit, ...], dict[str, str]]:
    """Audit many models: one process a backend, which takes the models one after another.

    ``jobs`` backends run at the same time. Also returns the models that could not be traced, with
    the reason.
    """
    shapes = {name: (parse_shape(text),) if text else () for name, text in models.items()}
    answers: dict[tuple[str, str], BackendCount] = {}

    running: list[CounterProcess] = []
    stopped = threading.Event()

    def ask(backend: str) -> None:
        with CounterProcess(memory_limit_bytes) as worker:
            running.append(worker)
            for index, name in enumerate(models, start=1):
                if stopped.is_set():
                    return
                progress(f"{backend}: {index} of {len(models)}: {name}")
                answers[backend, name] = worker.count(
                    backend, name, shapes[name], timeout_s=timeout_s
                )

    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        asked: list[Future[None]] = []
        try:
            asked += (pool.submit(ask, backend) for backend in backends)
            for each in asked:
                each.result()
        except BaseException:  # Ctrl-C reaches this thread alone, and the pool waits for its own
            stopped.set()
            while wait(asked, timeout=STOP_S).not_done:
                for worker in running:
                    worker.stop()
            raise
    audits: list[Audit] = []
    refused: dict[str, str] = {}
    for index, name in enumerate(models, start=1):
        progress(f"explaining {index} of {len(models)}: {name}")
        try:
            trace, observation = observe_model(name, shapes[name])
        except GadprofError as error:
            refused[name] = str(error)
            continue
        seen = explain_all(backends, trace, observation)
        rows = tuple(seen.row(answers[backend, name]) for backend in backends)
        audits.append(
            Audit(
                name, seen.input_shapes, 1, seen.ours, seen.params, seen.note, rows, seen.uncovered
            )
        )
    return tuple(audits), refused
