"""Checkpoints that are whole or absent, and that never replace a good one by a bad one.

A file is written beside the last one and renamed over it once it is on the disk, so that a full
disk or a kill leaves the last one as it was; parameters that are not finite are never saved.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import CheckpointIO

from gadprof.errors import DataError, OutputError, TrainingDivergedError, os_reason
from gadprof.output import write_atomic
from gadprof.results.files import load_tensors

LAST = "last.ckpt"


class AtomicCheckpointIO(CheckpointIO):  # type: ignore[misc]
    """Lightning's checkpoints through one atomic file write, read with ``weights_only=True``."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write one checkpoint whole or not at all. Raises OutputError."""
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        try:
            write_atomic(path, buffer.getvalue())
        except OutputError as error:
            kept = "the checkpoint before it is whole" if Path(path).exists() else "none is kept"
            raise OutputError(f"{error}; {kept}; free space and go on with --resume") from error

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read one checkpoint. Raises DataError."""
        return read_checkpoint(path)

    def remove_checkpoint(self, path: Any) -> None:
        """Delete one checkpoint."""
        Path(path).unlink(missing_ok=True)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """A training checkpoint's content, on the CPU. Raises DataError."""
    try:
        content = load_tensors(path)
    except OSError as error:
        raise DataError(f"cannot read checkpoint '{path}': {os_reason(error)}") from error
    except Exception as error:
        raise DataError(f"'{path}' is not a training checkpoint, or is damaged") from error
    if not isinstance(content, dict) or not isinstance(content.get("gadprof_settings"), dict):
        raise DataError(f"'{path}' is not a checkpoint of 'gadprof train'")
    return content


class KeepLast(Checkpoint):  # type: ignore[misc]
    """Save the whole training state to one file after every ``every`` epochs and after the last."""

    def __init__(self, folder: Path, *, every: int = 1) -> None:
        self.path = folder / LAST
        self.every = every

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Save, unless a parameter is not finite. Raises TrainingDivergedError or OutputError."""
        epoch = trainer.current_epoch + 1
        if epoch % self.every and epoch != trainer.max_epochs:
            return
        for name, value in module.state_dict().items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise TrainingDivergedError(diverged(name, epoch - 1, self.path))
        trainer.save_checkpoint(self.path)


class EpochLines(Checkpoint):  # type: ignore[misc]
    """Tell, after every epoch, how it went: epoch, mean loss and rate."""

    def __init__(self, tell: Callable[[int, float, float], None]) -> None:
        self._tell = tell
        self._sum = 0.0
        self._steps = 0

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Begin the epoch's mean."""
        self._sum, self._steps = 0.0, 0

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, index: int
    ) -> None:
        """Add one step to the epoch's mean."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        self._sum += float(loss)
        self._steps += 1

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Tell the epoch's figures, on the first process only."""
        if trainer.is_global_zero and self._steps:
            rate = float(trainer.optimizers[0].param_groups[0]["lr"])
            self._tell(trainer.current_epoch, self._sum / self._steps, rate)


def diverged(what: str, epoch: int, kept: Path) -> str:
    """The line for a run that has diverged."""
    tail = (
        f"the last good checkpoint is '{kept}'" if kept.exists() else "no checkpoint was made yet"
    )
    return f"{what} is not finite in epoch {epoch}; stopped; {tail}; try a lower --lr, or --clip 1"
