"""The scripted upstream: what tests and benchmarks stand on must itself be true."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from router.backend import DEAF
from router.call import Call, Delta
from router.errors import (
    BackendRefused,
    BackendTimeout,
    BackendUnreachable,
    ConfigurationError,
    MalformedReply,
)
from serving.backends import BACKENDS
from serving.backends.scripted import LOGPROB, Scripted
from serving.streamed_reply import StreamedReply


class Ear:
    """A listener that keeps what it hears."""

    wants_deltas = True

    def __init__(self) -> None:
        self.deltas: list[Delta] = []

    def hear(self, delta: Delta) -> None:
        self.deltas.append(delta)


def call(words: str = "say hello", cap: int = 100, **parameters: Any) -> Call:
    return Call(
        "m", [{"role": "system", "content": "be brief"}, {"role": "user", "content": words}], cap, parameters
    )


async def test_without_rules_it_echoes() -> None:
    """The last user message comes back; tokens are words."""
    backend = BACKENDS["scripted"]()
    completion = await backend.complete(call("one two three"))
    assert completion.message == {"role": "assistant", "content": "one two three"}
    assert (completion.prompt_tokens, completion.completion_tokens) == (5, 3)
    await backend.aclose()


async def test_the_first_rule_that_matches_answers() -> None:
    """Rules are tried in order, as regular expressions on the last user message."""
    backend = Scripted([{"match": "^a", "reply": "A"}, {"match": "b$", "reply": "B"}])
    assert [(await backend.complete(call(words))).text for words in ("ab", "xb", "x")] == ["A", "B", "x"]


async def test_replies_are_taken_in_turn() -> None:
    """Calls without a seed cycle through a rule's replies."""
    backend = Scripted([{"replies": ["a", "b"]}])
    assert [(await backend.complete(call())).text for _ in range(3)] == ["a", "b", "a"]


async def test_a_seed_picks_its_reply() -> None:
    """The same seed gives the same reply, whatever came before."""
    backend = Scripted([{"replies": ["a", "b", "c"]}])
    assert [(await backend.complete(call(seed=seed))).text for seed in (4, 0, 4, 2)] == ["b", "a", "b", "c"]


async def test_a_rule_can_hold_for_some_calls() -> None:
    """After its times are up a rule gives way: an upstream that fails twice and then recovers."""
    backend = Scripted([{"error": "refused", "times": 2}, {"reply": "fine"}])
    for _ in range(2):
        with pytest.raises(BackendRefused):
            await backend.complete(call())
    assert (await backend.complete(call())).text == "fine"


async def test_the_cap_cuts() -> None:
    """A reply longer than the cap is cut and says so."""
    completion = await Scripted([{"reply": "one two three"}]).complete(call(cap=2))
    assert (completion.text, completion.finish_reason, completion.completion_tokens) == (
        "one two ",
        "length",
        2,
    )


@pytest.mark.parametrize("logprobs", [False, True])
@pytest.mark.parametrize(
    "reply", ["  one two\n three ", {"content": None, "tool_calls": [{"id": "a"}, {"id": "b"}]}]
)
async def test_the_stream_is_the_completion(reply: Any, logprobs: bool) -> None:
    """What a listener hears joins to what is returned, with the running totals of its words."""
    backend = Scripted([{"reply": reply}])
    ear = Ear()
    completion = await backend.complete(call(logprobs=logprobs), ear)
    heard = StreamedReply()
    for delta in ear.deltas:
        choice = {"delta": delta.delta, "finish_reason": delta.finish_reason, "logprobs": delta.logprobs}
        heard.take({"choices": [choice]})
    assert heard.message == completion.message
    assert heard.finish_reason == completion.finish_reason
    assert heard.logprobs.get("content") == (completion.logprobs or {}).get("content")
    assert ear.deltas[-1].completion_tokens == completion.completion_tokens
    assert ear.deltas[-1].prompt_tokens == completion.prompt_tokens


async def test_logprobs_stand_where_asked() -> None:
    """Each word has the scripted log-probability."""
    completion = await Scripted([{"reply": "a b"}]).complete(call(logprobs=True))
    assert [token["logprob"] for token in completion.logprobs["content"]] == [LOGPROB, LOGPROB]
    assert [token["token"] for token in completion.logprobs["content"]] == ["a ", "b"]


@pytest.mark.parametrize(
    ("error", "kind", "billed"),
    [
        ("timeout", BackendTimeout, 1),
        ("unreachable", BackendUnreachable, 0),
        ("broken_off", BackendUnreachable, 1),
        ("refused", BackendRefused, 0),
        ("malformed", MalformedReply, 1),
    ],
)
async def test_errors_and_their_bills(error: str, kind: type, billed: int) -> None:
    """Each fault raises its error, and is charged exactly where the error says that it may be."""
    backend = Scripted([{"reply": "a b c d", "error": error, "status": 429, "retry_after_s": 2.0}])
    with pytest.raises(kind) as caught:
        await backend.complete(call())
    assert caught.value.billed == bool(billed)
    assert len(backend.billed) == billed
    if isinstance(caught.value, BackendRefused):
        assert (caught.value.status, caught.value.retry_after_s) == (429, 2.0)


async def test_it_breaks_off_in_the_middle() -> None:
    """Half of the words are heard and charged before the break."""
    backend = Scripted([{"reply": "a b c d", "error": "broken_off"}])
    ear = Ear()
    with pytest.raises(BackendUnreachable):
        await backend.complete(call(), ear)
    assert "".join(delta.delta.get("content", "") for delta in ear.deltas) == "a b "
    assert ear.deltas[-1].finish_reason is None
    assert backend.billed[0].completion_tokens == 2


async def test_the_bill_lists_every_charge() -> None:
    """Each answered call stands on the bill with its tokens, as the completion counts them."""
    backend = Scripted([{"reply": "a b", "completion_tokens": 9}])
    asked = call()
    completion = await backend.complete(asked)
    assert backend.billed == [(asked, completion.prompt_tokens, 9)]


async def test_latency_is_kept_and_cancelling_is_charged() -> None:
    """A reply takes its time; a cancelled stream is charged for the words that were said."""
    backend = Scripted([{"reply": "a b c d", "latency_s": 0.2}])
    started = time.perf_counter()
    await backend.complete(call())
    assert time.perf_counter() - started >= 0.19
    ear = Ear()
    task = asyncio.ensure_future(backend.complete(call(), ear))
    while len(ear.deltas) < 3:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert 2 <= backend.billed[1].completion_tokens < 4


async def test_the_echo_has_a_latency() -> None:
    """The latency of the backend holds where no rule gives one."""
    started = time.perf_counter()
    await Scripted(latency_s=0.05).complete(call(), DEAF)
    assert time.perf_counter() - started >= 0.045


@pytest.mark.parametrize("rule", [{"match": "("}, {"error": "fire"}, {"rply": "a"}])
def test_wrong_rules_are_refused(rule: dict[str, Any]) -> None:
    """A rule that is wrong is a configuration error that says what is known."""
    with pytest.raises(ConfigurationError, match=r"Known|regular expression"):
        Scripted([rule])
