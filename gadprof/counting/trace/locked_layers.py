"""Well-known layers that nobody changes while a model runs on stand-ins.

``locked`` promises that a model's own layers of these types keep every attribute, parameter and
buffer that they had, because whoever sets one is refused before it is set; so that a count need
not remember and compare what they hold, which takes longer than the run. It refuses on this
thread, for the layers named, and puts ``torch.nn.Module`` back when the block ends.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Iterator
from threading import get_ident
from typing import Any

from torch import nn

# every door of torch.nn.Module through which a module's attributes change
DOORS = ("__setattr__", "__delattr__", "register_parameter", "register_buffer", "add_module")


@contextlib.contextmanager
def locked(
    layers: Container[int], types: Container[type], refuse: Callable[[str], Exception]
) -> Iterator[None]:
    """Refuse changes to modules whose identity is in ``layers`` and whose type is in ``types``.

    Raises what ``refuse`` makes, from the code that tries.
    """
    thread = get_ident()

    def guarded(original: Any) -> Any:
        def change(self: Any, *args: Any, **kwargs: Any) -> Any:
            if type(self) in types and id(self) in layers and get_ident() == thread:
                raise refuse(f"a change to a {type(self).__name__} while it runs")
            return original(self, *args, **kwargs)

        return change

    originals = {name: getattr(nn.Module, name) for name in DOORS}
    try:
        for name, original in originals.items():
            setattr(nn.Module, name, guarded(original))
        yield
    finally:
        for name, original in originals.items():
            setattr(nn.Module, name, original)
