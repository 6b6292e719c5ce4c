"""Which tasks a collection is over."""

from __future__ import annotations

from pathlib import Path

from effortwise.collection.checkable import Checkable
from effortwise.collection.file_tasks import file_tasks
from effortwise.collection.gym_tasks import gym_tasks
from effortwise.collection.own_tasks import own_tasks
from router.errors import ConfigurationError

COUNT = 100
"""How many generated tasks without a count."""
GYM = "reasoning-gym:"


def tasks_of(workload: str, count: int | None, seed: int) -> list[Checkable]:
    """The tasks of a workload's name: ``tasks`` (generated here), ``reasoning-gym:NAME[,NAME...]``, or a
    path to a JSONL file. count: all of a file, ``COUNT`` of the others, where it is ``None``."""
    if count is not None and count < 1:
        raise ConfigurationError(f"--count is 1 or more, not {count}.")
    if workload == "tasks":
        return own_tasks(count or COUNT, seed)
    if workload.startswith(GYM):
        return gym_tasks(_names(workload), count or COUNT, seed)
    if workload.endswith(".jsonl"):
        return file_tasks(Path(workload), count)
    raise ConfigurationError(
        f"No workload {workload!r}: tasks, {GYM}NAME[,NAME...] or a path to a .jsonl file."
    )


def _names(workload: str) -> list[str]:
    names = [name.strip() for name in workload.removeprefix(GYM).split(",")]
    return list(dict.fromkeys(names))
