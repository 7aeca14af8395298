"""Training a pose network with Lightning: loss, optimiser, averaged weights, exact resume.

Promises that on the CPU, with as many threads, a seed gives the same weights bit for bit, and that
a killed and resumed run ends where an uninterrupted one does. A loss that is not finite stops the
run with the last good checkpoint kept. Source of the loss: HRNet, ``lib/core/loss.py``.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gadprof.errors import (
    DataError,
    OutputError,
    SourceError,
    TrainingDivergedError,
    os_reason,
)
from gadprof.output import write_atomic
from gadprof.pose import augment
from gadprof.pose.checkpoints import (
    LAST,
    AtomicCheckpointIO,
    EpochLines,
    KeepLast,
    diverged,
    read_checkpoint,
)
from gadprof.pose.coco import Person
from gadprof.pose.dataset import SampleSettings, training_loader
from gadprof.pose.faults import faults_of_workers_told, full_disk_told, lost_processes_told
from gadprof.pose.settings import TrainSettings, differences, rate_factor, settings_dict
from gadprof.pose.weights import weights_bytes

WEIGHTS = "weights.pt"


@dataclass(frozen=True)
class RunSettings:
    """Where and on what a run goes: Lightning's own options, which change no result on one CPU."""

    out: Path
    accelerator: str = "auto"
    devices: str = "auto"
    nodes: int = 1
    precision: str = "32-true"
    workers: int = 0
    save_every: int = 1
    logger: str = "csv"
    resume: bool = False


def sample_settings(settings: TrainSettings) -> SampleSettings:
    """How training makes its samples."""
    changes = (
        augment.Augmentation(
            scale=settings.scale,
            rotation_deg=settings.rotation_deg,
            flip_probability=settings.flip,
            half_body_probability=settings.half_body,
        )
        if settings.augment
        else augment.NONE
    )
    return SampleSettings(
        settings.height, settings.width, settings.sigma, settings.unbiased, changes
    )


def joint_mse(
    heatmaps: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, foreground: float = 0.0
) -> torch.Tensor:
    """Half the mean squared difference, each joint's map counted with its weight.

    ``heatmaps`` and ``targets`` are N x J x height x width, ``weights`` N x J; each cell counts
    1 + ``foreground`` times its target.
    """
    squares = ((heatmaps - targets) * weights[:, :, None, None]).square()
    if foreground:
        squares = squares * (1.0 + foreground * targets)
    return 0.5 * squares.mean()


class PoseModule(LightningModule):  # type: ignore[misc]
    """A network that maps crops to heatmaps, with the loss and optimiser of ``settings``."""

    def __init__(
        self, net: nn.Module, people: Sequence[Person], settings: TrainSettings, run: RunSettings
    ) -> None:
        super().__init__()
        self.net = net
        self.settings = settings
        self._people = people
        self._run = run
        self.average: AveragedModel | None = None
        if settings.ema:
            average = get_ema_multi_avg_fn(settings.ema)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(net, multi_avg_fn=average, use_buffers=True)
            self.average.requires_grad_(False)

    @property
    def final(self) -> nn.Module:
        """The network to use after training: the averaged one where there is one."""
        if self.average is None:
            return self.net
        module: nn.Module = self.average.module
        return module

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Heatmaps of a batch of images."""
        output: torch.Tensor = self.net(images)
        return output

    def train_dataloader(self) -> Any:
        """This process's share of every epoch."""
        return training_loader(
            self._people,
            sample_settings(self.settings),
            batch=self.settings.batch,
            seed=self.settings.seed,
            workers=self._run.workers,
            rank=self.trainer.global_rank,
            world=self.trainer.world_size,
            pin_memory=torch.cuda.is_available() and self._run.accelerator != "cpu",
        )

    def training_step(self, batch: Sequence[torch.Tensor], index: int) -> torch.Tensor:
        """The loss of one batch. Raises TrainingDivergedError or DataError."""
        images, targets, weights = batch
        output = self.net(images)
        every = output if isinstance(output, list) and output else [output]
        if any(getattr(heatmaps, "shape", None) != targets.shape for heatmaps in every):
            raise DataError(
                f"{self.settings.model!r} does not return heatmaps of "
                f"{'x'.join(map(str, targets.shape[1:]))}; name a pose network such as gadnet32"
            )
        # several maps are those of intermediate supervision, each with the same targets
        foreground = self.settings.foreground
        loss = torch.stack(
            [joint_mse(heatmaps, targets, weights, foreground) for heatmaps in every]
        ).sum()
        finite = bool(torch.isfinite(loss))
        # one process that stopped alone would leave the others waiting for its gradients
        if not self.trainer.strategy.reduce_boolean_decision(finite, all=True):
            raise TrainingDivergedError(
                diverged("the loss", self.trainer.current_epoch, self._run.out / LAST)
            )
        self.log("loss", loss.detach(), on_step=False, on_epoch=True)
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, index: int) -> None:
        """Move the averaged weights after an optimiser step."""
        if self.average is not None and (index + 1) % self.settings.accumulate == 0:
            self.average.update_parameters(self.net)

    def configure_optimizers(self) -> dict[str, Any]:
        """The optimiser, and its rate by epoch."""
        kinds = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}
        settings = self.settings
        optimiser = kinds[settings.optimiser](
            self.net.parameters(),
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            fused=_one_pass(self.device.type, self._run.precision, settings.clip),
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda epoch: rate_factor(settings, epoch)
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Record what was trained, and how."""
        checkpoint["gadprof_settings"] = settings_dict(self.settings)


def train(
    build: Callable[[], nn.Module],
    people: Sequence[Person],
    settings: TrainSettings,
    run: RunSettings,
    *,
    tell: Callable[[int, float, float], None] | None = None,
    callbacks: Sequence[Any] = (),
) -> PoseModule:
    """Train a network from ``settings`` and write its checkpoints and weights into ``run.out``.

    ``build`` makes the network, after seeding. ``tell`` hears of every epoch (number, mean loss,
    rate); ``callbacks`` are Lightning's. Raises DataError, OutputError, TrainingDivergedError.
    """
    last = run.out / LAST
    if run.resume:
        check_resume(last, settings)
    elif last.exists():
        raise DataError(f"'{last}' exists; go on with --resume, or choose another folder with -o")
    quiet()
    seed_everything(settings.seed, workers=True, verbose=False)
    module = PoseModule(build().train(), people, settings, run)
    watchers = [EpochLines(tell)] if tell is not None else []
    with algorithms_kept(), warnings.catch_warnings():
        trainer = make_trainer(settings, run, [*callbacks, *watchers])
        # a small set needs no workers, and its epochs are shorter than the logging interval
        warnings.filterwarnings("ignore", module="lightning")
        with faults_of_workers_told(), lost_processes_told(trainer), full_disk_told(last):
            _fit(trainer, module, str(last) if run.resume else None)
    if trainer.is_global_zero:
        content = weights_bytes(settings.model, module.final, settings_dict(settings))
        write_atomic(run.out / WEIGHTS, content)
    return module


def _fit(trainer: Trainer, module: PoseModule, checkpoint: str | None) -> None:
    """Fit; Ctrl-C stays Ctrl-C, which Lightning turns into a silent exit with code 1."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, ckpt_path=checkpoint)
    except SystemExit as error:
        if trainer.interrupted:
            raise KeyboardInterrupt from error
        raise
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGINT, handler)  # Lightning left it ignored


def _one_pass(device: str, precision: str, clip: float) -> bool | None:
    """Whether the optimiser moves all weights in one pass; None leaves the choice to torch.

    It then scales mixed gradients itself, so that Lightning could not clip them.
    """
    return True if device == "cpu" and not (clip and "mixed" in precision) else None


@contextlib.contextmanager
def algorithms_kept() -> Iterator[None]:
    """Put torch's choice of algorithms back, which Lightning's trainer sets for the process."""
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)


def make_folder(path: Path) -> Path:
    """Make a run's folder where it is not there yet. Raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make folder '{path}': {os_reason(error)}") from error
    return path


def check_resume(last: Path, settings: TrainSettings) -> None:
    """Refuse to go on from a checkpoint of another model or other settings. Raises DataError."""
    if not last.exists():
        raise DataError(f"no checkpoint '{last}' to resume from; leave --resume out to start")
    stored = read_checkpoint(last)["gadprof_settings"]
    if stored.get("model") != settings.model:
        raise DataError(
            f"checkpoint '{last}' is of {stored.get('model')!r}, not of {settings.model!r}; "
            "choose another folder, or name the model that it was trained as"
        )
    changed = differences(settings, stored)
    if changed:
        raise DataError(
            f"checkpoint '{last}' was made with other settings ({'; '.join(changed)}); give the "
            "same, or choose another folder"
        )


def make_trainer(
    settings: TrainSettings,
    run: RunSettings,
    callbacks: Sequence[Any] = (),
) -> Trainer:
    """Lightning's trainer; deterministic on the CPU, as far as CUDA allows elsewhere."""
    try:
        return Trainer(
            accelerator=run.accelerator,
            devices=int(run.devices) if run.devices.isdigit() else run.devices,
            num_nodes=run.nodes,
            precision=run.precision,
            max_epochs=settings.epochs,
            accumulate_grad_batches=settings.accumulate,
            gradient_clip_val=settings.clip or None,
            deterministic="warn",
            use_distributed_sampler=False,
            logger=_logger(run),
            callbacks=[KeepLast(run.out, every=run.save_every), *callbacks],
            plugins=[AtomicCheckpointIO()],
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=str(run.out),
            log_every_n_steps=1,
        )
    except (MisconfigurationException, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(
            f"cannot train with accelerator {run.accelerator!r}, devices {run.devices!r}, "
            f"precision {run.precision!r} ({reason}); try --device cpu"
        ) from error


def _logger(run: RunSettings) -> Any:
    match run.logger:
        case "csv":
            return CSVLogger(str(run.out), name="logs")
        case "tensorboard":
            from lightning.pytorch.loggers import TensorBoardLogger

            try:
                return TensorBoardLogger(str(run.out), name="tensorboard")
            except ModuleNotFoundError as error:
                raise DataError(
                    "logger tensorboard is not installed; type: pip install tensorboard, or take "
                    "--logger csv"
                ) from error
        case "none":
            return False
    raise DataError(f"no logger {run.logger!r}; it is csv, tensorboard or none")


def quiet() -> None:
    """Keep Lightning's notes on hardware and tips out of a person's way; warnings stay."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
