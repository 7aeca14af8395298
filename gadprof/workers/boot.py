"""The first lines of a child process: where it may import from, before it imports anything.

Run by its path, ``python boot.py PACKAGE_FOLDER INCOMING OUTGOING``, in no package yet. Promises:
neither the current folder nor this file's is on the import path, so that no ``random.py`` or
``gadprof.py`` of the user's stands in for a module; gadprof is the very package that started the
child, wherever it lies. Folders of code that the user named are added later (``child``).
"""

import sys


def load_package(folder: str) -> None:
    """Load gadprof from its own folder, also where another one is on the import path."""
    import importlib.util
    import os

    spec = importlib.util.spec_from_file_location(
        "gadprof", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    package = sys.modules["gadprof"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(package)


if __name__ == "__main__":
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # this file's folder
    import os  # loaded long since

    try:
        here = {"", os.curdir, os.getcwd()}
    except OSError:  # a folder that has been removed
        here = {"", os.curdir}
    sys.path[:] = [entry for entry in sys.path if entry not in here]
    load_package(sys.argv[1])
    from gadprof.workers.child import main

    main(int(sys.argv[2]), int(sys.argv[3]))
