"""Run the command line: ``gadprof``, or ``python -m gadprof``.

Promises that Ctrl-C ends in one line also while the program is still being loaded.
"""

import sys


def main() -> None:
    """Load the command line and run it; exit 130 where it is interrupted."""
    try:
        from gadprof.cli import main as run

        run()
    except KeyboardInterrupt:
        from gadprof.output import tell

        tell("gadprof: interrupted")
        sys.exit(130)


if __name__ == "__main__":
    main()
