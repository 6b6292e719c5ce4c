"""Companion: a process that runs beside another and is started again where it ends."""

from __future__ import annotations

import logging
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

FIRST_WAIT_S, MOST_WAIT_S = 1.0, 60.0
"""Before a companion that ended is started again: doubled each time, so that one which cannot start does not
keep a core busy."""
_LOOK_EVERY_S = 0.2
_STOP_WITHIN_S, _AGAIN_AFTER_S = 20.0, 2.0

_log = logging.getLogger(__name__)


@contextmanager
def companion(command: Sequence[str], first_wait_s: float = FIRST_WAIT_S) -> Iterator[None]:
    """Keep a command running until the end of the block, where it is told to terminate. ``OSError`` where it
    cannot be started at all."""
    ended, first = threading.Event(), _start(command)
    keeper = threading.Thread(
        target=_keep, args=(command, first, ended, first_wait_s), name="companion", daemon=True
    )
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join(_STOP_WITHIN_S + 1)


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def _keep(
    command: Sequence[str], process: subprocess.Popen[bytes], ended: threading.Event, wait_s: float
) -> None:
    while True:
        while process.poll() is None and not ended.wait(_LOOK_EVERY_S):
            pass
        if process.poll() is None:
            _stop(process)
            return
        if ended.wait(wait_s):  # what ends both at once is no news
            return
        _log.warning("%s ended with code %s: started again", " ".join(command[1:]), process.returncode)
        wait_s = min(2 * wait_s, MOST_WAIT_S)
        try:
            process = _start(command)
        except OSError as error:  # no memory or no process to be had: it may be had later
            _log.warning("it cannot be started: %s", error)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Told more than once: an exit that a signal raises within a callback is swallowed there."""
    for _ in range(int(_STOP_WITHIN_S / _AGAIN_AFTER_S)):
        process.terminate()
        try:
            process.wait(_AGAIN_AFTER_S)
        except subprocess.TimeoutExpired:
            continue
        return
    process.kill()
    process.wait()
