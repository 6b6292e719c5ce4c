"""The probe and the watch of native effort: nothing is taken on trust."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import upstream as http
from aiohttp import web
from fakes import SMALL
from service_process import Live, serving, tables, write_toml
from typer.testing import CliRunner
from upstream import Upstream, Visit, completion, running_upstream

from effortwise.cli import app
from router.call import Call, Completion
from router.effort import Effort
from router.errors import BackendError, BackendRefused, BackendUnreachable
from router.model_card import ModelCard
from serving.effort_probe import PROBE_TOKENS, Probed, probe
from serving.effort_watch import EffortWatch

LEVELS = ("minimal", "low", "high")
CARD = replace(SMALL, max_completion_tokens=4096, effort=Effort("openai", LEVELS))


def reply(thinking: int | None, tokens: int = 9) -> Completion:
    """A reply with so many tokens of thinking told."""
    details = {} if thinking is None else {"completion_tokens_details": {"reasoning_tokens": thinking}}
    return Completion({"role": "assistant", "content": "28"}, "stop", 9, tokens, None, details)


async def probed(
    said: Mapping[str | None, Completion | BackendError], card: ModelCard = CARD
) -> list[Probed]:
    """What a probe finds where the upstream answers each level so; ``None``: without a level."""

    async def ask(_: ModelCard, parameters: Mapping[str, Any], cap: int) -> Completion:
        assert 0 < cap <= 4096
        answer = said[parameters.get("reasoning_effort")]
        if isinstance(answer, BackendError):
            raise answer
        return answer

    return await probe(card, ask)


async def test_levels_that_think_more_and_more_pass() -> None:
    """Accepted, with their counts and no remark; the lowest need show none."""
    found = await probed({"minimal": reply(0), "low": reply(64), "high": reply(512)})
    assert [each.status for each in found] == ["accepted"] * 3
    assert [each.thinking_tokens for each in found] == [0, 64, 512]
    assert not any(each.remark for each in found)


async def test_a_level_that_is_refused_is_told_from_a_call_that_is() -> None:
    """Only where the call is answered without a level was the level what was refused."""
    no = BackendRefused("Unsupported value", 400)
    said: dict[str | None, Any] = {"minimal": no, "low": reply(64), "high": reply(512)}
    assert [each.status for each in await probed({**said, None: reply(None)})] == [
        "refused", "accepted", "accepted",
    ]  # fmt: skip
    assert (await probed({**said, None: BackendRefused("no such model", 404)}))[0].status == "unknown"


@pytest.mark.parametrize(
    "error", [BackendRefused("busy", 429), BackendRefused("down", 503), BackendUnreachable("away")]
)
async def test_a_failure_of_another_kind_says_nothing_of_the_level(error: BackendError) -> None:
    """The level stays in doubt, and so on the menu."""
    found = await probed({"minimal": reply(0), "low": error, "high": reply(512)})
    assert [each.status for each in found] == ["accepted", "unknown", "accepted"]
    assert type(error).__name__ in found[1].remark


async def test_a_level_without_thinking_and_one_with_less_are_remarked_on() -> None:
    """Both are accepted, since one reply is little."""
    found = await probed({"minimal": reply(None, 5), "low": reply(200), "high": reply(20)})
    assert [each.status for each in found] == ["accepted"] * 3
    assert "less than at low: 20 tokens, 200 there" in found[2].remark
    silent = await probed({"minimal": reply(0), "low": reply(None, 3), "high": reply(0, 9)})
    assert ["no thinking" in each.remark for each in silent] == [False, True, True]


async def test_a_level_of_many_tokens_has_room_to_answer() -> None:
    """The cap lets the thinking and an answer through, within the model's own."""
    effort = Effort("vllm", ("low", "high"), {"low": 100, "high": 4000})
    caps = []

    async def ask(_: ModelCard, parameters: Mapping[str, Any], cap: int) -> Completion:
        caps.append(cap)
        return reply(1)

    await probe(replace(CARD, effort=effort), ask)
    assert caps == [PROBE_TOKENS + 100, 4096]
    assert await probe(SMALL, ask) == []


class Told:
    """A backend whose replies tell so many tokens of thinking."""

    name = "told"

    def __init__(self, thinking: int | None) -> None:
        self.thinking = thinking

    async def complete(self, call: Call, listener: Any = None) -> Completion:
        return reply(self.thinking)

    async def aclose(self) -> None:
        """Nothing is held."""


async def test_the_watch_counts_and_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    """A reply that shows no thinking at a level that promises some is counted; the first is warned of."""
    watch = EffortWatch(Told(None), Effort("openai", LEVELS))
    for level in ("high", "high", "minimal", None):
        parameters = {} if level is None else {"reasoning_effort": level}
        await watch.complete(Call("small", [], 9, parameters))
    assert watch.as_values() == {
        "high": {"replies": 2, "without_thinking": 2},
        "minimal": {"replies": 1, "without_thinking": 0},
    }
    assert len(caplog.records) == 1
    thoughtful = EffortWatch(Told(5), Effort("openai", LEVELS))
    await thoughtful.complete(Call("small", [], 9, {"reasoning_effort": "high"}))
    assert thoughtful.as_values()["high"]["without_thinking"] == 0


async def scene(visit: Visit) -> web.StreamResponse:
    """Thinks by level, and refuses the highest."""
    level = visit.body.get("reasoning_effort")
    if level == "high":
        return await http.refusal(400, "Unsupported value: 'reasoning_effort'")(visit)
    details = {"completion_tokens_details": {"reasoning_tokens": 3}} if level == "low" else {}
    return await http.reply(completion("28", {"prompt_tokens": 7, "completion_tokens": 3, **details}))(visit)


def thinking_tables(folder: Path, server: Upstream, **effort: Any) -> dict[str, Any]:
    """A configuration whose model ``small`` is the upstream's, with effort at two levels."""
    values = tables(folder)
    values["backends"]["http"] = {"type": "openai_compatible", "base_url": server.base_url}
    values["models"]["small"] |= {
        "backend": "http",
        "effort": {"style": "openai", "levels": ["low", "medium", "high"], **effort},
    }
    values["menu"] += [
        {"strategy": "effort", "models": ["small"], "level": ["low", "high"]},
        {"strategy": "cascade", "stages": ["small/effort@3", "small/effort@5"]},
        {"strategy": "cascade", "stages": ["small/direct", "small/effort@3"]},
        {"strategy": "any_time", "stages": ["small/direct", "small/effort@5"]},
    ]
    return values


@pytest.fixture
async def server() -> AsyncIterator[Upstream]:
    async with running_upstream() as running:
        running.play(scene)
        yield running


async def probes_done(live: Live) -> dict[str, Any]:
    """What ``/readyz`` tells of the effort of ``small``, once its probe is through."""
    async with asyncio.timeout(5):
        while not (effort := (await live.ready())[1]["effort"]["small"])["probe"]:
            await asyncio.sleep(0.01)
    return dict(effort)


async def test_a_service_probes_at_its_start_and_bars_what_is_refused(
    tmp_path: Path, server: Upstream, caplog: pytest.LogCaptureFixture
) -> None:
    """The refused level's arm is excluded with the reason; the probe's calls are on traces of its own
    account; a level that shows no thinking is counted."""
    caplog.set_level(logging.WARNING)
    async with serving(thinking_tables(tmp_path, server, probe=True)) as live:
        effort = await probes_done(live)
        assert [each["status"] for each in effort["probe"]] == ["accepted", "accepted", "refused"]
        assert effort["probe"][0]["thinking_tokens"] == 3
        assert effort["replies"]["medium"] == {"replies": 1, "without_thinking": 1}
        rows = {row["arm"]: row["excluded"] for row in (await live.card())["arms"]}
        assert "refuses effort 'high'" in rows["small/effort@5"]
        for stages in ("cascade(small/effort@3>small/effort@5)", "any_time(small/direct|small/effort@5)"):
            assert "refuses effort 'high'" in rows[stages]
        assert rows["cascade(small/direct>small/effort@3)"] is None
        assert rows["small/effort@3"] is None
        traces = await live.traces(4)
        assert {trace.account for trace in traces} == {"effortwise:probe"}
        assert sum(trace.usage.cost_nano for trace in traces) > 0
        reply = await live.chat("hi", model="small/effort@3")
        assert reply.json()["usage"]["completion_tokens_details"] == {"reasoning_tokens": 3}
    assert "refused" in caplog.text


async def test_a_model_that_costs_is_not_probed_unasked(tmp_path: Path, server: Upstream) -> None:
    """Without ``probe = true`` no call is made of a priced model; a free one is probed."""
    async with serving(thinking_tables(tmp_path / "priced", server)) as live:
        await live.chat("hi", model="small")
        assert len(server.visits) == 1
        assert (await live.ready())[1]["effort"] == {"small": {"probe": [], "replies": {}}}
    values = thinking_tables(tmp_path / "free", server)
    values["models"]["small"] |= {"usd_per_million_prompt_tokens": 0, "usd_per_million_completion_tokens": 0}
    async with serving(values) as live:
        assert len((await probes_done(live))["probe"]) == 3


async def test_the_command_probes_by_hand(tmp_path: Path, server: Upstream) -> None:
    """``effortwise models`` lists what each model takes, ``models probe`` tries its levels."""
    config = str(write_toml(tmp_path / "c.toml", thinking_tables(tmp_path, server)))

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, ["models", *arguments, "--config", config], env={"COLUMNS": "200"})
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "effort (openai): low medium high" in await asyncio.to_thread(run)
    shown = json.loads(await asyncio.to_thread(run, "--json"))
    assert shown["small"]["effort"]["levels"] == ["low", "medium", "high"]
    found = json.loads(await asyncio.to_thread(run, "probe", "small", "--json"))
    assert [each["status"] for each in found] == ["accepted", "accepted", "refused"]
    assert "refused" in await asyncio.to_thread(run, "probe", "small")
    failed = CliRunner().invoke(app, ["models", "probe", "large", "--config", config])
    assert "Known: small" in str(failed.exception)
