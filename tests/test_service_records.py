"""What the service keeps: traces, outcomes, decisions that can be checked, and no more text than wished."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service_process import Live, serving, tables

from router.draw import draw

RULES = [
    {"match": "slow", "reply": "done", "latency_s": 0.4},
    {"match": "secret-question", "reply": "secret-answer"},
]


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with serving(tables(tmp_path, RULES)) as live:
        yield live


async def test_a_trace_holds_who_asked_what_and_why_it_went_so(live: Live) -> None:
    """Account, conversation, unit, wishes, prompt, answer, versions: all are there."""
    wishes = {"unit": "u1", "conversation": "c1", "stakes": 2.0}
    reply = await live.chat("hello", model="auto", effortwise=wishes, temperature=0.5)
    trace = await live.trace(reply.headers["x-effortwise-trace-id"])
    assert (trace["account"], trace["unit"], trace["conversation"]) == ("default", "u1", "c1")
    assert trace["wishes"] == {"target": "auto", "n": 1, "stakes": 2.0}
    assert '"content":"hello"' in trace["prompt"]
    assert '"temperature":0.5' in trace["prompt"]
    assert (trace["answer"], trace["status"]) == ("hello", "complete")
    allocator = live.service.allocator
    plan = trace["plan"]
    assert plan["configuration"] == live.service.configuration.hash
    assert (plan["menu"], plan["predictor"], plan["policy"]) == (allocator.menu.hash, "prior", "auto")


async def test_every_draw_can_be_replayed(live: Live) -> None:
    """The propensities on a trace sum to one, and its id draws its arm from them again."""
    arms = set()
    for _ in range(20):
        reply = await live.chat("hello", model="auto")
        plan = (await live.trace(reply.headers["x-effortwise-trace-id"]))["plan"]
        propensities = np.array(plan["propensities"])
        position = draw(propensities, reply.headers["x-effortwise-trace-id"])
        assert sum(plan["propensities"]) == pytest.approx(1)
        assert live.service.allocator.menu.ids[position] == plan["arm"]
        assert plan["propensity"] == propensities[position] > 0
        assert list(plan["excluded"].values()) == [["small/best_of_n@4"]]
        arms.add(plan["arm"])
    assert len(arms) > 1


async def test_a_named_arm_claims_no_propensity(live: Live) -> None:
    """What the caller fixed was not drawn."""
    plan = (await live.trace((await live.chat("hello")).headers["x-effortwise-trace-id"]))["plan"]
    assert (plan["propensity"], plan["override"]) == (None, "the caller named it")


async def test_an_outcome_again_changes_nothing(live: Live) -> None:
    """The first word of a source under an id stands, and a second one is told so; another id or source adds
    one."""
    trace_id = (await live.chat("hello")).headers["x-effortwise-trace-id"]
    outcomes = [
        {"reward": 0.25, "source": "user", "outcome_id": "1"},
        {"reward": 0.75, "source": "user", "outcome_id": "1"},
        {"reward": 0.5, "source": "user", "outcome_id": "2"},
        {"verdict": True, "source": "tests"},
    ]
    told = []
    for outcome in outcomes:
        reply = await live.post("outcomes", {"trace_id": trace_id, **outcome})
        assert reply.status_code == 200
        told.append((reply.json()["recorded"], reply.json()["reward"]))
    assert told == [(True, 0.25), (False, 0.25), (True, 0.5), (True, 1.0)]
    found = {(o["source"], o["outcome_id"]): o["reward"] for o in (await live.trace(trace_id))["outcomes"]}
    assert found == {("user", "1"): 0.25, ("user", "2"): 0.5, ("tests", ""): 1.0}


BAD_OUTCOMES: list[tuple[Any, str | None]] = [
    (b"{", None),
    (b"[]", None),
    ({"reward": 1}, "trace_id"),
    ({"trace_id": "x"}, None),
    ({"trace_id": "x", "reward": 1, "verdict": True}, None),
    ({"trace_id": "x", "reward": 1.5}, "reward"),
    ({"trace_id": "x", "reward": -0.1}, "reward"),
    (b'{"trace_id": "x", "reward": NaN}', "reward"),
    ({"trace_id": "x", "reward": "much"}, "reward"),
    ({"trace_id": 7, "reward": 1}, "trace_id"),
    ({"trace_id": "x", "reward": 1, "source": ""}, "source"),
    ({"trace_id": "x", "reward": 1, "sauce": "s"}, "sauce"),
]


@pytest.mark.parametrize(("body", "param"), BAD_OUTCOMES)
async def test_wrong_outcomes_are_refused_by_field(live: Live, body: Any, param: str | None) -> None:
    """What is no outcome is a 400 that names the field."""
    reply = await live.post("outcomes", body)
    error = reply.json()["error"]
    assert (reply.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert error["message"]


async def test_an_outcome_may_come_before_its_answer(live: Live) -> None:
    """A trace that is still being answered can be judged; the outcome waits for it."""
    answering = asyncio.ensure_future(live.chat("slow"))
    [trace_id] = await live.under_way()
    assert (await live.http.get(f"{live.url}/traces/{trace_id}")).status_code == 404
    reply = await live.post("outcomes", {"trace_id": trace_id, "reward": 0.5})
    assert reply.status_code == 200
    await answering
    assert [o["reward"] for o in (await live.trace(trace_id))["outcomes"]] == [0.5]


async def test_an_outcome_may_come_while_its_trace_is_in_the_queue(live: Live) -> None:
    """While another holds the store, an answered trace is known; both are written when it lets go."""
    answering = asyncio.ensure_future(live.chat("slow"))
    await live.under_way()
    other = sqlite3.connect(live.service.configuration.store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    trace_id = (await answering).headers["x-effortwise-trace-id"]
    assert live.service.store.trace(trace_id) is None
    judging = asyncio.ensure_future(live.post("outcomes", {"trace_id": trace_id, "verdict": False}))
    reading = asyncio.ensure_future(live.trace(trace_id))
    await asyncio.sleep(0.2)
    assert not judging.done()
    assert not reading.done()
    other.execute("ROLLBACK")
    other.close()
    assert (await judging).status_code == 200
    assert (await reading)["status"] == "complete"
    assert [o["reward"] for o in (await live.trace(trace_id))["outcomes"]] == [0.0]


@pytest.mark.parametrize("prompts", ["whole", "hashed", "none"])
async def test_no_more_text_is_kept_than_wished(tmp_path: Path, prompts: str) -> None:
    """With hashed or none, no word of prompt, reply, verifier or upstream error is in any file."""
    refusing = {"match": "echo", "error": "refused", "status": 400}
    values = tables(tmp_path, [*RULES, refusing])
    values["store"]["prompts"] = prompts
    verifier = {"type": "exact", "reference": "secret-reference"}
    async with serving(values) as live:
        ids = [
            (await live.chat("secret-question", model=model, effortwise=wishes)).headers[
                "x-effortwise-trace-id"
            ]
            for model in ("small", "small/self_consistency:direct@4", "small/best_of_n@4")
            for wishes in ({"verifier": verifier, "unit": "unit-1"},)
        ]
        await live.chat("echo")
        traces = {trace.id: trace for trace in await live.traces(4)}
        content = stored_bytes(tmp_path)
    assert b"unit-1" in content
    for secret in (b"secret-question", b"secret-answer", b"secret-reference", b"upstream answered 400"):
        assert (secret in content) == (prompts == "whole"), secret
        assert (secret in stored_bytes(tmp_path)) == (prompts == "whole"), secret
    hashes = {traces[trace_id].prompt for trace_id in ids}
    assert len(hashes) == 1  # the same question has the same hash
    assert {"whole": lambda h: "secret" in h, "hashed": lambda h: len(h) == 64, "none": lambda h: h is None}[
        prompts
    ](hashes.pop())


def stored_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in (folder / "state").iterdir() if path.is_file())


async def test_any_text_survives(live: Live) -> None:
    """Zeros, quotes, emoji, line ends and very long texts come back from the store as they went in."""
    text = "a\x00b \"q\" 'q' \\u0000 \U0001f600 \u2028 é\r\n" + "x" * 200_000
    reply = await live.chat(text, model="small", max_tokens=50)
    trace = await live.trace(reply.headers["x-effortwise-trace-id"])
    assert trace["answer"] == reply.json()["choices"][0]["message"]["content"]
    assert json.loads(trace["prompt"])["messages"][0]["content"] == text


async def test_the_decision_card_costs_nothing(live: Live) -> None:
    """/v1/plan tells arms, estimates, reasons and versions, and reserves, calls and records nothing."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
    reply = await live.post("plan", body)
    found = reply.json()
    assert [row["arm"] for row in found["arms"]] == list(live.service.allocator.menu.ids)
    assert sum(row["propensity"] for row in found["arms"]) == pytest.approx(1)
    assert found["propensity"] == {row["arm"]: row["propensity"] for row in found["arms"]}[found["arm"]]
    assert found["versions"]["configuration"] == live.service.configuration.hash
    assert live.service.backends["fake"].billed == []
    assert list(live.service.store.traces()) == []
    assert live.spent_and_reserved() == (0, 0)


@pytest.mark.parametrize("model", ["small", "small/direct", "large", "cascade(small/direct>large/direct)"])
async def test_a_named_arm_has_a_card_too(live: Live, model: str) -> None:
    """Asking for the card of what the caller names shows it as drawn for certain."""
    reply = await live.post("plan", {"model": model, "messages": [{"role": "user", "content": "hello"}]})
    assert (reply.status_code, reply.json()["propensity"]) == (200, 1.0)
