"""A client that sends checkable tasks to a service and judges what comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp

from effortwise.task import MAX_COMPLETION_TOKENS, TEMPERATURE, Task
from effortwise.workload import judge
from router.errors import EffortwiseError

IN_FLIGHT = 8
SOURCE = "reference"


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

    async def work(session: aiohttp.ClientSession) -> None:
        for position, task in waiting:
            attempts[position] = await _send(session, url, task, policy, report)
            advance()

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=300)) as session:
        await asyncio.gather(*(work(session) for _ in range(IN_FLIGHT)))
    return [attempts[i] for i in range(len(tasks))]


async def _send(session: aiohttp.ClientSession, url: str, task: Task, policy: str, report: bool) -> Attempt:
    body = {
        "model": policy,
        "messages": [{"role": "user", "content": task.prompt}],
        "max_completion_tokens": MAX_COMPLETION_TOKENS,
        "temperature": TEMPERATURE,
        "effortwise": {"unit": task.id} | ({"verifier": task.verifier} if task.verifier else {}),
    }
    began = time.perf_counter()
    async with session.post(f"{url}/v1/chat/completions", json=body) as reply:
        answer = await reply.json()
        if reply.status != 200:
            raise EffortwiseError(f"The service answered {reply.status}: {answer}")
        trace_id = reply.headers["x-effortwise-trace-id"]
    latency_s = time.perf_counter() - began
    success = judge(task, answer["choices"][0]["message"]["content"] or "")
    if report:
        await _report(session, url, trace_id, success)
    usage = answer["usage"]
    return Attempt(
        task.id, answer["effortwise"]["arm"], success, usage["total_tokens"], usage["cost"], latency_s
    )


async def _report(session: aiohttp.ClientSession, url: str, trace_id: str, success: float) -> None:
    outcome = {"trace_id": trace_id, "reward": success, "source": SOURCE}
    async with session.post(f"{url}/v1/outcomes", json=outcome) as reply:
        if reply.status != 200:
            raise EffortwiseError(f"The outcome was refused: {await reply.text()}")
