"""Collector: asks what is not answered, judges what is, and posts the outcomes, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from effortwise.collection.checkable import Checkable
from effortwise.collection.client import Client, Refused
from effortwise.collection.journal import Journal

SOURCE = "reference"
"""The source of the outcomes. Their id is the task's, so that the same again changes nothing."""


@dataclass(slots=True)
class Collector:
    """model: ``auto``, a policy's, an arm's or a model's name. advance: told whenever a task is through.
    failures: by task, why the service refused it. under_way: tasks being asked or reported."""

    client: Client
    journal: Journal
    model: str
    advance: Callable[[], None]
    failures: dict[str, str] = field(default_factory=dict)
    under_way: int = 0
    stopping: bool = False

    async def collect(self, tasks: Sequence[Checkable], concurrency: int) -> None:
        """Every task that is not done yet; ends early where ``stop`` was called. The first error that
        concerns more than one task ends it: ``Unreachable``, ``Unauthorized``."""
        waiting = iter([task for task in tasks if task.id not in self.journal.done])
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(concurrency):
                    group.create_task(self._work(waiting))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors

    def stop(self) -> None:
        """Begin no further task; those under way come to their end."""
        self.stopping = True

    async def _work(self, waiting: Iterator[Checkable]) -> None:
        for task in waiting:
            if self.stopping:
                return
            self.under_way += 1
            try:
                await self._one(task)
            except Refused as error:
                self.failures[task.id] = str(error)
            finally:
                self.under_way -= 1
            self.advance()

    async def _one(self, task: Checkable) -> None:
        if task.id not in self.journal.answered:
            self.journal.answer(task.id, await self.client.ask(task.body(self.model)))
        try:
            await self._judge(task)
        except Refused as error:
            if error.status != 404:
                raise
            self.journal.forget(task.id)  # the service lost the trace: it was killed, or its store is new
            self.journal.answer(task.id, await self.client.ask(task.body(self.model)))
            await self._judge(task)

    async def _judge(self, task: Checkable) -> None:
        reply = self.journal.answered[task.id]
        reward = await task.judge(reply.text)
        if reward is not None:
            await self.client.report(reply.trace_id, reward, SOURCE, task.id)
        self.journal.finish(task.id, reward)
