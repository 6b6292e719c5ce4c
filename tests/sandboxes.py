"""The real sandboxes that can work on this machine, for tests of what runs in them."""

from __future__ import annotations

import asyncio
import functools
import os
from pathlib import Path

import pytest

from router.errors import SandboxError
from router.sandbox import Program, Sandbox
from serving.sandbox.bubblewrap import Bubblewrap, obstacle
from serving.sandbox.interpreter import Interpreter
from serving.sandbox.unconfined import Unconfined

MODES = ("bubblewrap", "unconfined")


def real_sandbox(mode: str) -> Sandbox:
    """The sandbox of a mode; skips the test where it cannot run."""
    made = _bubblewrap() if mode == "bubblewrap" else _unconfined()
    if made is None:
        pytest.skip(f"the sandbox {mode} cannot run here")
    return made


def best_sandbox() -> Sandbox:
    """Any real sandbox; skips the test where none can run."""
    found = _bubblewrap() or _unconfined()
    if found is None:
        pytest.skip("no sandbox can run here")
    return found


def _bubblewrap() -> Sandbox | None:
    interpreter = Interpreter.at(None)
    return None if obstacle(interpreter) else Bubblewrap(interpreter)


def _unconfined() -> Sandbox | None:
    path = _unconfined_python()
    return None if path is None else Unconfined(Interpreter.at(Path(path)))


@functools.cache
def _unconfined_python() -> str | None:
    """An interpreter that the programs' user may run: root's own often lies where nobody else may look."""
    own = Interpreter.at(None)
    for path in (str(own.path), "/usr/bin/python3", "/usr/local/bin/python3"):
        if os.access(path, os.X_OK):
            try:
                ran = asyncio.run(Unconfined(Interpreter.at(Path(path))).run(Program("print(1)")))
            except SandboxError:
                continue
            if ran.succeeded:
                return path
    return None
