"""Fakes for the tests of billing: an upstream over HTTP that counts what it bills, and a service before it
with an arm of every strategy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import upstream as up
from aiohttp import web
from fakes import QUESTION, RIGHT, arm_of
from service_process import Live, serving, tables
from strategy_examples import examples
from upstream import Upstream, Visit, running_upstream

from router.strategies import Strategy
from router.strategies.beam_search import BeamSearch
from router.strategies.best_of_n import BestOfN
from router.strategies.direct import Direct
from router.usage import NOTHING, Usage

REPLIES = (
    "Answer: 6",
    "7",
    "Thought: a sum\nAction: calculator[2 + 3]",
    "```python\nprint(6)\n```\nAnswer: 6\n```equations\n2 + 3 == 6\n```",
    "It depends on a step before it",
    "B",
    "5",
)
"""Something for every strategy to go on with: answers, ratings, actions, programs, claims and steps."""


def tokens(usage: Usage) -> tuple[int, int]:
    """What is billed by."""
    return usage.prompt_tokens, usage.completion_tokens


@dataclass(slots=True)
class Provider:
    """A scene that bills a token a word. fails_every: of so many calls the first is refused, which is free.
    hangs_from: calls from this number on are begun and never end.

    delivered: what whole replies were billed. begun: what calls that hang have cost by now, of which nobody
    is told; hung: set once there is one. calls: of any kind.
    """

    fails_every: int | None = None
    hangs_from: int | None = None
    delivered: Usage = NOTHING
    begun: Usage = NOTHING
    hung: asyncio.Event = field(default_factory=asyncio.Event)
    calls: int = 0

    async def __call__(self, visit: Visit) -> web.StreamResponse:
        """Play one reply."""
        number, self.calls = self.calls, self.calls + 1
        asked = len(str(visit.body.get("messages", visit.body)).split())
        if self.hangs_from is not None and number >= self.hangs_from:
            self.begun += Usage(1, asked, 1)
            self.hung.set()
            return await up.hang(visit)
        if self.fails_every is not None and number % self.fails_every == 0:
            return await up.refusal(500)(visit)
        return await self._rate(visit, asked) if "reply" in visit.body else await self._say(visit, asked)

    async def _rate(self, visit: Visit, asked: int) -> web.StreamResponse:
        self.delivered += Usage(1, asked)
        return await up.reply({"score": 0.5, "usage": {"prompt_tokens": asked}})(visit)

    async def _say(self, visit: Visit, asked: int) -> web.StreamResponse:
        said = REPLIES[self.calls % len(REPLIES)].split(" ")[: visit.body["max_completion_tokens"]]
        self.delivered += Usage(1, asked, len(said))
        usage = {"prompt_tokens": asked, "completion_tokens": len(said)}
        body = up.completion(" ".join(said), usage)
        if visit.body.get("logprobs"):
            body["choices"][0]["logprobs"] = {"content": [{"token": word, "logprob": -0.1} for word in said]}
        return await up.reply(body)(visit)


def entry_of(strategy: Strategy) -> dict[str, Any]:
    """The menu's entry that makes a strategy."""
    told: Any = strategy
    options = {
        item.name: getattr(told, item.name)
        for item in fields(told)
        if item.default_factory is MISSING and getattr(told, item.name) != item.default
    }
    if "stages" in options:
        options["stages"] = [stage.arm_id for stage in options["stages"]]
    if "model" in options:
        options["models"] = [options.pop("model")]
    return {"strategy": strategy.name, **options}


def menu() -> list[dict[str, Any]]:
    """An entry for each example but those that share an arm's id, some with a reward model behind another
    wire, and last the arms of arms."""
    arms = {arm_of(strategy).id: strategy for strategy in (Direct("large"), *examples().values())}
    rewarded = (
        BestOfN("small", 4, reward="grader"),
        BeamSearch("small", 12, width=2, depth=3, value="reward", judge="grader"),
    )
    entries = [entry_of(strategy) for strategy in (*arms.values(), *rewarded)]
    return sorted(entries, key=lambda entry: "stages" in entry)


def values(folder: Path, upstream: Upstream) -> dict[str, Any]:
    """The configuration of all these arms before an upstream."""
    known = tables(folder)["models"]
    small = {**known["small"], "continues": True, "effort": {"style": "openai", "levels": ["medium"]}}
    grader = {**known["large"], "backend": "reward"}
    chat = {"type": "openai_compatible", "base_url": upstream.base_url}
    rates = {"type": "reward_http", "base_url": upstream.base_url, "path": "/chat/completions"}
    return tables(
        folder,
        backends={"fake": chat, "reward": rates},
        models={**known, "small": small, "grader": grader},
        menu=menu(),
        resilience={"attempts": 3, "first_wait_s": 0.0},
    )


@asynccontextmanager
async def behind(folder: Path) -> AsyncIterator[tuple[Live, Upstream]]:
    """The service of all arms, and the upstream that it calls."""
    async with running_upstream() as upstream, serving(values(folder, upstream)) as live:
        yield live, upstream


def asked_of(arm_id: str) -> dict[str, Any]:
    """The official client's arguments."""
    messages = [{"role": "user", "content": QUESTION}]
    return {"model": arm_id, "messages": messages, "extra_body": {"effortwise": {"verifier": RIGHT}}}
