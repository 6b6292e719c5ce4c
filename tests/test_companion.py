"""A companion process: it runs beside, starts again where it ends, and ends with the block."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from effortwise.companion import companion

SCRIPT = """
import os, sys, time
open(sys.argv[1], "a").write(f"{os.getpid()} {time.monotonic()}\\n")
time.sleep(float(sys.argv[2]))
"""


def started(path: Path) -> list[tuple[int, float]]:
    """The process ids of all that were started, and when."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(pid), float(at)) for pid, at in map(str.split, lines)]


def waited(until: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not until() and time.monotonic() < deadline:
        time.sleep(0.02)
    return until()


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_companion_that_is_killed_starts_again_and_ends_with_the_block(tmp_path: Path) -> None:
    """Whoever ended it; and none is left behind."""
    path = tmp_path / "started"
    with companion([sys.executable, "-c", SCRIPT, str(path), "60"], first_wait_s=0.05):
        assert waited(lambda: len(started(path)) == 1)
        os.kill(started(path)[0][0], signal.SIGKILL)
        assert waited(lambda: len(started(path)) == 2)
    assert not any(runs(pid) for pid, _ in started(path))


DEAF_ONCE = """
import os, signal, sys, time
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(1) if not heard else sys.exit(0))
open(sys.argv[1], "a").write(f"{os.getpid()} {time.monotonic()}\\n")
time.sleep(60)
"""


def test_one_that_misses_the_first_word_is_told_again(tmp_path: Path) -> None:
    """As where the exit came up inside a callback; it is not waited for until it must be killed."""
    path = tmp_path / "started"
    with companion([sys.executable, "-c", DEAF_ONCE, str(path)]):
        assert waited(lambda: len(started(path)) == 1)
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert not runs(started(path)[0][0])


def test_one_that_cannot_run_is_tried_more_and_more_rarely(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each time after twice the wait; the log tells its code."""
    path = tmp_path / "started"
    with companion([sys.executable, "-c", SCRIPT, str(path), "no number"], first_wait_s=0.4):
        assert waited(lambda: len(started(path)) == 4)
    times = [at for _, at in started(path)]
    assert times[3] - times[2] > 0.8 + (times[1] - times[0]) / 2  # 1.6 s after the third, 0.4 after the first
    told = [record.message.rpartition(" ended ")[2] for record in caplog.records]
    assert told == ["with code 1: started again"] * 3


def test_one_that_cannot_be_started_at_all_is_told_at_once(tmp_path: Path) -> None:
    """There is nothing to wait for."""
    with pytest.raises(OSError, match="No such file"), companion([str(tmp_path / "nothing")]):
        pass
