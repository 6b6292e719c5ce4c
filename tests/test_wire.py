"""The wire format: golden replies, what a request becomes, and the official client's opinion of both."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI
from wire_service import masked, respond, running_service

from router.call import Completion, Delta
from router.effort import EFFORTS, EffortWish
from router.errors import InvalidQuery
from router.query import Query, Wishes
from router.usage import NOTHING, Usage
from serving.backends.scripted import Scripted
from serving.reply_wire import (
    PIECE_CHARACTERS,
    ChunkStream,
    chat_completion,
    deltas_of,
    model_list,
    usage_object,
)
from serving.request_checks import FIELDS
from serving.request_wire import ChatRequest, parse_chat
from serving.streamed_reply import StreamedReply

GOLDEN = Path(__file__).parent / "golden"
REPLIES = sorted(path.stem for path in GOLDEN.glob("*.json"))
BAD_REQUESTS = [json.loads(line) for line in (GOLDEN / "bad_requests.jsonl").read_text().splitlines()]
MESSAGES = [{"role": "user", "content": "hi"}]


def parse(**fields: Any) -> ChatRequest:
    body = {"model": "auto", "messages": MESSAGES, **fields}
    return parse_chat(orjson.dumps(body), account="acme", max_choices=4)


def golden(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.mark.parametrize("name", REPLIES)
async def test_golden_replies(name: str) -> None:
    """Each recorded request gets its recorded reply, byte by byte but for ids and times."""
    case = golden(name)
    reply = await respond(orjson.dumps(case["request"]), Scripted(case["upstream"]))
    assert (reply.status, reply.headers) == (case["status"], case["headers"])
    if "frames" in case:
        assert masked(reply.content).decode() == "".join(frame + "\n\n" for frame in case["frames"])
    else:
        assert masked(reply.content) == orjson.dumps(case["reply"])


@pytest.mark.parametrize("case", BAD_REQUESTS, ids=lambda case: str(case["request"])[-60:])
async def test_golden_bad_requests(case: dict[str, Any]) -> None:
    """Each wrong request is refused with the recorded words and the field's name."""
    request = case["request"]
    body = request.encode() if isinstance(request, str) else orjson.dumps(request)
    reply = await respond(body, Scripted())
    assert reply.status == case["status"] == 400
    assert reply.content == orjson.dumps(case["reply"])


BROKEN = [b"", b"{", b'{"a": NaN}', b"\xff\xfe", b'{"model": "\\ud800"}', b"[" * 3000, b'{"n": 1e999}']


@pytest.mark.parametrize("body", BROKEN, ids=repr)
def test_broken_json_is_the_callers_mistake(body: bytes) -> None:
    """Bytes that are no JSON are an invalid query, never a crash."""
    with pytest.raises(InvalidQuery, match="could not parse the JSON body"):
        parse_chat(body, account="acme", max_choices=4)


def test_a_query_carries_all_that_was_asked() -> None:
    """Sampling fields, known or not, go into the parameters; what stands apart does not."""
    request = parse(
        n=3,
        max_tokens=9,
        stream=True,
        stream_options={"include_usage": True},
        temperature=0.5,
        seed=7,
        stop=["a", "b"],
        unheard_of={"x": [1]},
        user="u",
    )
    query = request.query
    assert (request.stream, request.include_usage) == (True, True)
    assert (query.target, query.n, query.max_completion_tokens, query.account) == ("auto", 3, 9, "acme")
    assert query.messages == MESSAGES
    expected = {"temperature": 0.5, "seed": 7, "stop": ["a", "b"], "unheard_of": {"x": [1]}, "user": "u"}
    assert query.parameters == expected


def test_a_bare_request_has_the_defaults() -> None:
    """Nothing asked is nothing wished."""
    request = parse()
    assert (request.stream, request.include_usage) == (False, False)
    assert request.query.parameters == {}
    assert request.query.wishes == Wishes()
    assert (request.query.n, request.query.max_completion_tokens) == (1, None)
    assert (request.query.unit, request.query.conversation) == (None, None)


def test_null_is_absence() -> None:
    """Null in a known field means that it is absent; in an unknown one it is passed on."""
    known = dict.fromkeys(set(FIELDS) - {"model", "messages"})
    query = parse(**known, unheard_of=None, n=None).query
    assert query.parameters == {"unheard_of": None}
    assert query.wishes == Wishes()


def test_max_completion_tokens_wins() -> None:
    """Of the two names for the cap the newer one counts, and neither is passed on."""
    query = parse(max_tokens=50, max_completion_tokens=5).query
    assert query.max_completion_tokens == 5
    assert query.parameters == {}


def test_wishes_ride_in_the_effortwise_object() -> None:
    """Every wish arrives, and the object is not passed on."""
    verifier = {"type": "regex", "pattern": "^a"}
    wishes = {"max_cost_usd": 0.01, "deadline_s": 3, "min_quality": 0.5, "stakes": 2, "verifier": verifier}
    query = parse(effortwise={**wishes, "unit": "u", "conversation": "c"}).query
    assert query.wishes == Wishes(0.01, 3, 0.5, 2, verifier)
    assert (query.unit, query.conversation, query.parameters) == ("u", "c", {})


@pytest.mark.parametrize(
    "verifier", [{}, {"type": "oracle"}, {"type": []}, {"type": "regex"}, {"type": "exact", "x": 1}]
)
def test_a_bad_verifier_is_refused_at_once(verifier: dict[str, Any]) -> None:
    """A verifier that cannot be made is a mistake of the request, told before anything is spent."""
    with pytest.raises(InvalidQuery):
        parse(effortwise={"verifier": verifier})


def test_unit_and_conversation_come_from_the_nearest_place() -> None:
    """The effortwise object goes before the metadata, the metadata before the user."""
    metadata = {"unit": "m", "conversation": "d"}
    assert parse(user="u").query.unit == "u"
    both = parse(user="u", metadata=metadata).query
    assert (both.unit, both.conversation) == ("m", "d")
    ours = parse(user="u", metadata=metadata, effortwise={"unit": "e", "conversation": "c"}).query
    assert (ours.unit, ours.conversation) == ("e", "c")


def test_metadata_is_passed_on_with_store_only() -> None:
    """OpenAI refuses metadata without store, so it stays here unless store is asked for."""
    assert "metadata" not in parse(metadata={"a": "b"}).query.parameters
    stored = parse(metadata={"a": "b"}, store=True).query.parameters
    assert stored == {"metadata": {"a": "b"}, "store": True}


@pytest.mark.parametrize("effort", EFFORTS)
def test_every_effort_is_accepted_and_kept(effort: str) -> None:
    """Each level has a worth in stakes and stands in the parameters for a model of its own."""
    assert parse(reasoning_effort=effort).query.parameters == {"reasoning_effort": effort}


def test_more_effort_is_worth_more() -> None:
    """The levels double, and medium leaves the stakes as they are."""
    worths = [effort.stakes for effort in EFFORTS.values()]
    assert EFFORTS["medium"] == EffortWish(1.0)
    assert all(high == 2 * low for low, high in itertools.pairwise(worths))


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-5, 5), st.floats(-3, 3), st.sampled_from(["", "user", "auto"])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["type", "role", "content", "function", "name", "unit"]), inner, max_size=3
        ),
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*FIELDS, "n", "unheard_of"]), JSON, max_size=6), st.booleans())
def test_any_json_is_a_request_or_an_invalid_query(fields: dict[str, Any], with_base: bool) -> None:
    """Whatever JSON comes, it parses to a whole query or is refused as the caller's mistake."""
    body = {"model": "auto", "messages": MESSAGES, **fields} if with_base else fields
    try:
        request = parse_chat(orjson.dumps(body), account="acme", max_choices=4)
    except InvalidQuery:
        return
    assert 1 <= request.query.n <= 4
    assert request.query.messages
    assert request.query.wishes.stakes > 0
    assert isinstance(request.query.text, str)
    assert not {"model", "messages", "n", "stream", "effortwise"} & request.query.parameters.keys()


@given(st.binary(max_size=60))
def test_any_bytes_are_a_request_or_an_invalid_query(body: bytes) -> None:
    """Bytes of any kind raise nothing but an invalid query."""
    with pytest.raises(InvalidQuery):
        parse_chat(body, account="acme", max_choices=4)


QUERY = Query(MESSAGES)


def frames_of(completion: Completion, query: Query = QUERY, **options: Any) -> list[dict[str, Any]]:
    raw = b"".join(ChunkStream(query, "m", 0, **options).whole(completion)).decode()
    return [json.loads(frame.removeprefix("data: ")) for frame in raw.split("\n\n")[:-1]]


@given(st.text(max_size=3 * PIECE_CHARACTERS))
def test_pieces_of_a_finished_answer_join_to_it(content: str) -> None:
    """A finished answer in pieces is the answer, whatever its text; no piece is long."""
    completion = Completion({"role": "assistant", "content": content}, "stop", 1, 1)
    reply = StreamedReply()
    for delta in deltas_of(completion):
        assert len(delta.delta.get("content") or "") <= PIECE_CHARACTERS
        reply.take({"choices": [{"delta": delta.delta, "finish_reason": delta.finish_reason}]})
    assert reply.message == completion.message
    assert reply.finish_reason == "stop"


def test_a_long_answer_comes_in_few_pieces() -> None:
    """Ten thousand characters of words take some thirty frames, cut between words."""
    content = " ".join(["word"] * 2000)
    *deltas, last = deltas_of(Completion({"content": content}, "stop", 1, 1))
    pieces = [delta.delta["content"] for delta in deltas]
    assert last.finish_reason == "stop"
    assert len(pieces) <= 30
    assert all(piece.endswith(" ") for piece in pieces[:-1])


def test_logprobs_stay_with_their_text() -> None:
    """Where there are log-probabilities the text comes in one piece, together with them."""
    logprobs = {"content": [{"token": "a", "logprob": -1.0}]}
    query = Query(MESSAGES, parameters={"logprobs": True})
    first, last = frames_of(Completion({"content": "a " * 900}, "stop", 1, 1, logprobs), query)
    assert first["choices"][0]["logprobs"] == logprobs
    assert last["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("parameters", [{}, {"logprobs": False}], ids=["unsaid", "declined"])
def test_logprobs_that_only_a_strategy_wanted_stay_here(parameters: dict[str, Any]) -> None:
    """A vote weighed by log-probabilities asks for them; a caller who did not gets none."""
    query = Query(MESSAGES, parameters=parameters)
    completion = Completion({"content": "a"}, "stop", 1, 1, {"content": [{"token": "a", "logprob": -1.0}]})
    whole = chat_completion(query, "m", [completion], NOTHING, 0)
    streamed = frames_of(completion, query)
    assert {choice["logprobs"] for reply in (whole, *streamed) for choice in reply["choices"]} == {None}
    assert completion.logprobs is not None


def test_each_choice_begins_with_its_role() -> None:
    """The first frame of a choice names the role, also where the upstream did not; later ones do not."""
    chunks = ChunkStream(QUERY, "m", 0)
    frames = [chunks.delta(Delta({"content": "a"}), index) for index in (0, 1, 0, 1)]
    assert [b'"role":"assistant"' in frame for frame in frames] == [True, True, False, False]


def test_a_choice_ends_once() -> None:
    """After its finish reason a choice has no more frames, whoever sends it first."""
    chunks = ChunkStream(QUERY, "m", 0)
    assert chunks.delta(Delta({"content": "a"}, "stop"))
    assert chunks.finish("stop") == b""
    assert chunks.delta(Delta({"content": "b"})) == b""
    assert b'"index":1' in chunks.finish("length", 1)


def test_usage_adds_the_details_of_the_choices() -> None:
    """Details are summed over the choices, marks are kept, and our own counts go before any of theirs."""
    details = {"completion_tokens_details": {"reasoning_tokens": 3, "note": "x"}, "cost": 99}
    one = Completion({}, "stop", 1, 1, usage_details=details)
    two = Completion({}, "stop", 1, 1, usage_details={**details, "estimated": True, "odd": 1})
    odd = Completion({}, "stop", 1, 1, usage_details={"odd": {"deep": 1}, "completion_tokens_details": None})
    assert usage_object(Usage(3, 10, 5, 1_000_000_000), [one, two, odd]) == {
        "completion_tokens_details": {"reasoning_tokens": 6, "note": "x"},
        "estimated": True,
        "odd": 1,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "cost": 1.0,
    }
    assert one.usage_details == details


def test_models_are_listed_as_openai_does() -> None:
    """Each name is a model object."""
    listed = openai.types.Model.model_validate(model_list(["auto", "small"], 5)["data"][1])
    assert (listed.id, listed.object, listed.created) == ("small", "model", 5)


@pytest.fixture
async def client() -> AsyncIterator[AsyncOpenAI]:
    rules = [
        {"match": "many", "reply": " ".join(f"word{i}" for i in range(50))},
        {"match": "tool", "reply": golden("tools")["upstream"][0]["reply"]},
        {"match": "two", "replies": ["first", "second"]},
        {"match": "break", "reply": "a b c d", "error": "broken_off"},
        {"match": "limit", "error": "refused", "status": 429, "retry_after_s": 1},
        {"match": "fail", "error": "refused", "status": 500},
        {"match": "late", "error": "timeout"},
    ]
    async with (
        running_service(Scripted(rules)) as base_url,
        AsyncOpenAI(base_url=base_url, api_key="any", max_retries=0) as made,
    ):
        yield made


def asking(words: str, **fields: Any) -> dict[str, Any]:
    return {"model": "small", "messages": [{"role": "user", "content": words}], **fields}


async def test_the_client_reads_a_reply(client: AsyncOpenAI) -> None:
    """The official client finds choices, usage, cost and our own object."""
    reply = await client.chat.completions.create(**asking("two", n=2))
    assert [choice.message.content for choice in reply.choices] == ["first", "second"]
    assert reply.usage is not None
    assert reply.usage.total_tokens == 4
    assert reply.usage.model_extra["cost"] > 0
    assert reply.model_extra["effortwise"] == {"arm": "a"}


async def test_the_client_sends_wishes_in_extra_body(client: AsyncOpenAI) -> None:
    """extra_body carries the effortwise object; a wrong wish is its BadRequestError with the field."""
    await client.chat.completions.create(**asking("hi"), extra_body={"effortwise": {"stakes": 2}})
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(**asking("hi"), extra_body={"effortwise": {"stakes": -2}})
    assert caught.value.param == "effortwise.stakes"


async def test_the_client_streams(client: AsyncOpenAI) -> None:
    """The official client's stream joins to the reply and ends with the usage."""
    stream = await client.chat.completions.create(
        **asking("many", stream=True, stream_options={"include_usage": True})
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == " ".join(f"word{i}" for i in range(50))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.usage is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].usage.completion_tokens == 50
    assert chunks[-1].usage.model_extra["cost"] > 0


async def test_the_client_accumulates_streamed_tool_calls(client: AsyncOpenAI) -> None:
    """The client's own accumulation of the stream gives the tool calls whole."""
    tool = {"type": "function", "function": {"name": "weather", "parameters": {}}}
    async with client.chat.completions.stream(**asking("tool", tools=[tool])) as stream:
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert [call.function.arguments for call in calls] == ['{"city": "Oslo"}', '{"city": "Rome"}']
    assert final.choices[0].finish_reason == "tool_calls"


async def test_the_client_raises_on_an_error_in_mid_stream(client: AsyncOpenAI) -> None:
    """What came before the error is read, then the client raises it."""
    heard: list[str] = []
    stream = await client.chat.completions.create(**asking("break", stream=True))
    with pytest.raises(openai.APIError, match="broke off"):
        await _read(stream, heard)
    assert heard == ["a ", "b "]


async def _read(stream: openai.AsyncStream[Any], heard: list[str]) -> None:
    async for chunk in stream:
        heard += [choice.delta.content for choice in chunk.choices if choice.delta.content]


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        ("limit", openai.RateLimitError, "rate_limit_exceeded"),
        ("fail", openai.InternalServerError, "upstream_error"),
        ("late", openai.InternalServerError, "upstream_timeout"),
    ],
)
async def test_the_client_knows_our_errors(client: AsyncOpenAI, words: str, kind: type, code: str) -> None:
    """Errors arrive as the client's own classes with their codes."""
    with pytest.raises(kind) as caught:
        await client.chat.completions.create(**asking(words))
    assert caught.value.code == code


def test_golden_files_cover_their_kinds() -> None:
    """No kind of reply that the contract names is without its golden file."""
    kinds = {"plain", "stream_with_usage", "tools", "tools_stream", "logprobs", "n2", "json_schema"}
    assert kinds <= set(REPLIES)


def test_a_stream_has_one_id() -> None:
    """All frames of one stream share the id of its trace."""
    completion = Completion({"content": "a"}, "stop", 1, 1)
    assert {frame["id"] for frame in frames_of(completion, include_usage=True)} == {f"chatcmpl-{QUERY.id}"}
