"""Programs beside the service, held by resource limits only: for machines where nothing better works."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from router.errors import ConfigurationError, SandboxError
from router.parallel import Turns
from router.sandbox import DEFAULT_LIMITS, Limits, Program, Ran
from serving.sandbox.interpreter import Interpreter, environment_of, setup_of, uid_without_rights
from serving.sandbox.supervised import Launch, run_supervised


@dataclass(frozen=True, slots=True)
class Unconfined:
    """Runs every program in its own session and scratch folder, with an empty environment, within limits
    of time, memory, output, processes and scratch space, as a user without rights where the service is root.

    It promises less than a sandbox should: the program sees the network and every file that its user may
    read, may write wherever that user may, and one that sets out to can leave a process behind. Parameters
    as ``Bubblewrap`` has them.
    """

    interpreter: Interpreter
    ceiling: Limits = DEFAULT_LIMITS
    parallel: int = 4
    _turns: Turns = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise ConfigurationError('sandbox.mode = "unconfined" needs Linux; "off" works everywhere.')
        object.__setattr__(self, "_turns", Turns(self.parallel))

    async def run(self, program: Program, limits: Limits = DEFAULT_LIMITS) -> Ran:
        """Run one program. Raises ``SandboxError`` where there is no room for its files, or the interpreter
        cannot be started."""
        limits = limits.within(self.ceiling)
        async with self._turns.here():
            uid = uid_without_rights()
            with _scratch_folder(uid) as scratch:
                payload = setup_of(program, limits, self.interpreter, uid, supervised=True)
                environment = environment_of(str(scratch))
                command = self.interpreter.first_command
                launch = Launch(command, payload, environment, scratch, scratch=scratch)
                return await run_supervised(launch, limits)


@contextmanager
def _scratch_folder(owner_uid: int | None) -> Iterator[Path]:
    folder = _made_for(owner_uid)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _made_for(owner_uid: int | None) -> Path:
    folder = None
    try:
        folder = Path(tempfile.mkdtemp(prefix="effortwise-"))
        if owner_uid is not None:
            os.chown(folder, owner_uid, owner_uid)
    except OSError as error:
        if folder is not None:
            folder.rmdir()
        raise SandboxError(f"The sandbox has no folder for a program: {error}.") from error
    return folder
