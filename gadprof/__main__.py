"""Run the command line as ``python -m gadprof``."""

from gadprof.cli import main

if __name__ == "__main__":
    main()
