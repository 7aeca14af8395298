"""A runtime's latency learned from what was measured in it, for the designs that were not.

Promises coefficients of the one latency model of ``prediction`` (a roofline an operation class),
moved from the carried CPU fit that is nearest as far as the measurements carry; and its error by
leaving measurements out, blocks and whole networks apart. Refuses to be fitted to fewer than
``LEAST`` networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from gadprof.errors import DataError

LEAST = 5
FOLDS = 10
BLOCK = "block:"  # how the store's name of a block begins


@dataclass(frozen=True)
class Surrogate:
    """Fitted coefficients, how many blocks and networks they rest on, and how well they predict.

    Errors are relative, of networks that the fit had not seen: the median, and the size that 90 %
    stay within; ``rank`` is Spearman's correlation of predicted and measured times among them.
    """

    coefficients: Any
    networks: int
    blocks: int
    median_error: float
    error_90: float
    rank: float

    def seconds(self, features: Sequence[Any]) -> Any:
        """Predicted seconds at batch 1 of each of several models' features, (n,)."""
        from gadprof.prediction.fitting import Measured, predict_rows

        rows = [Measured(str(i), str(i), 1, 1.0, item) for i, item in enumerate(features)]
        return np.exp(predict_rows(self.coefficients, rows))


def learn(measured: Mapping[str, float], features: Mapping[str, Any]) -> Surrogate:
    """Fit to seconds at batch 1 by model string or ``block:`` name, whose features are given.

    Raises DataError.
    """
    from gadprof.prediction.calibrate import Device, nearest_fit
    from gadprof.prediction.fitting import Measured, fit_coefficients, left_out_errors

    names = sorted(measured)
    rows = [Measured(name, name, 1, measured[name], features[name]) for name in names]
    networks = np.array([not name.startswith(BLOCK) for name in names])
    if int(networks.sum()) < LEAST:
        raise DataError(
            f"{int(networks.sum())} networks were measured and a prediction needs {LEAST}; "
            "measure more designs"
        )
    device = Device("measured here", compiled=True)

    def fit(inside: Sequence[Any]) -> Any:
        return fit_coefficients(inside, device.kind, nearest_fit(inside, device).members[0])

    gaps = left_out_errors(rows, fit, min(len(rows), FOLDS))[networks]
    seconds = np.log([measured[name] for name in names])[networks]
    sizes = np.abs(np.expm1(gaps))
    return Surrogate(
        fit(rows), int(networks.sum()), len(names) - int(networks.sum()),
        float(np.median(sizes)), float(np.quantile(sizes, 0.9)), _rank(seconds + gaps, seconds),
    )  # fmt: skip


def _rank(one: Any, other: Any) -> float:
    """Spearman's correlation; nan where all of either are equal."""
    if not (np.ptp(one) and np.ptp(other)):
        return float("nan")
    first, second = (np.argsort(np.argsort(values)).astype(float) for values in (one, other))
    return float(np.corrcoef(first, second)[0, 1])


def features_of_design(operations: Sequence[Any]) -> Any:
    """The features of a forward trace's operations as a runtime that joins them runs them."""
    from gadprof.prediction.calibrate import Device
    from gadprof.prediction.features import features_of

    return features_of(operations, Device("measured here", compiled=True).way)


@cache
def features_of_block(name: str) -> Any:
    """The features of ``block:ga:c_in=32,…`` as the store calls it; None where it has no plan."""
    from gadprof.networks.blocks.names import FORMULA_BLOCKS, MODULE_BLOCKS, formula_block
    from gadprof.networks.plan_trace import count_node

    block, _, text = name.removeprefix(BLOCK).partition(":")
    if block not in FORMULA_BLOCKS or block in MODULE_BLOCKS:
        return None
    inputs = {
        key: int(value) for key, _, value in (part.partition("=") for part in text.split(","))
    }
    trace = count_node(*formula_block(block, inputs))
    return None if trace is None else features_of_design(trace.forward)
