"""Run the command line: ``gadprof``, or ``python -m gadprof``.

Promises that Ctrl-C ends in one line also while the program is still being loaded, and wherever
it comes: Python drops an interrupt that meets a callback of the import system or a finaliser, and
turns one that meets the making of a class into another error.
"""

from __future__ import annotations

import _thread
import sys
import time

AGAIN_S = 0.01


def main() -> None:
    """Load the command line and run it; exit 130 where it is interrupted."""
    _repeat_lost_interrupts()
    try:
        from gadprof.cli import main as run

        run()
    except (KeyboardInterrupt, RuntimeError) as error:
        from gadprof.errors import is_interrupt
        from gadprof.output import tell

        if not is_interrupt(error):
            raise

        tell("gadprof: interrupted")
        sys.exit(130)


def _repeat_lost_interrupts() -> None:
    """Interrupt once more where Python could only report that it dropped an interrupt."""
    report, waiting = sys.unraisablehook, _thread.get_ident()

    def interrupt() -> None:
        import signal

        time.sleep(AGAIN_S)  # until the callback is left; raised at once, it would be lost again
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(waiting, signal.SIGINT)  # also wakes it where it waits
        else:
            _thread.interrupt_main()

    def hook(lost: sys.UnraisableHookArgs) -> None:
        if issubclass(lost.exc_type, KeyboardInterrupt):
            _thread.start_new_thread(interrupt, ())
        else:
            report(lost)

    sys.unraisablehook = hook


if __name__ == "__main__":
    main()
