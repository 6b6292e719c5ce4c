"""Programs in namespaces of their own, by bubblewrap: no network, a read-only system, bounded scratch."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from router.errors import SandboxError
from router.parallel import Turns
from router.sandbox import DEFAULT_LIMITS, Limits, Program, Ran
from serving.sandbox.interpreter import Interpreter, environment_of, setup_of, uid_without_rights
from serving.sandbox.supervised import Launch, run_supervised

_SCRATCH = "/tmp"  # noqa: S108  # inside the sandbox, where nothing else is
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
_LOADER = ("/etc/ld.so.cache", "/etc/alternatives")
_OF_A_PREFIX = ("bin", "lib", "lib64", "pyvenv.cfg")
_PROBE = Program("print('works')")
_PROBE_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """Runs every program in its own user (unless the service is root, which gives its rights up itself),
    process, network, mount and host namespaces.

    interpreter: what runs the programs; of its prefixes only the libraries are shown. ceiling: limits that
    no program may exceed, whatever it asks for. parallel: programs at once; further ones wait their turn,
    which does not count as their time.
    """

    interpreter: Interpreter
    ceiling: Limits = DEFAULT_LIMITS
    parallel: int = 4
    _turns: Turns = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_turns", Turns(self.parallel))

    async def run(self, program: Program, limits: Limits = DEFAULT_LIMITS) -> Ran:
        """Run one program. Raises ``SandboxError`` where bubblewrap cannot be started."""
        async with self._turns.here():
            return await run_supervised(*_launch(self.interpreter, program, limits.within(self.ceiling)))


def _launch(interpreter: Interpreter, program: Program, limits: Limits) -> tuple[Launch, Limits]:
    path = shutil.which("bwrap")
    if path is None:
        raise SandboxError("There is no bwrap here: install bubblewrap.")
    command = (path, *_arguments(interpreter, limits), "--", *interpreter.first_command)
    payload = setup_of(program, limits, interpreter, uid_without_rights(), supervised=False)
    return Launch(command, payload, environment={}, own_processes=1), limits


def _arguments(interpreter: Interpreter, limits: Limits) -> Iterator[str]:
    yield from _namespaces()
    for name, value in environment_of(_SCRATCH).items():
        yield from ("--setenv", name, value)
    for folder in _SYSTEM:
        yield from _shown(Path(folder))
    for file in _LOADER:
        yield from ("--ro-bind-try", file, file)
    yield from ("--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev")
    yield from ("--perms", "1777", "--size", str(int(limits.disk_bytes)), "--tmpfs", _SCRATCH)
    for prefix in dict.fromkeys(interpreter.prefixes):
        yield from _libraries(prefix)
    yield from ("--remount-ro", "/", "--chdir", _SCRATCH)


def _namespaces() -> Sequence[str]:
    apart = ("ipc", "pid", "net", "uts", "cgroup-try")
    flags = (*(f"--unshare-{name}" for name in apart), "--hostname", "sandbox", "--die-with-parent")
    if os.geteuid() == 0:  # no user namespace is needed, and none is there in many containers
        return (*flags, "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID")
    return ("--unshare-user", "--disable-userns", *flags)


def _shown(folder: Path) -> Sequence[str]:
    if folder.is_symlink():  # /bin on most systems is a link to usr/bin
        return ("--symlink", str(folder.readlink()), str(folder))
    return ("--ro-bind-try", str(folder), str(folder))


def _libraries(prefix: Path) -> Iterator[str]:
    """The interpreter's own parts of a prefix, which may be a project's folder with more in it."""
    if prefix.is_relative_to("/usr"):
        return
    for parent in (*reversed(prefix.parents[:-1]), prefix):
        if str(parent) != _SCRATCH:
            yield from ("--perms", "0755", "--dir", str(parent))
    for part in _OF_A_PREFIX:
        yield from ("--ro-bind-try", str(prefix / part), str(prefix / part))


@functools.cache
def obstacle(interpreter: Interpreter) -> str | None:
    """Why bubblewrap cannot run programs here; ``None`` where it can. Tried once a process."""
    try:
        launch, _ = _launch(interpreter, _PROBE, DEFAULT_LIMITS)
        tried = subprocess.run(  # noqa: S603  # the command is ours
            launch.command, input=launch.payload, env={}, capture_output=True, timeout=_PROBE_TIMEOUT_S,
            check=False,
        )  # fmt: skip
    except (SandboxError, OSError, subprocess.SubprocessError) as error:
        return str(error)
    if tried.stdout == b"works\n":
        return None
    complaint = tried.stderr.decode(errors="replace").strip() or f"exit code {tried.returncode}"
    return f"a first program did not run: {complaint[-300:]}"
