"""Tools: what a model may use between its steps. ``TOOLS`` finds the modules of this package.

A strategy gets its tools as ``run.tools``, by the names that the model calls them. To add one: a module
with a class whose ``name`` is the module's, whose constructor takes the options of ``[tools.<name>]`` by
keyword (and ``sandbox``, where it runs programs) and raises ``ConfigurationError`` where they are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from router.registry import Registry

DEFAULT_TOOLS = ("calculator", "python")
"""What there is where none is configured: by the same names; ``python`` with a sandbox only."""
MAX_RESULT_CHARACTERS = 4_000
"""Of a longer result the model sees the beginning and the end."""


class Tool(Protocol):
    """Answers one argument with a text. ``use`` raises nothing but what cancelling raises: a failure is
    a text that begins with ``error:``, since the model may do something about it."""

    name: ClassVar[str]
    summary: ClassVar[str]

    @property
    def description(self) -> str:
        """What the model is told about it, in a line."""
        ...

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema of its one argument."""
        ...

    async def use(self, argument: str) -> str:
        """The result, at most ``MAX_RESULT_CHARACTERS`` long."""
        ...


TOOLS: Registry[Tool] = Registry("tool", "router.tools")


def shortened(result: str) -> str:
    """A result cut to ``MAX_RESULT_CHARACTERS`` in its middle.

    >>> len(shortened("x" * 10_000)) <= MAX_RESULT_CHARACTERS
    True
    """
    if len(result) <= MAX_RESULT_CHARACTERS:
        return result
    half = MAX_RESULT_CHARACTERS // 2 - 20
    return f"{result[:half]}\n... cut ...\n{result[-half:]}"


def failed(reason: str) -> str:
    """What the model reads where a tool failed.

    >>> failed("division by zero")
    'error: division by zero'
    """
    return f"error: {shortened(reason)[: MAX_RESULT_CHARACTERS - 10]}"
