"""What runs first in a sandbox, as a script of its own: it takes what it needs from its standard input,
gives up its rights, sets the limits, and turns into the program, which inherits the rest of the input.

It runs before anything untrusted does, so every limit holds from the program's first instruction on.
Nothing but the standard library is imported, and of that little, since every run pays for it.
"""

import json
import os
import resource
import signal
import sys
from typing import Any

READY = b"\x1eready\x1e\n"
"""Begins the standard error of every program that came to run: without it the sandbox is to blame."""

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Set the program up and become it, or its parent where the processes must be supervised."""
    setup = json.loads(_read(int(_read_line())))
    if setup["uid"] is not None:
        _drop_rights(setup["uid"])
    for name, text in setup["files"].items():
        with open(name, "w", encoding="utf-8", errors="surrogatepass") as file:  # noqa: PTH123  # pathlib loads slowly
            file.write(text)
    for name, limit in setup["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))
    if setup["supervised"]:
        _supervise(setup["command"])
    os.write(2, READY)
    os.execv(setup["command"][0], setup["command"])  # noqa: S606  # to become the program is the point


def _read_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += _read(1)
    return line


def _read(size: int) -> bytes:
    """Unbuffered: not a byte of the program's own input is taken."""
    text = b""
    while len(text) < size:
        piece = os.read(0, size - len(text))
        if not piece:
            sys.exit("the sandbox's setup broke off")
        text += piece
    return text


def _drop_rights(uid: int) -> None:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)


def _supervise(command: list[str]) -> None:
    """Return in a child, which becomes the program. The parent adopts whatever the program leaves
    behind, kills it when the program has ended, and ends as the program did."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    program = os.fork()
    if not program:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        return
    for stream in (0, 1, 2):
        os.close(stream)
    code = 0
    while True:
        try:
            ended, status = os.wait()
        except ChildProcessError:
            os._exit(code)
        if ended == program:
            code = os.waitstatus_to_exitcode(status)
            code = 128 - code if code < 0 else code
            program = 0
        if not program:
            _kill_children()


def _kill_children() -> None:
    with open("/proc/thread-self/children") as file:  # noqa: PTH123  # pathlib loads slowly
        children = file.read().split()
    for child in children:
        os.kill(int(child), signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    import ctypes

    library: Any = ctypes.CDLL(None, use_errno=True)
    if library.prctl(option, value, 0, 0, 0):
        sys.exit(f"prctl {option} failed: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
