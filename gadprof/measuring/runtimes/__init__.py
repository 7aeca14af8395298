"""Ways to run a module, one a file, behind one interface.

A runtime takes a module with its inputs and returns a ``Prepared``: a callable without arguments
that runs the model once. A runtime that is not eager is first checked against eager on the same
inputs. Refuses a runtime whose package is missing, with the extra to install.
"""

from __future__ import annotations

import importlib
import tempfile
from typing import TYPE_CHECKING, Any

from gadprof.errors import ModelFailedError
from gadprof.measuring.runtimes.prepared import Prepared, largest_difference, tensors

if TYPE_CHECKING:
    from gadprof.measuring.settings import Setting

__all__ = ["PREPARERS", "Prepared", "largest_difference", "prepare", "tensors"]

# runtime -> module with a function prepare(module, args, kwargs, setting) -> Prepared; the others
# are files of a runtime (``converted``)
PREPARERS: dict[str, str] = {
    "eager": "gadprof.measuring.runtimes.eager",
    "compile": "gadprof.measuring.runtimes.compiled",
    "torchscript": "gadprof.measuring.runtimes.torchscript",
}

# largest relative difference from eager (of the largest output value) by precision
TOLERANCES: dict[str, float] = {"fp32": 2e-3, "fp16": 3e-2, "bf16": 1e-1}


def prepare(
    module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], setting: Setting
) -> Prepared:
    """Prepare a module for a setting's runtime and check its outputs against eager.

    Raises MissingExtraError, ModelFailedError.
    """
    import dataclasses

    if setting.runtime not in PREPARERS:
        from gadprof.measuring.runtimes.converted import convert_model, load_converted

        folder = tempfile.TemporaryDirectory(prefix="gadprof-converted-")
        try:
            convert_model(module, args, kwargs, setting, folder.name)
            loaded = load_converted(folder.name, setting)
        except BaseException:
            folder.cleanup()
            raise
        return dataclasses.replace(loaded, closers=(*loaded.closers, folder.cleanup))
    preparer = importlib.import_module(PREPARERS[setting.runtime])
    prepared: Prepared = preparer.prepare(module, args, kwargs, setting)
    if setting.runtime == "eager" or setting.mode == "train":
        return prepared
    eager = importlib.import_module(PREPARERS["eager"]).prepare(module, args, kwargs, setting)
    difference = largest_difference(eager.run(), prepared.run())
    tolerance = TOLERANCES[setting.dtype]
    if not difference <= tolerance:
        raise ModelFailedError(
            f"{setting.runtime}'s outputs differ from eager's by {difference:.2g} of the largest "
            f"value, more than {tolerance:g}; it does not compute the same model"
        )
    return dataclasses.replace(prepared, difference=difference)
