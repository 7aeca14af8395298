"""Host and card as two queues on one time line.

Promises the time of a pass from what the host takes to enqueue each kernel and what the card takes
to run it: a kernel starts at the later of its enqueueing and the card's being free. So the host
sets the pace of small batches, the card that of large ones, and a network that begins with wide
maps hides the enqueueing of what follows. A view costs the host time and the card none. A replayed
CUDA graph has no host: its kernels follow each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gadprof.prediction.features import CLASSES, PRODUCTS, VIEW, ModelFeatures

Floats = NDArray[np.float64]
# kinds of calls that the host enqueues; only ever append
KINDS = ("convolution", "normalisation", "product", "pointwise", "pooling", "copy", "view")


def kind_of(name: str) -> int:
    """The index in KINDS of an operation class."""
    if name.startswith("conv") or name == "stem":
        return 0
    if name.endswith("norm") or "_norm_" in name:
        return 1
    if name in PRODUCTS:
        return 2
    if name in ("reduction", "global_pool", "pool", "max_pool", "resize"):
        return 4
    if name.startswith(("copy", "cat", "pad", "gather")):
        return 5
    return 3


KIND_OF: NDArray[np.int64] = np.array([*map(kind_of, CLASSES), KINDS.index("view")])


@dataclass(frozen=True)
class Host:
    """What a host takes, eagerly: seconds for a call of each of KINDS, and ``once`` a pass.

    ``log_error_95`` is the half width of the 95 % interval of the logarithm of its speed, where it
    is not the host that was measured with the card; 0 where it is.
    """

    costs: tuple[float, ...]
    once: float
    log_error_95: float = 0.0

    def within(self, most_s: float) -> Host:
        """The same where no call takes more than ``most_s``.

        A table of large batches does not show its host, but a bound of it: networks whose kernels
        take as long on the average were not held up.
        """
        return replace(self, costs=tuple(min(cost, most_s) for cost in self.costs))


@dataclass(frozen=True)
class Timeline:
    """A pass: ``total_s``; ``host_s`` of it until the card falls behind for good.

    ``waited`` is the number of calls that the card waits for until then; ``counts`` (n,) is how
    often each feature row runs from the last of them on.
    """

    total_s: float
    host_s: float
    waited: int
    counts: Floats


def kinds_in_order(features: ModelFeatures) -> NDArray[np.int64]:
    """The kind of every call, in the order in which they are enqueued."""
    classes = np.append(features.classes, len(CLASSES))
    return np.asarray(KIND_OF[classes[features.order]])


def timeline(features: ModelFeatures, each: Floats, host: Host) -> Timeline:
    """Run a pass; ``each`` (n,) is what one occurrence of each feature row takes on the card."""
    runs = features.order != VIEW
    enqueued = np.cumsum(np.array(host.costs)[kinds_in_order(features)])
    on_card = np.where(runs, np.append(each, 0.0)[features.order], 0.0)
    left = np.cumsum(on_card[::-1])[::-1]
    # the card is never free again after the call that makes the sum largest
    last = int(np.argmax(np.where(runs, enqueued + left, 0.0)))
    busy = features.order[last:][runs[last:]]
    counts = np.bincount(busy, minlength=len(features.counts)).astype(np.float64)
    total = max(float(enqueued[last] + left[last]), float(enqueued[-1])) + host.once
    return Timeline(total, total - float(left[last]), last + 1, counts)
