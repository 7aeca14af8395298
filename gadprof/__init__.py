"""gadprof: exact costs, explained counters and honest measurements for efficient vision networks.

The public API is short and loads its heavy parts on first use: importing this package imports
neither torch nor numpy.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from gadprof.version import __version__

# public name -> module that defines it
_PUBLIC: dict[str, str] = {
    "GadprofError": "gadprof.errors",
    "audit": "gadprof.api",
    "bench": "gadprof.api",
    "build": "gadprof.api",
    "compare": "gadprof.api",
    "cost": "gadprof.api",
    "count": "gadprof.api",
    "diff": "gadprof.api",
    "explain": "gadprof.api",
    "formula": "gadprof.api",
    "predict": "gadprof.api",
    "report": "gadprof.api",
    "rule": "gadprof.counting.rules.registry",
    "spec": "gadprof.api",
}

__all__ = [
    "GadprofError",
    "__version__",
    "audit",
    "bench",
    "build",
    "compare",
    "cost",
    "count",
    "diff",
    "explain",
    "formula",
    "predict",
    "report",
    "rule",
    "spec",
]


class _Package(ModuleType):
    """A public function keeps its name where a submodule has the same one.

    ``gadprof.audit`` is the function whether or not the package of that name has been imported;
    ``from gadprof.audit.ledger import …`` reads the package as ever.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (isinstance(value, ModuleType) and name in _PUBLIC):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'gadprof' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
