"""The sandbox of a configuration: bubblewrap where it works, a weaker one where it was asked for by name."""

from __future__ import annotations

import logging

from router.errors import ConfigurationError
from router.sandbox import Limits, Sandbox
from router.sections import SandboxSection
from serving.sandbox.bubblewrap import Bubblewrap, obstacle
from serving.sandbox.interpreter import Interpreter
from serving.sandbox.unconfined import Unconfined

_log = logging.getLogger(__name__)


def configured_sandbox(section: SandboxSection) -> Sandbox | None:
    """The sandbox of ``[sandbox]``, ``None`` where programs are not run at all.

    Raises ``ConfigurationError`` where ``bubblewrap`` is asked for by name and does not work, where
    ``python`` is none, and off Linux for ``unconfined``.
    """
    if section.mode == "off":
        return None
    interpreter = Interpreter.at(section.python)
    if section.mode == "unconfined":
        _log.warning("the sandbox is unconfined: programs see the network and this machine's files")
        return Unconfined(interpreter, _ceiling(section), section.parallel)
    return _bubblewrap(section, interpreter)


def _bubblewrap(section: SandboxSection, interpreter: Interpreter) -> Sandbox | None:
    why_not = obstacle(interpreter)
    if why_not is None:
        return Bubblewrap(interpreter, _ceiling(section), section.parallel)
    if section.mode == "bubblewrap":
        raise ConfigurationError(f'sandbox.mode = "bubblewrap" does not work here: {why_not}')
    _log.warning("no sandbox: %s; code is not run, and verifiers that would run it say unknown", why_not)
    return None


def _ceiling(section: SandboxSection) -> Limits:
    return Limits(
        section.seconds, section.memory_bytes, section.output_bytes, section.processes, section.disk_bytes
    )
