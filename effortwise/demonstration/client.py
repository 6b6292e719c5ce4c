"""A client that sends checkable tasks to a service and judges what comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from effortwise.collection.client import Client, connected
from effortwise.collection.collector import SOURCE
from effortwise.collection.own_tasks import checkable
from effortwise.task import Task

IN_FLIGHT = 8


@dataclass(frozen=True, slots=True)
class Attempt:
    """One task, answered: success in [0, 1], tokens of all its calls, cost in USD, wall time in seconds."""

    task_id: str
    arm: str
    success: float
    tokens: int
    cost_usd: float
    latency_s: float


async def send_all(
    url: str, tasks: Sequence[Task], policy: str, advance: Callable[[], None], *, report: bool = True
) -> list[Attempt]:
    """Send every task under a policy, ``IN_FLIGHT`` at a time. report: post each outcome back."""
    waiting = iter(list(enumerate(tasks)))
    attempts: dict[int, Attempt] = {}

    async def work(client: Client) -> None:
        for position, task in waiting:
            attempts[position] = await _send(client, task, policy, report)
            advance()

    async with connected(url) as client:
        await asyncio.gather(*(work(client) for _ in range(IN_FLIGHT)))
    return [attempts[i] for i in range(len(tasks))]


async def _send(client: Client, task: Task, policy: str, report: bool) -> Attempt:
    asked = checkable(task)
    reply = await client.ask(asked.body(policy))
    success = await asked.judge(reply.text) or 0.0
    if report:
        await client.report(reply.trace_id, success, SOURCE)
    return Attempt(task.id, reply.arm, success, reply.tokens, reply.cost_usd, reply.latency_s)
