"""The interpreter that runs the programs, and how its first steps in a sandbox go."""

from __future__ import annotations

import inspect
import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from router.errors import ConfigurationError
from router.sandbox import Limits, Program
from serving.sandbox import inside

PROGRAM_FILE = "program.py"
_UNUSED_UIDS = range(60578, 61184)
"""Users that no distribution hands out. Where the service is root, each program is one of its own, so that
programs at the same time neither signal each other nor share the kernel's count of their processes."""
_turns = itertools.cycle(_UNUSED_UIDS)
_SPARE_PROCESSES = 512
"""Where the kernel counts a user's processes over all programs, and with the service's own; each one's own
are counted by us."""
_ASK_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Interpreter:
    """Python at a path. prefixes: where it and its libraries lie."""

    path: Path
    prefixes: tuple[Path, ...]

    @classmethod
    def at(cls, path: Path | None) -> Interpreter:
        """The one at a path, which is asked where its libraries lie; the service's own without a path."""
        if path is None:
            return cls(Path(sys.executable), (Path(sys.prefix), Path(sys.base_prefix)))
        question = "import sys; print(sys.prefix); print(sys.base_prefix)"
        try:
            told = subprocess.run(  # noqa: S603  # the operator's own interpreter
                [path, "-I", "-c", question],
                capture_output=True,
                text=True,
                check=True,
                timeout=_ASK_TIMEOUT_S,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise ConfigurationError(f"sandbox.python = {str(path)!r} is no Python: {error}.") from error
        return cls(path, tuple(Path(line) for line in told.stdout.split("\n")[:2]))

    @property
    def first_command(self) -> Sequence[str]:
        """Starts what sets the limits and then becomes the program."""
        return (str(self.path), "-I", "-S", "-c", inspect.getsource(inside))

    @property
    def program_command(self) -> Sequence[str]:
        """Starts the program in its scratch folder."""
        return (str(self.path), "-B", "-s", PROGRAM_FILE)


def uid_without_rights() -> int | None:
    """Who a program is to run as; ``None`` where the service has no rights that it could give up."""
    return next(_turns) if os.geteuid() == 0 else None


def setup_of(
    program: Program, limits: Limits, interpreter: Interpreter, uid: int | None, *, supervised: bool
) -> bytes:
    """What the first steps read, and after it the program's own input."""
    setup = {
        "uid": uid,
        "files": {**program.files, PROGRAM_FILE: program.source},
        "limits": _kernel_limits(limits),
        "supervised": supervised,
        "command": interpreter.program_command,
    }
    header = json.dumps(setup).encode()
    return b"%d\n%s%s" % (len(header), header, program.stdin.encode(errors="surrogatepass"))


def _kernel_limits(limits: Limits) -> Mapping[str, int]:
    return {
        "AS": int(limits.memory_bytes),
        "CPU": math.ceil(limits.seconds * (os.cpu_count() or 1)) + 1,
        "FSIZE": int(limits.disk_bytes),
        "NPROC": int(limits.processes) + _SPARE_PROCESSES,
        "CORE": 0,
    }


def environment_of(scratch: str) -> Mapping[str, str]:
    """All that a program finds in its environment: nothing of the service's."""
    return {
        "HOME": scratch,
        "TMPDIR": scratch,
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",  # the same program does the same whenever it is run
        "MALLOC_ARENA_MAX": "2",  # every thread's own arena would count against the memory
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
