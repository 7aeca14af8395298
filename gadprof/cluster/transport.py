"""Reaches a Dask scheduler and its workers.

Promises: a connection is whole or one clear line within seconds; what workers answer is never
unpickled here. Refuses a scheduler that does not answer and workers without this very version.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gadprof.errors import MissingExtraError, SourceError
from gadprof.version import __version__

CONNECT_S = 15.0


@contextmanager
def connect(address: str, *, timeout_s: float = CONNECT_S) -> Iterator[Any]:
    """A client of the scheduler at ``address`` (``tcp://host:8786``), checked and closed again.

    ``tls://`` takes its certificates from Dask's own configuration. Raises SourceError for a
    scheduler that does not answer, speaks another version of Dask, has no worker, or has workers
    without this version of gadprof.
    """
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError("distributed", "cluster", "--cluster") from error
    if not re.search(r":\d+/?$|^inproc://.", address):  # a client would hang on to it for 30 s
        raise SourceError(
            f"{address!r} is no scheduler's address; type for example tcp://host:8786"
        )
    # what goes wrong is told in one line here, not in Dask's log besides
    with _quiet("distributed", "tornado", "asyncio"):
        try:
            security = _security(address)
            client = _within(
                timeout_s + 1,
                lambda: distributed.Client(
                    address,
                    timeout=timeout_s,
                    set_as_default=False,
                    security=security,
                    deserializers=["msgpack", "dask", "error"],
                ),
            )
        except SourceError:
            raise
        except Exception as error:
            words = " ".join(str(error).split())[:160] or type(error).__name__
            raise SourceError(
                f"no Dask scheduler answers at {address!r} ({words}); start one with: "
                "dask scheduler"
            ) from error
        try:
            _within(4 * timeout_s, lambda: _check_workers(client, address, timeout_s))
            yield client
        finally:
            with contextlib.suppress(Exception):
                client.close(timeout=5)


def _within(seconds: float, call: Callable[[], Any]) -> Any:
    """What a call gives that may wait for ever, as a client does for a port that is silent.

    Raises TimeoutError, and what the call raises.
    """
    outcome: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()

    def run() -> None:
        try:
            outcome.put((call(), None))
        except BaseException as error:
            outcome.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        value, error = outcome.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return value


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _security(address: str) -> Any:
    """What TLS needs, from Dask's configuration. Raises SourceError where it says nothing."""
    if not address.startswith("tls://"):
        return None
    from distributed import Security

    security = Security()
    if not security.get_connection_args("client").get("ssl_context"):
        raise SourceError(
            f"{address!r} needs certificates; name them for Dask, for example in "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …__TLS__CLIENT__CERT and …__TLS__CLIENT__KEY"
        )
    return security


def _check_workers(client: Any, address: str, timeout_s: float) -> None:
    try:
        versions = client.get_versions()
        own = versions["client"]["packages"]["distributed"]
        scheduler = versions["scheduler"]["packages"]["distributed"]
        if scheduler.split(".")[:2] != own.split(".")[:2]:
            raise SourceError(
                f"the scheduler runs distributed {scheduler}, this machine {own}; install the same"
            )
        if not versions["workers"]:
            client.wait_for_workers(1, timeout=timeout_s)
        found = client.run(version_reader())
    except SourceError:
        raise
    except TimeoutError as error:
        raise SourceError(
            f"the scheduler at {address!r} has no worker; start one with: dask worker {address}"
        ) from error
    except Exception as error:
        words = " ".join(str(error).split())[:160] or type(error).__name__
        raise SourceError(f"the workers of {address!r} cannot be asked ({words})") from error
    for worker, version in found.items():
        if version != __version__:
            has = f"gadprof {version}" if version else "no gadprof"
            raise SourceError(
                f"worker {worker} has {has}, this machine {__version__}; "
                f"type there: pip install gadprof=={__version__}"
            )


def version_reader() -> Callable[[], str | None]:
    """A function that answers a worker's version of gadprof, None where it has none.

    It travels by value: a worker without the package could not even look it up.
    """

    def read() -> str | None:
        from importlib import import_module as load

        try:
            return str(load("gadprof.version").__version__)
        except ImportError:
            return None

    return read
