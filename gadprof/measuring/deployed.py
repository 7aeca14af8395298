"""A trained network as the file of a runtime, in the place of its module.

Promises: the file is made, loaded and held against the module in processes of their own under
limits before this process loads it; it answers batches as the module would, one sample at a time,
and keeps count of the joints that stay where the module has them. Refuses what a converter, or the
check of its file, refuses.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from gadprof.measuring.export import make_file
from gadprof.measuring.runtimes.converted import (
    CONVERTERS,
    Names,
    as_arrays,
    joints_within_cell,
    read_manifest,
)
from gadprof.measuring.settings import Setting


class DeployedModule(torch.nn.Module):
    """A file's outputs for batches N x 3 x H x W; ``module`` is what it was made of.

    ``version`` is the runtime's.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        bind: Callable[[Sequence[Any]], Callable[[], Any]],
        version: str,
    ) -> None:
        super().__init__()
        self.module = module
        self.version = version
        self._bind = bind
        self._near, self._samples = 0.0, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The last output of each sample; of several, it is the one that answers."""
        answers = []
        for image in images.cpu():
            sample = [image[None].numpy()]
            got = as_arrays(self._bind(sample)())[-1:]
            wanted = as_arrays(self.module(image[None]))[-1:]
            near = joints_within_cell([(wanted, got)], sample)
            if near is not None:
                self._near, self._samples = self._near + near, self._samples + 1
            answers.append(torch.from_numpy(got[0]))
        return torch.cat(answers)

    @property
    def joints_within_cell(self) -> float | None:
        """The share of heat maps so far whose maximum lay at most one cell from the module's."""
        return self._near / self._samples if self._samples else None


def deploy(
    module: torch.nn.Module, model: str, setting: Setting, folder: str, timeout_s: float
) -> DeployedModule:
    """Make a setting's file of a trained module of a model string in a folder, and load it.

    Raises MissingExtraError, ModelFailedError, SettingError, WorkerFailedError.
    """
    os.makedirs(folder)
    weights = os.path.join(folder, "weights.pt")
    torch.save(module.state_dict(), weights)
    make_file(model, setting, folder, weights=weights, timeout_s=timeout_s)
    manifest = read_manifest(folder)
    names = Names(tuple(manifest["inputs"]), tuple(manifest["outputs"]))
    with _no_chatter():
        runtime = importlib.import_module(CONVERTERS[setting.runtime])
        started = runtime.start(manifest["path"], names, setting)
    return DeployedModule(module, started.bind, started.version)


@contextlib.contextmanager
def _no_chatter() -> Iterator[None]:
    """Keep what a library writes to standard error while it loads from the user's terminal."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        kept_open = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept_open, 2)
            os.close(kept_open)
