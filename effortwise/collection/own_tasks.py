"""The project's own generated tasks, as a workload to collect."""

from __future__ import annotations

from effortwise.collection.checkable import Checkable, judged_by
from effortwise.task import MAX_COMPLETION_TOKENS, TEMPERATURE, Task
from effortwise.workload import generate


def own_tasks(count: int, seed: int) -> list[Checkable]:
    """``count`` tasks of all families in turns; fewer where their spaces are used up."""
    return [checkable(task) for task in generate(seed, count)]


def checkable(task: Task) -> Checkable:
    """A generated task as a client sends it: with the verifier that a client could have."""
    messages = [{"role": "user", "content": task.prompt}]
    return Checkable(
        task.id,
        task.family,
        messages,
        judged_by(task.check, messages, None),
        {"verifier": task.verifier} if task.verifier else {},
        {"max_completion_tokens": MAX_COMPLETION_TOKENS, "temperature": TEMPERATURE},
    )
