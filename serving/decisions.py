"""Decisions: plans for queries that arrive together, predicted together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from router.allocator import Allocator
from router.plan import Plan
from router.query import Query


@dataclass(slots=True)
class Decisions:
    """Gathers the queries that one turn of the event loop brings, and predicts for them at once: under
    load this takes a good part off each decision, and it never waits for a query to come."""

    allocator: Allocator
    _waiting: list[tuple[Query, asyncio.Future[Plan]]] = field(default_factory=list)

    async def plan(self, query: Query) -> Plan:
        """What ``Allocator.plan`` gives; raises what it raises."""
        if not self.allocator.decides(query):
            return self.allocator.plan(query)
        loop = asyncio.get_running_loop()
        decided: asyncio.Future[Plan] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._decide)
        self._waiting.append((query, decided))
        return await decided

    def _decide(self) -> None:
        waiting, self._waiting = [pair for pair in self._waiting if not pair[1].done()], []
        alone = len(waiting) == 1
        estimates = [None] if alone else self.allocator.estimates([query for query, _ in waiting])
        for (query, decided), estimate in zip(waiting, estimates, strict=True):
            try:
                decided.set_result(self.allocator.plan(query, estimate=estimate))
            except Exception as error:
                decided.set_exception(error)
