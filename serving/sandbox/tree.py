"""The processes below one, as Linux tells them under ``/proc``."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_PAGE_BYTES = resource.getpagesize()
_MOST_LOOKS = 200
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def descendants(pid: int) -> Iterator[int]:
    """Every process below one, parents first; what comes and goes meanwhile may be missed."""
    level = [pid]
    while level:
        level = [child for parent in level for child in _children(parent)]
        yield from level


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(*_GONE):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208  # many times a second: strings are faster
            with suppress(*_GONE):
                found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


def own_bytes(pid: int) -> int:
    """Resident memory of a process that is backed by no file; 0 where it is gone."""
    try:
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    except (*_GONE, ValueError):
        return 0
    return (int(resident) - int(shared)) * _PAGE_BYTES


def kill_tree(pid: int) -> None:
    """Kill everything below a process, then the process itself.

    It is stopped first, so that it starts nothing more, and neither lets go of what it adopts nor of the
    dead; what others start meanwhile is found by looking again until there is nothing new.
    """
    _signal(pid, signal.SIGSTOP)
    killed: set[int] = set()
    for _ in range(_MOST_LOOKS):
        found = set(descendants(pid)) - killed
        if not found:
            break
        for process in found:
            _signal(process, signal.SIGKILL)
        killed |= found
    _signal(pid, signal.SIGKILL)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(*_GONE):
        os.kill(pid, number)


def folder_bytes(folder: Path, at_most: int) -> int:
    """What a folder's files take on the disk; not counted further than ``at_most``. An entry counts for
    at least as much as its name costs."""
    total = 0
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with suppress(*_GONE):
                total += max(os.lstat(os.path.join(parent, name)).st_blocks * 512, 512)  # noqa: PTH118  # speed
            if total > at_most:
                return total
    return total
