"""Every error that gadprof raises on purpose, drawn in one tree.

A message names the value, the rule and a way out. The command line prints it as one line and
exits with ``exit_code``; ``--debug`` shows the traceback.
"""

from __future__ import annotations

from collections.abc import Iterable


class GadprofError(Exception):
    """Base of all errors; bad use unless a subclass says otherwise (exit 2)."""

    exit_code = 2


class UnknownNameError(GadprofError):
    """A preset, knob, block, device, backend or option value that does not exist."""


class SpecError(GadprofError):
    """A model string or knob value that breaks a rule of its architecture."""


class InputShapeError(GadprofError):
    """An input shape that the model cannot take."""


class SourceError(GadprofError):
    """A model source (file, package, checkpoint, ONNX) that cannot be read or built."""


class BuildError(SourceError):
    """A model whose code raised while it was built; one that wants values may build with them."""


class MissingExtraError(GadprofError):
    """An optional package that is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {package}; type: pip install 'gadprof[{extra}]'")
        self.package = package
        self.extra = extra


class SettingError(GadprofError):
    """A measuring setting that this machine, runtime or model cannot run under."""


class OutputError(GadprofError):
    """An output path that cannot be written."""


class StoreError(GadprofError):
    """A results store that cannot be read, or that is damaged, foreign or newer."""


class ConfigError(GadprofError):
    """A configuration file or a budget that breaks a rule."""


class BaselineError(GadprofError):
    """A baseline that is not found or cannot be read."""


class ReportDataError(GadprofError):
    """A data file that a report cannot show."""


class DataError(GadprofError):
    """Pictures, annotations, boxes or weights that are missing, damaged or of another kind."""


class ModelFailedError(GadprofError):
    """A model that raised, hung, crashed or ran out of memory while it was observed."""

    exit_code = 1


class NeedsValuesError(ModelFailedError):
    """A model that does not run without values; one that holds its weights may run with them."""


class TrainingDivergedError(ModelFailedError):
    """A training run whose loss or weights are no longer finite; its last checkpoint is good."""


class CheckFailedError(GadprofError):
    """A check that ran and did not hold (exit 1)."""

    exit_code = 1


def nearest(name: str, known: Iterable[str], *, count: int = 3) -> str:
    """A tail for an error message: ``; did you mean 'a' or 'b'?``, or the empty string."""
    import difflib

    options = list(known)
    close = difflib.get_close_matches(name, options, n=count, cutoff=0.5)
    if not close:
        return ""
    return "; did you mean " + " or ".join(repr(option) for option in close) + "?"


def is_interrupt(error: BaseException | None) -> bool:
    """Whether an error is Ctrl-C, or what Python made of it where it called code of its own."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None


def os_reason(error: OSError | ValueError) -> str:
    """Why the system refused a file, in its words; a null byte in a path is a ValueError."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
