"""Tools that reach outside, and the tools of a configuration. ``REMOTE_TOOLS`` finds the modules of this
package, as ``router.tools.TOOLS`` those that do no input or output of their own.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from router.errors import ConfigurationError
from router.registry import Registry
from router.sandbox import Sandbox
from router.sections import ToolSection
from router.tools import DEFAULT_TOOLS, TOOLS, Tool

REMOTE_TOOLS: Registry[Tool] = Registry("tool", "serving.tools")

_NO_SANDBOX = "it needs a sandbox: install bubblewrap, or see sandbox.mode in the operations guide"


def configured_tools(
    sections: Mapping[str, ToolSection], environment: Mapping[str, str], sandbox: Sandbox | None
) -> dict[str, Tool]:
    """The tools by the names that models call them. Without any section: the calculator, and Python where
    there is a sandbox.

    environment: where keys are looked up, by the variable that ``api_key_env`` names.
    """
    if not sections:
        known = [name for name in DEFAULT_TOOLS if name != "python" or sandbox is not None]
        sections = {name: ToolSection(type=name) for name in known}
    return {name: _tool(name, section, environment, sandbox) for name, section in sections.items()}


def _tool(name: str, section: ToolSection, environment: Mapping[str, str], sandbox: Sandbox | None) -> Tool:
    kind = _kind(name, section.type)
    known = list(inspect.signature(kind).parameters)
    options: dict[str, Any] = section.options
    _check_keys(name, options, known)
    if "sandbox" in known:
        if sandbox is None:
            raise ConfigurationError(f"tools.{name}: {_NO_SANDBOX}.")
        options["sandbox"] = sandbox
    if (variable := options.pop("api_key_env", None)) is not None:
        options["api_key"] = _secret(name, variable, environment)
    try:
        return kind(**options)
    except TypeError as error:
        raise ConfigurationError(f"tools.{name}: {error}.") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"tools.{name}: {error}") from error


def _kind(name: str, kind: str) -> type[Tool]:
    for registry in (TOOLS, REMOTE_TOOLS):
        if kind in registry:
            return registry[kind]
    known = ", ".join(sorted({*TOOLS, *REMOTE_TOOLS}))
    raise ConfigurationError(f"tools.{name}.type = {kind!r} is unknown. Known: {known}.")


def _check_keys(name: str, options: Mapping[str, Any], parameters: list[str]) -> None:
    """Neither the sandbox nor a key itself may stand in the file."""
    own = [parameter for parameter in parameters if parameter not in ("sandbox", "api_key")]
    known = [*own, *(["api_key_env"] if "api_key" in parameters else [])]
    unknown = [key for key in options if key not in known]
    if unknown:
        raise ConfigurationError(
            f"tools.{name}: unknown key {unknown[0]!r} (known: {', '.join(known) or 'none'})."
        )


def _secret(name: str, variable: str, environment: Mapping[str, str]) -> str:
    value = environment.get(variable)
    if not value:
        raise ConfigurationError(f"tools.{name}.api_key_env: the environment variable {variable} is not set.")
    return value
