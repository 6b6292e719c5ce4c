"""The reward model's backend against a real server on loopback, and the verifier that asks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import upstream as up
from fakes import ask, run_of
from upstream import Upstream, running_upstream

from router.call import Call, Delta
from router.candidate import Candidate, composed
from router.errors import (
    BackendRefused,
    BackendTimeout,
    BackendUnreachable,
    ConfigurationError,
    MalformedReply,
)
from router.model_card import ModelCard
from router.tariff import Tariff
from serving.backends.reward_http import RewardHttp

KEY = "sk-very-secret-key"
PATH = "/v1/chat/completions"  # what the fake upstream listens at
RATED = [{"role": "user", "content": "2 + 3?"}, {"role": "assistant", "content": "5"}]
CARD = ModelCard("rm", Tariff(1000.0, 1000.0), 64, 4096)
USAGE = {"prompt_tokens": 12, "total_tokens": 12}


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running_upstream() as server:
        server.play(up.reply({"score": 0.75, "usage": USAGE}))
        yield server


def backend_of(server: Upstream, **options: Any) -> RewardHttp:
    return RewardHttp(server.base_url.removesuffix("/v1"), **{"path": PATH, "api_key": KEY, **options})


def call(messages: Any = RATED) -> Call:
    return Call("rm", messages, 1, {"temperature": 0.7}, "reward", "reward")


@pytest.fixture
async def backend(upstream: Upstream) -> AsyncIterator[RewardHttp]:
    made = backend_of(upstream)
    yield made
    await made.aclose()


async def test_question_and_reply_are_posted_and_nothing_else(
    backend: RewardHttp, upstream: Upstream
) -> None:
    """The number comes back as the completion's text, the prompt's tokens as told, none generated."""
    completion = await backend.complete(call())
    assert float(completion.text) == 0.75
    assert (completion.prompt_tokens, completion.completion_tokens) == (12, 0)
    assert upstream.visits[0].body == {"model": "rm", "query": "2 + 3?", "reply": "5"}
    assert upstream.visits[0].request.headers["authorization"] == f"Bearer {KEY}"


async def test_fields_and_model_are_named_as_the_server_wants(upstream: Upstream) -> None:
    """vLLM's names, and the upstream's own name of the model."""
    backend = backend_of(
        upstream, query_field="text_1", reply_field="text_2", upstream={"rm": "vendor/reward"}
    )
    await backend.complete(call())
    await backend.aclose()
    assert upstream.visits[0].body == {"model": "vendor/reward", "text_1": "2 + 3?", "text_2": "5"}


async def test_a_conversation_is_sent_as_lines(backend: RewardHttp, upstream: Upstream) -> None:
    """Several messages before the reply all stand in the question, each with its role."""
    await backend.complete(call([{"role": "system", "content": "Be brief."}, *RATED]))
    assert upstream.visits[0].body["query"] == "system: Be brief.\nuser: 2 + 3?"


@pytest.mark.parametrize(
    ("body", "number"),
    [
        ({"score": 2}, 2.0),
        ({"data": [{"index": 0, "object": "score", "score": -1.5}], "usage": USAGE}, -1.5),
        ([{"index": 0, "score": 0.25}], 0.25),
        ([0.5], 0.5),
        ({"data": [0.125]}, 0.125),
    ],
)
async def test_the_forms_of_a_score(
    backend: RewardHttp, upstream: Upstream, body: Any, number: float
) -> None:
    """What reward servers and rerankers answer with is understood."""
    upstream.play(up.reply(body))
    assert float((await backend.complete(call())).text) == number


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"score": None}, {"score": "0.5"}, {"score": True}, [], [0.1, 0.2], {"data": []}, "0.5", None),
        *(b"not json", b'{"score": NaN}', b'{"score": 1e999}', b""),
    ],
)
async def test_anything_else_is_no_score(backend: RewardHttp, upstream: Upstream, body: Any) -> None:
    """A reply without one finite number is malformed and never read as some number."""
    upstream.play(up.reply(body))
    with pytest.raises(MalformedReply):
        await backend.complete(call())


async def test_untold_usage_is_estimated(backend: RewardHttp, upstream: Upstream) -> None:
    """A server that tells no usage is never counted as free, and the counts are marked."""
    upstream.play(up.reply({"score": 0.5}))
    completion = await backend.complete(call())
    assert completion.usage_details == {"estimated": True}
    assert completion.prompt_tokens > 0


@pytest.mark.parametrize(("logit", "share"), [(0.0, 0.5), (1000.0, 1.0), (-1000.0, 0.0)])
async def test_a_logit_becomes_a_share(upstream: Upstream, logit: float, share: float) -> None:
    """With ``sigmoid`` the number lies in [0, 1]."""
    upstream.play(up.reply({"score": logit}))
    backend = backend_of(upstream, sigmoid=True)
    assert float((await backend.complete(call())).text) == share
    await backend.aclose()


async def test_a_chat_is_refused(backend: RewardHttp, upstream: Upstream) -> None:
    """Without a reply to rate nothing is sent, and nothing is billed."""
    for messages in (RATED[:1], RATED[1:], []):
        with pytest.raises(BackendRefused) as refused:
            await backend.complete(call(messages))
        assert not refused.value.billed
    assert upstream.visits == []


async def test_a_listener_hears_one_piece(backend: RewardHttp) -> None:
    """A caller who streams gets the number whole."""
    heard: list[Delta] = []

    class Ear:
        wants_deltas = True

        def hear(self, delta: Delta) -> None:
            heard.append(delta)

    await backend.complete(call(), Ear())
    assert [delta.delta["content"] for delta in heard] == ["0.75"]


async def test_errors_are_those_of_the_tree(backend: RewardHttp, upstream: Upstream) -> None:
    """An error status is a refusal with its time to wait, and no words hold the key."""
    upstream.play(up.reply({"error": {"message": f"no {KEY}"}}, 429, {"retry-after": "2"}))
    with pytest.raises(BackendRefused) as refused:
        await backend.complete(call())
    assert (refused.value.status, refused.value.retry_after_s) == (429, 2.0)
    assert KEY not in str(refused.value)


async def test_a_slow_or_absent_server_ends_in_time(upstream: Upstream) -> None:
    """A server that hangs is a time-out, one that is not there unreachable."""

    async def hanging(visit: Any) -> Any:
        await asyncio.sleep(30)

    upstream.play(hanging)
    slow, absent = backend_of(upstream, timeout_s=0.05), RewardHttp("http://127.0.0.1:1")
    with pytest.raises(BackendTimeout):
        await slow.complete(call())
    with pytest.raises(BackendUnreachable):
        await absent.complete(call())
    await slow.aclose()
    await absent.aclose()


async def test_cancelling_hangs_up(upstream: Upstream) -> None:
    """Cancelling the awaiting task cancels the call upstream."""

    async def hanging(visit: Any) -> Any:
        await asyncio.sleep(30)

    upstream.play(hanging)
    backend = backend_of(upstream)
    task = asyncio.ensure_future(backend.complete(call()))
    while not upstream.visits:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(upstream.visits[0].abandoned.wait(), 5)
    await backend.aclose()


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "ftp://x"},
        {"path": "score"},
        {"query_field": "reply"},
        {"reply_field": ""},
        {"timeout_s": 0},
    ],
    ids=str,
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    """Known at start."""
    with pytest.raises(ConfigurationError):
        RewardHttp(**{"base_url": "http://x", **options})


async def test_a_verdict_is_asked_over_http_and_metered(backend: RewardHttp, upstream: Upstream) -> None:
    """The whole way: the verifier asks the configured model, the verdict tells its cost, and the call
    stands on the trace as a reward."""
    query = ask("2 + 3?", verifier={"type": "reward_model", "model": "rm", "pass_at": 0.7})
    run = run_of(backend, query, cards={"rm": CARD})  # type: ignore[arg-type]  # any backend serves
    verdict = await run.verify(_candidate("5"))
    assert verdict is not None
    assert (verdict.ruling, verdict.reward, verdict.sound) == ("pass", 0.75, False)
    assert (verdict.usage.calls, verdict.usage.prompt_tokens) == (1, 12)
    assert verdict.usage.cost_nano == run.meter.usage.cost_nano > 0
    assert [(record.purpose, record.model) for record in run.meter.records] == [("reward", "rm")]
    upstream.play(up.reply({"no": "score"}))
    failed = await run.verify(_candidate("5"))
    assert failed is not None
    assert failed.ruling == "unknown"


def _candidate(text: str) -> Candidate:
    return composed(text, text, (), "direct")
