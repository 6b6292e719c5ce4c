"""Programs among answers: what compares them by what they do, as the service does."""

from __future__ import annotations

from collections.abc import Iterable

from router.behaviour import Behaviour, asks_for_code
from router.query import Query
from router.sections import SandboxSection
from serving.sandbox import configured_sandbox
from training.evaluation.grid import Grid

MOST_S = 600.0
MOST_PROGRAMS = 128
"""Of recorded answers to one question, where nobody waits."""


def likeness_for(queries: Iterable[Query], section: SandboxSection | None = None) -> Behaviour | None:
    """For queries of which one asks for code at least; ``None`` without any, or without a sandbox, which a
    warning tells."""
    if not any(map(asks_for_code, queries)):
        return None
    sandbox = configured_sandbox(section or SandboxSection())
    return None if sandbox is None else Behaviour(sandbox, MOST_S, MOST_PROGRAMS)


def likeness_of(grid: Grid) -> Behaviour | None:
    """Likewise, for the queries of a file."""
    return likeness_for(Query([{"role": "user", "content": text}]) for text in grid.texts)
