"""The summary of a collection: success, cost and tokens by family and by arm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

from rich.console import Console
from rich.table import Table

from effortwise.collection.checkable import Checkable
from effortwise.collection.client import Reply
from effortwise.collection.collector import Collector

RIGHT = 0.99
"""A reward from here on is a right answer."""
_Z95 = 1.959964
_SHOWN_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Judged:
    """One task that is through. reward: ``None`` where its judge could not tell."""

    family: str
    reply: Reply
    reward: float | None


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share (Wilson 1927); (0, 1) of nothing.

    >>> [round(bound, 3) for bound in wilson(8, 10)]
    [0.49, 0.943]
    """
    if count == 0:
        return 0.0, 1.0
    share, weight = successes / count, _Z95**2 / count
    middle = (share + weight / 2) / (1 + weight)
    half = _Z95 * sqrt(share * (1 - share) / count + weight / count / 4) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)


def judged_tasks(collector: Collector, tasks: Sequence[Checkable]) -> list[Judged]:
    """What is through, of these tasks."""
    journal = collector.journal
    return [
        Judged(task.family, journal.answered[task.id], journal.done[task.id])
        for task in tasks
        if task.id in journal.done
    ]


def print_summary(console: Console, collector: Collector, tasks: Sequence[Checkable]) -> None:
    """The tables, and why some tasks failed."""
    judged = judged_tasks(collector, tasks)
    console.print(_table("family", judged, lambda one: one.family))
    console.print(_table("arm", judged, lambda one: one.reply.arm))
    unjudged = sum(one.reward is None for one in judged)
    failures = collector.failures
    told = f"{len(tasks)} tasks: {len(judged)} collected, {len(failures)} failed"
    console.print(
        told
        + (
            f", {unjudged} of them not judged (the judge could not tell, or the service judges)"
            if unjudged
            else ""
        )
    )
    for task_id, why in list(failures.items())[:_SHOWN_FAILURES]:
        console.print(f"  {task_id}: {why}", style="red", markup=False, soft_wrap=True)
    if len(failures) > _SHOWN_FAILURES:
        console.print(f"  and {len(failures) - _SHOWN_FAILURES} more; the same command asks them again")


def _table(name: str, judged: Sequence[Judged], group: Callable[[Judged], str]) -> Table:
    table = Table(title=f"By {name}", title_justify="left")
    table.add_column(name, overflow="fold")  # the numbers keep their room
    for title in ("tasks", "success", "95 % (Wilson)", "tokens", "USD"):
        table.add_column(title, justify="right", no_wrap=True)
    groups: dict[str, list[Judged]] = {}
    for one in judged:
        groups.setdefault(group(one), []).append(one)
    for title, members in sorted(groups.items()):
        table.add_row(title, *_cells(members))
    table.add_section()
    table.add_row("all", *_cells(judged))
    return table


def _cells(judged: Sequence[Judged]) -> list[str]:
    """Success is the share of those that could be judged; tokens and USD are sums."""
    rewards = [one.reward for one in judged if one.reward is not None]
    right = sum(reward >= RIGHT for reward in rewards)
    low, high = wilson(right, len(rewards))
    return [
        str(len(judged)),
        f"{right / len(rewards):.3f}" if rewards else "-",
        f"{low:.3f} to {high:.3f}" if rewards else "-",
        str(sum(one.reply.tokens for one in judged)),
        f"{sum(one.reply.cost_usd for one in judged):.6f}",
    ]
