"""The OpenAI-compatible backend against a real server on loopback, with every fault that one shows."""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import upstream as up
from hypothesis import given
from hypothesis import strategies as st
from upstream import Upstream, running_upstream

from router.backend import DEAF
from router.call import Call, Delta
from router.errors import (
    BackendError,
    BackendRefused,
    BackendTimeout,
    BackendUnreachable,
    ConfigurationError,
    MalformedReply,
)
from serving.backends import BACKENDS
from serving.backends.openai_compatible import OpenAICompatible
from serving.sse import EventParser

KEY = "sk-very-secret-key"
MESSAGES = [{"role": "user", "content": "say hello"}]


class Ear:
    """A listener that keeps what it hears."""

    wants_deltas = True

    def __init__(self) -> None:
        self.deltas: list[Delta] = []

    def hear(self, delta: Delta) -> None:
        self.deltas.append(delta)

    @property
    def text(self) -> str:
        return "".join(delta.delta.get("content") or "" for delta in self.deltas)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with running_upstream() as server:
        yield server


@pytest.fixture
async def backend(upstream: Upstream) -> AsyncIterator[OpenAICompatible]:
    made = OpenAICompatible(upstream.base_url, KEY, timeout_s=5.0, upstream={"small": "vendor/small-v2"})
    yield made
    await made.aclose()


def call(**parameters: Any) -> Call:
    return Call("small", MESSAGES, 64, parameters)


async def test_a_reply_becomes_a_completion(backend: OpenAICompatible, upstream: Upstream) -> None:
    """Message, finish reason, counts and the usage's details come through whole."""
    usage = {**up.USAGE, "prompt_tokens_details": {"cached_tokens": 4}}
    upstream.play(up.reply(up.completion("hello", usage)))
    completion = await backend.complete(call())
    assert completion.message == {"role": "assistant", "content": "hello"}
    assert (completion.finish_reason, completion.prompt_tokens, completion.completion_tokens) == (
        "stop",
        7,
        3,
    )
    assert completion.usage_details == {"prompt_tokens_details": {"cached_tokens": 4}}


async def test_the_request_is_openais(backend: OpenAICompatible, upstream: Upstream) -> None:
    """The upstream gets its own model name, the cap, the key, and every parameter, known or not."""
    await backend.complete(call(temperature=0.5, unheard_of={"a": 1}))
    visit = upstream.visits[0]
    assert visit.body == {
        "model": "vendor/small-v2",
        "messages": MESSAGES,
        "max_completion_tokens": 64,
        "temperature": 0.5,
        "unheard_of": {"a": 1},
    }
    assert visit.request.headers["authorization"] == f"Bearer {KEY}"


async def test_parameters_cannot_lift_the_cap(upstream: Upstream) -> None:
    """What the caller puts among the parameters never replaces the cap, the model or the messages."""
    backend = OpenAICompatible(upstream.base_url + "/", max_tokens_field="max_tokens")
    await backend.complete(call(max_tokens=10**6, model="dear", messages=[]))
    await backend.aclose()
    body = upstream.visits[0].body
    assert (body["max_tokens"], body["model"], body["messages"]) == (64, "small", MESSAGES)
    assert "authorization" not in upstream.visits[0].request.headers


async def test_a_stream_is_told_and_put_together(backend: OpenAICompatible, upstream: Upstream) -> None:
    """The listener hears each piece; the completion is the same as the unstreamed one."""
    upstream.play(up.stream(up.words("one two three")))
    ear = Ear()
    completion = await backend.complete(call(), ear)
    assert ear.text == completion.text == "one two three "
    assert (completion.prompt_tokens, completion.completion_tokens) == (7, 3)
    assert ear.deltas[-1].finish_reason == completion.finish_reason == "stop"
    assert upstream.visits[0].body["stream_options"] == {"include_usage": True}


async def test_tokens_are_told_as_they_come(backend: OpenAICompatible, upstream: Upstream) -> None:
    """The first piece is heard long before a slow stream ends."""
    upstream.play(up.stream(up.words("one two three four"), pause_s=0.05))
    ear = Ear()
    task = asyncio.ensure_future(backend.complete(call(), ear))
    while not ear.text:
        await asyncio.sleep(0.005)
    assert not task.done()
    await task
    assert ear.text == "one two three four "


async def test_streamed_tool_calls_are_merged_by_index(backend: OpenAICompatible, upstream: Upstream) -> None:
    """Arguments of parallel calls grow by their index; repeated names are not doubled."""
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x"'}}
    other = {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}
    more = {"index": 0, "function": {"name": "f", "arguments": ": 1}"}}
    pieces = [{"role": "assistant", "tool_calls": [first]}, {"tool_calls": [other]}, {"tool_calls": [more]}]
    upstream.play(up.stream([*map(up.chunk, pieces), up.chunk({}, "tool_calls"), up.usage_chunk(), up.DONE]))
    completion = await backend.complete(call(), Ear())
    assert completion.finish_reason == "tool_calls"
    assert completion.message == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        ],
    }


async def test_streamed_refusals_reasoning_and_logprobs_are_merged(
    backend: OpenAICompatible, upstream: Upstream
) -> None:
    """Every text of the deltas is joined, and the tokens' log-probabilities stand in one list."""
    token = {"token": "no", "logprob": -0.5}
    pieces = [
        up.chunk({"role": "assistant", "refusal": "I "}, logprobs={"content": None, "refusal": [token]}),
        up.chunk({"refusal": "won't"}, logprobs={"content": None, "refusal": [token]}),
        up.chunk({"reasoning_content": "be"}),
        up.chunk({"reasoning_content": "cause"}),
        up.chunk({}, "stop"),
        up.DONE,
    ]
    upstream.play(up.stream(pieces))
    completion = await backend.complete(call(), Ear())
    assert completion.message == {
        "role": "assistant",
        "content": None,
        "refusal": "I won't",
        "reasoning_content": "because",
    }
    assert completion.logprobs == {"refusal": [token, token]}


async def test_running_totals_are_told(backend: OpenAICompatible, upstream: Upstream) -> None:
    """An upstream that counts on the way has its counts told with each piece."""
    counted = up.event(
        {
            "choices": [{"index": 0, "delta": {"content": "a"}}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 1},
        }
    )
    upstream.play(up.stream([counted, up.chunk({}, "stop"), up.DONE]))
    ear = Ear()
    await backend.complete(call(), ear)
    assert (ear.deltas[0].prompt_tokens, ear.deltas[0].completion_tokens) == (5, 1)


async def test_what_was_told_once_stands(backend: OpenAICompatible, upstream: Upstream) -> None:
    """Later chunks with null for usage and finish reason take back neither."""
    early = [
        up.chunk({"content": "a"}, "length"),
        up.usage_chunk(),
        up.chunk({}),
        up.usage_chunk(None),
        up.DONE,
    ]
    upstream.play(up.stream(early))
    completion = await backend.complete(call(), Ear())
    assert (completion.finish_reason, completion.prompt_tokens, completion.usage_details) == ("length", 7, {})


async def test_redirects_are_not_followed(backend: OpenAICompatible, upstream: Upstream) -> None:
    """Prompt and key go to the configured server and to no other."""
    upstream.play(up.refusal(307, location="/v1/chat/completions"))
    with pytest.raises(BackendRefused):
        await backend.complete(call())
    assert len(upstream.visits) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_words_on_the_key_are_not_told(
    backend: OpenAICompatible, upstream: Upstream, status: int
) -> None:
    """Of an upstream's complaint about the key, which may hold parts of it, only the status is told."""
    upstream.play(up.refusal(status, "Incorrect API key provided: sk-ve***-key"))
    with pytest.raises(BackendRefused, match=f"answered {status}\\.$"):
        await backend.complete(call())


async def test_a_server_that_does_not_stream_is_understood(
    backend: OpenAICompatible, upstream: Upstream
) -> None:
    """A plain reply to a streaming request is told as one piece."""
    ear = Ear()
    completion = await backend.complete(call(), ear)
    assert ear.text == completion.text == "hello"


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": "7", "completion_tokens": 3}, {"prompt_tokens": -1}]
)
async def test_missing_usage_is_estimated(backend: OpenAICompatible, upstream: Upstream, usage: Any) -> None:
    """Counts that the upstream does not report are estimated from above, and marked so."""
    upstream.play(up.reply(up.completion("hello " * 10, usage)))
    completion = await backend.complete(call())
    assert completion.usage_details == {"estimated": True}
    assert completion.completion_tokens >= 10
    assert completion.prompt_tokens >= len("say hello") / 3


async def test_an_estimate_stays_within_the_cap(backend: OpenAICompatible, upstream: Upstream) -> None:
    """However long the reply, no more tokens are estimated than were allowed."""
    upstream.play(up.reply(up.completion("x" * 10_000, None)))
    assert (await backend.complete(call())).completion_tokens == 64


@pytest.mark.parametrize("status", [400, 404, 408, 409, 413, 422, 429, 500, 503, 302])
async def test_error_statuses_are_refusals(
    backend: OpenAICompatible, upstream: Upstream, status: int
) -> None:
    """An error status is told with the model's name and the upstream's message."""
    upstream.play(up.refusal(status, "the reason"))
    with pytest.raises(BackendRefused, match=f"'small' answered {status}: the reason") as caught:
        await backend.complete(call())
    assert caught.value.status == status
    assert not caught.value.billed


@pytest.mark.parametrize(
    "body",
    [{"error": "the reason"}, {"message": "the reason", "object": "error"}, {"detail": "the reason"}],
)
async def test_other_shapes_of_errors_are_understood(
    backend: OpenAICompatible, upstream: Upstream, body: Any
) -> None:
    """The message is found in the error bodies of the other servers in use."""
    upstream.play(up.reply(body, 500))
    with pytest.raises(BackendRefused, match="the reason"):
        await backend.complete(call())


async def test_retry_after_is_read(backend: OpenAICompatible, upstream: Upstream) -> None:
    """Seconds and dates are both understood; nonsense is none."""
    date = email.utils.formatdate(time.time() + 60, usegmt=True)
    upstream.play(*(up.refusal(429, **{"retry-after": value}) for value in ("2.5", date, "soon", "inf")))
    waits = []
    for _ in range(4):
        with pytest.raises(BackendRefused) as caught:
            await backend.complete(call())
        waits.append(caught.value.retry_after_s)
    assert waits[0] == 2.5
    assert 50 < waits[1] <= 60
    assert waits[2:] == [None, None]


@pytest.mark.parametrize("status", [400, 401, 403, 500])
@pytest.mark.parametrize("wants_deltas", [False, True])
async def test_the_key_is_never_told(
    backend: OpenAICompatible, upstream: Upstream, status: int, wants_deltas: bool
) -> None:
    """An upstream that repeats the key does not bring it into an error, not even at a cut."""
    upstream.play(
        up.refusal(status, "x" * 490 + f"Incorrect API key {KEY}"), up.reply(b"x" * 70 + KEY.encode())
    )
    for kind in (BackendRefused, MalformedReply):
        with pytest.raises(kind) as caught:
            await backend.complete(call(), Ear() if wants_deltas else DEAF)
        assert "sk-very" not in str(caught.value)
        assert len(str(caught.value)) < 600


async def test_a_long_error_is_cut(backend: OpenAICompatible, upstream: Upstream) -> None:
    """Of an endless error message a bounded part is read and told."""
    upstream.play(up.refusal(400, "x" * 7000), up.refusal(400, "x" * 100_000))
    for _ in range(2):
        with pytest.raises(BackendRefused) as caught:
            await backend.complete(call())
        assert len(str(caught.value)) < 600


async def test_a_hanging_upstream_times_out(upstream: Upstream) -> None:
    """No answer in time is a time-out, which may be billed."""
    upstream.play(up.hang)
    backend = OpenAICompatible(upstream.base_url, timeout_s=0.1)
    with pytest.raises(BackendTimeout, match=r"within 0\.1 s") as caught:
        await backend.complete(call())
    await backend.aclose()
    assert caught.value.billed


async def test_a_stalling_stream_times_out(upstream: Upstream) -> None:
    """The time-out holds for the whole stream, not only for its beginning."""
    upstream.play(up.stream(up.words("one two three"), pause_s=0.2))
    backend = OpenAICompatible(upstream.base_url, timeout_s=0.3)
    with pytest.raises(BackendTimeout):
        await backend.complete(call(), Ear())
    await backend.aclose()


async def test_a_refused_connection_is_not_billed() -> None:
    """Where nobody listens nothing was generated."""
    backend = OpenAICompatible("http://127.0.0.1:1/v1")
    with pytest.raises(BackendUnreachable, match="cannot be reached") as caught:
        await backend.complete(call())
    await backend.aclose()
    assert not caught.value.billed


async def test_hanging_up_before_any_byte_is_billed_where_the_upstream_had_the_request(
    backend: OpenAICompatible, upstream: Upstream
) -> None:
    """On a connection of its own it may have been answered; on one that was idle, the upstream has mostly
    closed it before."""
    upstream.play(up.slam)
    with pytest.raises(BackendUnreachable) as caught:
        await backend.complete(call())
    assert caught.value.billed
    upstream.play(up.reply(up.completion("hello")), up.slam)
    await backend.complete(call())
    with pytest.raises(BackendUnreachable) as caught:
        await backend.complete(call())
    assert not caught.value.billed


async def test_a_call_that_never_left_is_not_billed(upstream: Upstream) -> None:
    """It waited for a connection until its time was over; the one that had it is."""
    backend = OpenAICompatible(upstream.base_url, timeout_s=0.3, max_connections=1)
    upstream.play(up.hang)
    failures = await asyncio.gather(*(backend.complete(call()) for _ in range(3)), return_exceptions=True)
    await backend.aclose()
    assert [type(failure) for failure in failures] == [BackendTimeout] * 3
    assert sorted(getattr(failure, "billed", None) for failure in failures) == [False, False, True]
    assert len(upstream.visits) == 1


async def test_half_a_reply_is_billed(backend: OpenAICompatible, upstream: Upstream) -> None:
    """A reply that breaks off in its middle was generated in part."""
    upstream.play(up.half)
    with pytest.raises(BackendUnreachable, match="broke off") as caught:
        await backend.complete(call())
    assert caught.value.billed


@pytest.mark.parametrize("cut", [False, True])
async def test_half_a_stream_is_billed(backend: OpenAICompatible, upstream: Upstream, cut: bool) -> None:
    """A stream that ends without a finish reason is no answer, however politely it ends."""
    upstream.play(up.stream(up.words("one two")[:2], cut=cut))
    ear = Ear()
    with pytest.raises(BackendUnreachable, match="broke off") as caught:
        await backend.complete(call(), ear)
    assert caught.value.billed
    assert ear.text == "one "


async def test_a_stream_may_end_with_either_mark(backend: OpenAICompatible, upstream: Upstream) -> None:
    """A finish reason without [DONE] ends a stream, and so does [DONE] without a finish reason."""
    upstream.play(
        up.stream([up.chunk({"content": "a"}), up.chunk({}, "length")]),
        up.stream([up.chunk({"content": "a"}), up.DONE]),
    )
    assert (await backend.complete(call(), Ear())).finish_reason == "length"
    assert (await backend.complete(call(), Ear())).finish_reason == "stop"


BROKEN = [b"", b"<html>", b"{", b"[]", b"null", b'"a"', b"{}", b'{"choices": []}', b'{"choices": [null]}']
BROKEN += [b'{"choices": [{"message": "hi"}]}', b'{"choices": {"a": 1}}', b'{"choices": [{"index": 0}]}']


@pytest.mark.parametrize("body", BROKEN)
async def test_what_is_no_completion_is_malformed(
    backend: OpenAICompatible, upstream: Upstream, body: bytes
) -> None:
    """Broken JSON and wrong shapes are malformed replies, which may be billed."""
    upstream.play(up.reply(body))
    with pytest.raises(MalformedReply, match="'small'") as caught:
        await backend.complete(call())
    assert caught.value.billed


EVENTS = [b"{", b"[]", b"1", b'{"choices": [1]}', b'{"choices": {"a": 1}}', b'{"choices": [{"delta": "a"}]}']
EVENTS += [b'{"choices": [{"delta": {}, "logprobs": [1]}]}', b'{"usage": "a", "choices": [{"delta": {}}]}']


@pytest.mark.parametrize("data", EVENTS)
async def test_events_that_are_no_chunks_are_malformed(
    backend: OpenAICompatible, upstream: Upstream, data: bytes
) -> None:
    """A stream of broken or misshapen events is a malformed reply."""
    upstream.play(up.stream([b"data: " + data + b"\n\n", up.DONE]))
    with pytest.raises(MalformedReply):
        await backend.complete(call(), Ear())


async def test_an_empty_stream_is_malformed(backend: OpenAICompatible, upstream: Upstream) -> None:
    """A stream that is done without having begun holds no completion."""
    upstream.play(up.stream([b": hello\n\n", up.DONE]))
    with pytest.raises(MalformedReply):
        await backend.complete(call(), Ear())


async def test_errors_within_a_stream(backend: OpenAICompatible, upstream: Upstream) -> None:
    """An error event is a refusal with its status before the answer has begun, a break after it."""
    error = up.event({"error": {"message": "overloaded", "code": 503}})
    upstream.play(up.stream([error]), up.stream([up.chunk({"content": "a"}), error]))
    with pytest.raises(BackendRefused, match="overloaded") as refused:
        await backend.complete(call(), Ear())
    assert refused.value.status == 503
    with pytest.raises(BackendUnreachable, match="overloaded") as broken:
        await backend.complete(call(), Ear())
    assert broken.value.billed


@pytest.mark.parametrize("wants_deltas", [False, True])
async def test_cancelling_hangs_up(backend: OpenAICompatible, upstream: Upstream, wants_deltas: bool) -> None:
    """A cancelled call closes its connection, so that the upstream stops generating."""
    upstream.play(up.stream(up.words("a " * 500), pause_s=0.05) if wants_deltas else up.hang)
    ear = Ear()
    task = asyncio.ensure_future(backend.complete(call(), ear if wants_deltas else DEAF))
    while not upstream.visits or (wants_deltas and not ear.text):
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(upstream.visits[0].abandoned.wait(), 2)


async def test_connections_are_used_again(backend: OpenAICompatible, upstream: Upstream) -> None:
    """Calls one after another, streamed or not, refused or not, share one connection."""
    scenes = [up.stream(up.words("a b")), up.reply(up.completion("c")), up.refusal(400)] * 2
    upstream.play(*scenes)
    for i in range(len(scenes)):
        try:
            await backend.complete(call(), DEAF if i % 3 else Ear())
        except BackendRefused:
            assert i % 3 == 2
    assert len(upstream.ports) == 1


async def test_the_pool_bounds_calls_at_once(upstream: Upstream) -> None:
    """No more connections are opened than configured; further calls wait for one."""
    upstream.play(up.stream(up.words("a b"), pause_s=0.01))
    backend = OpenAICompatible(upstream.base_url, max_connections=2)
    await asyncio.gather(*(backend.complete(call(), Ear()) for _ in range(6)))
    await backend.aclose()
    assert len(upstream.visits) == 6
    assert len(upstream.ports) <= 2


async def test_a_huge_prompt_goes_through(backend: OpenAICompatible, upstream: Upstream) -> None:
    """A prompt of megabytes is sent whole."""
    prompt = "x" * (3 << 20)
    await backend.complete(Call("small", [{"role": "user", "content": prompt}], 8))
    assert upstream.visits[0].body["messages"][0]["content"] == prompt


async def test_it_opens_again_after_closing(backend: OpenAICompatible) -> None:
    """A closed backend holds nothing and can be used again."""
    await backend.complete(call())
    await backend.aclose()
    await backend.aclose()
    assert (await backend.complete(call())).text == "hello"


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "127.0.0.1:8000"},
        {"base_url": "http://a/v1", "max_tokens_field": "tokens"},
        {"base_url": "http://a/v1", "timeout_s": 0},
        {"base_url": "http://a/v1", "max_connections": 0},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    """A wrong option is a configuration error at start."""
    with pytest.raises(ConfigurationError):
        OpenAICompatible(**options)


def test_it_is_registered() -> None:
    """The registry finds it under its name."""
    assert BACKENDS["openai_compatible"] is OpenAICompatible


async def test_only_backend_errors_leave_it(upstream: Upstream) -> None:
    """A base URL that no connection can be made to is a backend error like any other."""
    backend = OpenAICompatible("http://[broken/v1", timeout_s=1.0)
    with pytest.raises(BackendError):
        await backend.complete(call())
    await backend.aclose()


EVENT_LINES = st.lists(
    st.lists(
        st.one_of(
            st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=8).map(
                lambda text: ("data: " + text).encode()
            ),
            st.sampled_from([b": comment", b"event: note", b"id: 1", b"data", b"data:x", b"datax: y"]),
        ),
        max_size=4,
    ),
    max_size=5,
)


@given(EVENT_LINES, st.sampled_from([b"\n", b"\r\n", b"\r"]), st.data())
def test_any_chunking_gives_the_same_events(
    lines: list[list[bytes]], newline: bytes, data: st.DataObject
) -> None:
    """However the bytes are cut, the parser finds the events that the standard's definition gives."""
    stream = b"".join(b"".join(line + newline for line in event) + newline for event in lines)
    expected = [b"\n".join(found) for event in lines if (found := _data_lines(event))]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    parser = EventParser()
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [event for piece in pieces for event in parser.feed(piece)] == expected


def _data_lines(event: list[bytes]) -> list[bytes]:
    """The data fields of an event's lines, by the standard: one space after the colon is dropped."""
    fields = [line.partition(b":") for line in event]
    return [value.removeprefix(b" ") for name, _, value in fields if name == b"data"]


def test_an_event_without_an_end_is_refused() -> None:
    """An upstream that never ends an event cannot fill the memory."""
    parser = EventParser()
    for _ in range(16):
        parser.feed(b"x" * (1 << 20))
    with pytest.raises(MalformedReply):
        parser.feed(b"x")


def test_many_events_are_no_long_one() -> None:
    """The bound is on one event, not on the stream."""
    parser = EventParser()
    events = [event for _ in range(20) for event in parser.feed(b"data: " + b"x" * (1 << 20) + b"\n\n")]
    assert len(events) == 20


def test_it_can_be_made_before_the_loop_runs() -> None:
    """The connections belong to the loop of the first call, so start-up code may make the backend."""
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    OpenAICompatible("http://127.0.0.1:1/v1")
