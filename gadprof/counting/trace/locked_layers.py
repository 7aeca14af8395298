"""Well-known layers that nobody changes while a model runs on stand-ins.

``locked`` promises that a model's own layers of these types keep every attribute, parameter, buffer
and hook that they had, because whoever sets one is refused before it is set; so that a count need
not remember and compare what they hold, which takes longer than the run.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from torch import nn

from gadprof.counting.trace.patches import beneath

# every door of torch.nn.Module through which what a module holds changes
DOORS = (
    "__setattr__", "__delattr__", "register_parameter", "register_buffer", "add_module",
    "register_forward_hook", "register_forward_pre_hook", "register_backward_hook",
    "register_full_backward_hook", "register_full_backward_pre_hook", "_register_state_dict_hook",
    "register_state_dict_post_hook", "register_state_dict_pre_hook",
    "_register_load_state_dict_pre_hook", "register_load_state_dict_pre_hook",
    "register_load_state_dict_post_hook",
)  # fmt: skip


def locked(
    layers: Container[int], types: Container[type], refuse: Callable[[str], Exception]
) -> dict[str, Any]:
    """Replacements of ``DOORS`` that refuse changes to modules of these identities and types.

    They raise what ``refuse`` makes, from the code that tries.
    """

    def guarded(original: Any) -> Any:
        def change(self: Any, *args: Any, **kwargs: Any) -> Any:
            if type(self) in types and id(self) in layers:
                raise refuse(f"a change to a {type(self).__name__} while it runs")
            return original(self, *args, **kwargs)

        return change

    return {name: guarded(beneath(nn.Module, name)) for name in DOORS}
