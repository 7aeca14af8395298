"""gadprof: exact costs, explained counters and honest measurements for efficient vision networks.

The public API is short and loads its heavy parts on first use: importing this package imports
neither torch nor numpy.
"""

from __future__ import annotations

import sys
from types import ModuleType

from gadprof.version import __version__

TYPE_CHECKING = False  # typing would take as long to load as all that is loaded here
if TYPE_CHECKING:
    from typing import Any

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
# public functions whose name a package has, too
_ROOMS = ("audit", "report")

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


class _Room(ModuleType):
    """A package that shares its name with a public function, and is called as that function.

    So ``gadprof.audit("hrnet32")`` and ``import gadprof.audit.ledger as ledger`` both hold.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)

    @property
    def __wrapped__(self) -> Any:
        import gadprof.api

        return getattr(gadprof.api, self.__name__.rpartition(".")[2])


class _Package(ModuleType):
    """The package itself, which makes a room of every part that has a public function's name."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in _PUBLIC:
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'gadprof' has no attribute {name!r}")
    import importlib

    if name in _ROOMS:
        return importlib.import_module(f"gadprof.{name}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
