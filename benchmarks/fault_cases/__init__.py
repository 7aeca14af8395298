"""The cases of ``benchmarks/faults.py``: hostile or unlucky uses of gadprof, one file a class."""
