"""Accounts end to end: keys, allowances under concurrency, and what belongs to whom."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from service_process import Live, serving, tables, write_toml
from typer.testing import CliRunner

from effortwise.cli import app
from router.configuration import parse_configuration
from router.errors import ConfigurationError
from router.tariff import to_nano, to_usd
from serving.accounts import Accounts

RICH, POOR = "key-of-the-rich", "key-of-the-poor"
ALLOWANCE_USD = 0.2
RULES = [{"match": "slow", "reply": "done", "latency_s": 0.3}]


def account(name: str, key: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "api_keys_sha256": [hashlib.sha256(key.encode()).hexdigest()], **fields}


ACCOUNTS = [account("rich", RICH), account("poor", POOR, allowance_usd=ALLOWANCE_USD, window="month")]


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    async with serving(tables(tmp_path, RULES, accounts=ACCOUNTS)) as live:
        yield live


@pytest.mark.parametrize("path", ["chat/completions", "plan", "outcomes"])
@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer", f"Basic {RICH}", RICH])
async def test_without_a_known_key_nothing_is_told(live: Live, path: str, header: str | None) -> None:
    """Every endpoint but the health checks asks for a key, before it looks at the body."""
    headers = {"authorization": header} if header else {}
    reply = await live.http.post(f"{live.url}/{path}", content=b"{", headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "invalid_api_key")
    for path_ in ("models", "models/small", "traces/x"):
        assert (await live.http.get(f"{live.url}/{path_}", headers=headers)).status_code == 401
    assert (await live.ready())[0] == 200


async def test_the_client_knows_a_wrong_key(live: Live) -> None:
    """The official client raises its authentication error; a right key pays on its own account."""
    with pytest.raises(openai.AuthenticationError):
        await live.client("wrong").models.list()
    messages = [{"role": "user", "content": "hi"}]
    answer = await live.client(RICH).chat.completions.create(model="small", messages=messages)
    trace = await live.trace(answer.model_extra["effortwise"]["trace_id"], RICH)
    assert trace["account"] == "rich"
    assert live.spent_and_reserved("rich") == (to_nano(trace["usage"]["cost_usd"]), 0)


async def test_a_key_may_hold_any_letter(tmp_path: Path) -> None:
    """A key is its bytes, for every endpoint."""
    async with serving(tables(tmp_path, accounts=[account("a", "clé-é")])) as live:
        headers = {"authorization": "Bearer clé-é".encode()}
        for path in ("chat/completions", "plan"):
            body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
            reply = await live.http.post(f"{live.url}/{path}", json=body, headers=headers)
            assert reply.status_code == 200, path


async def test_an_allowance_that_is_used_up_says_when_to_come_back(live: Live) -> None:
    """The poor account is refused with the seconds until its window turns; the rich one is served."""
    client = live.client(POOR)
    with pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(
            model="large", messages=[{"role": "user", "content": "word " * 2000}]
        )
    assert caught.value.code == "insufficient_quota"
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 31 * 86_400
    assert live.spent_and_reserved("poor") == (0, 0)
    assert (await live.chat("hi", RICH, model="large")).status_code == 200
    assert (await live.chat("hi", POOR, model="small")).status_code == 200


async def test_an_account_sees_what_it_has_spent_and_what_is_left(live: Live, tmp_path: Path) -> None:
    """Its own and no other's, as the ledger has it; the operator sees all, while the service runs."""
    assert (await live.chat("hi", POOR, model="small")).status_code == 200
    await live.traces(1)
    headers = {"authorization": f"Bearer {POOR}"}
    told = (await live.http.get(f"{live.url}/spending", headers=headers)).json()
    spent = live.spent_and_reserved("poor")[0]
    assert spent > 0
    assert (told["account"], told["object"]) == ("poor", "spending")
    assert (told["spent_usd"], told["reserved_usd"]) == (to_usd(spent), 0.0)
    assert told["left_usd"] == pytest.approx(ALLOWANCE_USD - told["spent_usd"])
    assert 0 < told["resets_in_s"] <= 31 * 86_400
    config = write_toml(tmp_path / "spending.toml", tables(tmp_path, RULES, accounts=ACCOUNTS))
    done = CliRunner().invoke(app, ["spending", "--config", str(config), "--json"])
    assert done.exit_code == 0, done.output
    by_account = {each["account"]: each for each in json.loads(done.output)}
    assert by_account["poor"]["spent_usd"] == told["spent_usd"]
    assert (by_account["rich"]["spent_usd"], by_account["rich"]["left_usd"]) == (0.0, None)
    shown = CliRunner().invoke(app, ["spending", "--config", str(config)])
    assert "no cap" in shown.output


async def test_what_does_not_fit_the_allowance_is_planned_cheaper(live: Live) -> None:
    """Where the drawn arm is too dear for what is left, a cheaper one answers, without a propensity."""
    live.service.allocator.policies = {"auto": _Dear()}
    assert (await live.chat("hi", RICH, model="auto")).headers["x-effortwise-arm"].startswith("cascade")
    reply = await live.chat("hi", POOR, model="auto")
    assert (reply.status_code, reply.headers["x-effortwise-arm"]) == (200, "small/self_consistency:direct@4")
    plan = (await live.trace(reply.headers["x-effortwise-trace-id"], POOR))["plan"]
    assert (plan["propensity"], plan["propensities"]) == (None, None)
    assert "did not fit the account's allowance" in plan["override"]
    card = (
        await live.post("plan", {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}, POOR)
    ).json()
    assert "allowance" in {row["arm"]: row["excluded"] for row in card["arms"]}["large/direct"]


async def test_odds_are_unknown_where_other_arms_would_not_have_fitted(tmp_path: Path) -> None:
    """Near the end of an allowance a cheap draw is recorded and a dear one is drawn anew: with the odds of
    the first draw on it, the cheap arm would look twice as good as it is. Where all fit, they are known."""
    accounts = [account("rich", RICH), account("poor", POOR, allowance_usd=ALLOWANCE_USD, window="total")]
    policies = {"auto": {"type": "uniform"}}
    async with serving(tables(tmp_path, RULES, accounts=accounts, policies=policies)) as live:
        for key, known in ((RICH, True), (POOR, False)):
            replies = [await live.chat(f"hi {i}", key, model="auto", max_tokens=200) for i in range(30)]
            plans = [
                (await live.trace(reply.headers["x-effortwise-trace-id"], key))["plan"] for reply in replies
            ]
            assert {plan["propensity"] is not None for plan in plans} == {known}
            assert {plan["propensities"] is not None for plan in plans} == {known}
        assert any(plan["override"] is None for plan in plans)  # a draw that fitted, and yet is not known


class _Dear:
    """Takes the dearest arm that is feasible."""

    def distribution(self, choice: Any) -> Any:
        cost = choice.feasible * choice.estimate.cost_usd
        return (cost == cost.max()) / (cost == cost.max()).sum()


async def test_fifty_at_once_never_overspend(live: Live) -> None:
    """However many come together, spent and reserved stay within the allowance at every commit."""
    seen: list[int] = []
    store, allowance = live.service.store, to_nano(ALLOWANCE_USD)
    apply = store.apply

    def watched(operations: Any) -> Any:
        results = apply(operations)
        seen.append(sum(live.spent_and_reserved("poor")))
        return results

    live.service.recorder.store = _Store(watched)
    replies = await asyncio.gather(
        *(live.chat("slow", POOR, model="auto" if i % 2 else "small", max_tokens=5) for i in range(50))
    )
    statuses = [reply.status_code for reply in replies]
    assert set(statuses) == {200, 429}
    traces = await live.traces(statuses.count(200))
    assert len(traces) == statuses.count(200)
    assert 0 < max(seen) <= allowance
    assert live.spent_and_reserved("poor") == (sum(trace.usage.cost_nano for trace in traces), 0)


class _Store:
    """Only what the recorder uses."""

    def __init__(self, apply: Any) -> None:
        self.apply = apply


async def test_anothers_trace_is_no_trace(live: Live) -> None:
    """Reading or judging another account's trace is told as an unknown one is: 404, done or under way."""
    reply = await live.chat("hi", RICH)
    done = reply.headers["x-effortwise-trace-id"]
    await live.trace(done, RICH)
    under_way = asyncio.ensure_future(live.chat("slow", RICH))
    [open_id] = await live.under_way()
    for trace_id in (done, open_id, "00000000-0000-7000-8000-000000000000"):
        unknown = await live.http.get(
            f"{live.url}/traces/{trace_id}", headers={"authorization": f"Bearer {POOR}"}
        )
        judged = await live.post("outcomes", {"trace_id": trace_id, "reward": 1}, POOR)
        for answer in (unknown, judged):
            assert_unknown(answer, trace_id)
    await under_way
    assert (await live.trace(done, RICH))["outcomes"] == []


def assert_unknown(reply: httpx.Response, trace_id: str) -> None:
    assert reply.status_code == 404
    assert reply.json()["error"]["code"] == "trace_not_found"
    assert reply.json()["error"]["message"] == f"No trace {trace_id!r} for this account."


@pytest.mark.parametrize(
    ("accounts", "words"),
    [
        ([account("a", "k"), account("b", "k")], "shares an API key"),
        ([account("a", "k"), {"name": "b"}], "no api_keys_sha256"),
        ([{"name": "a"}, {"name": "b"}], "several accounts need"),
    ],
)
def test_accounts_that_cannot_be_told_apart_are_refused_at_start(
    tmp_path: Path, accounts: list[dict[str, Any]], words: str
) -> None:
    """A configuration in which a caller would be two accounts, or none, is an error."""
    with pytest.raises(ConfigurationError, match=words):
        Accounts.of(parse_configuration(tables(tmp_path, accounts=accounts)))


async def test_one_account_without_keys_is_everybodys(tmp_path: Path) -> None:
    """No key is asked for, and the allowance holds for all."""
    values = tables(tmp_path, accounts=[{"name": "all", "allowance_usd": 0.001, "window": "total"}])
    async with serving(values) as live:
        reply = await live.chat("hi")
        assert (reply.status_code, json.loads(reply.content)["error"]["type"]) == (429, "insufficient_quota")
        assert "per total" in reply.text
