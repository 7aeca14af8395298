"""Predictions of several models on one device, as a result of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gadprof.prediction.api import Prediction
from gadprof.prediction.fit import Fit
from gadprof.results.tabular import Tabular

if TYPE_CHECKING:
    from gadprof.results.page import Page


@dataclass(frozen=True)
class Predictions(Tabular):
    """A row a model, and the fit that they were predicted from."""

    rows: tuple[Prediction, ...]
    fit: Fit

    def page(self) -> Page:
        """A row a model; notes say how far the fit is to be trusted."""
        from gadprof.prediction.page import prediction_page
        from gadprof.results.plain import describe_machine

        fit = self.fit
        document = {
            "device": fit.device,
            "layout": fit.layout,
            "dtype": fit.dtype,
            "mode": fit.mode,
            "reparam": fit.reparam,
            "method": fit.method,
            "fitted_to": {"source": fit.source, "models": fit.models, "families": fit.families},
            "error_on_unseen_families": dict(fit.cv),
            "rows": self.rows,
            "machine": describe_machine(),
        }
        return prediction_page(self.rows, fit, document)
