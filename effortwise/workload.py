"""The workload: small tasks whose answers can be checked, generated from a seed.

Nine families of graded difficulty that a small language model solves sometimes: what a learnt
decision needs. A family's space of prompts is cut into ``PARTITIONS`` fixed parts, and a seed takes
its own part first (``seed % PARTITIONS``): seeds of different parts share no prompt as long as each
asks for no more than its part holds, about ``size / PARTITIONS`` a family (some 50 in the smallest).
No call repeats a prompt: where a family's space is used up, fewer tasks come.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from itertools import islice, zip_longest
from typing import Any

from effortwise.families import PARTITIONS, all_families
from effortwise.task import MAX_COMPLETION_TOKENS, TEMPERATURE, Task
from router.call import Completion
from router.candidate import Candidate, Verdict
from router.errors import ConfigurationError
from router.verifiers import make_verifier

__all__ = ["MAX_COMPLETION_TOKENS", "PARTITIONS", "TEMPERATURE", "Task", "family_names", "generate", "judge"]


def family_names() -> list[str]:
    """The names of all families."""
    return list(all_families())


def generate(seed: int, count: int, families: Sequence[str] | None = None) -> list[Task]:
    """``count`` tasks, the families taking turns; the same for the same arguments.

    families: names, all by default; ``ConfigurationError`` where one is unknown.
    """
    known = all_families()
    chosen = list(dict.fromkeys(families or known))
    if unknown := [name for name in chosen if name not in known]:
        raise ConfigurationError(f"Unknown families: {', '.join(unknown)}. Known: {', '.join(known)}.")
    turns = zip_longest(*(known[name].tasks(seed) for name in chosen))
    return list(islice((task for turn in turns for task in turn if task is not None), count))


def judge(task: Task, text: str) -> float:
    """The reward of a reply to a task, 0 or 1, by the task's check."""
    completion = Completion({"role": "assistant", "content": text}, "stop", 0, 0)
    verification = make_verifier(task.check).verify(task.query(), Candidate(completion, None), None)
    return _finished(verification).reward


def _finished(verification: Coroutine[Any, Any, Verdict]) -> Verdict:
    """The verdict of a pure verifier, which awaits nothing and so needs no event loop."""
    try:
        verification.send(None)
    except StopIteration as end:
        verdict: Verdict = end.value
        return verdict
    verification.close()
    raise ConfigurationError("A task's check must be a verifier that only computes.")
