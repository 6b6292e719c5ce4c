"""The main path as a newcomer walks it: the shipped configuration, the real model, the official client."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import tomllib
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion
from service_process import ROOT, ServerProcess, server_process, write_toml

pytestmark = pytest.mark.embedded

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """``effortwise serve`` on ``config/local.toml``, without the process that follows the registry, and
    on one thread: llama.cpp's threads wait for each other, which takes ages where cores are shared."""
    folder = tmp_path_factory.mktemp("embedded")
    values = tomllib.loads((ROOT / "config" / "local.toml").read_text())
    del values["registry"]
    values["backends"]["embedded"]["threads"] = 1
    with server_process(folder, write_toml(folder / "config.toml", values), within_s=120) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Iterator[OpenAI]:
    with server.client() as client:
        yield client


def ask(words: str, model: str = "auto", **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": words}]
    return {"model": model, "messages": messages, "max_completion_tokens": 8, **fields}


def assert_agrees(reply: ChatCompletion, trace: dict[str, Any]) -> None:
    """The usage is the sum of the calls on the trace."""
    calls = [call["usage"] for call in trace["calls"]]
    assert reply.usage.prompt_tokens == sum(call["prompt_tokens"] for call in calls) > 0
    assert reply.usage.completion_tokens == sum(call["completion_tokens"] for call in calls) > 0
    cost = sum(call["cost_usd"] for call in calls)
    assert reply.usage.model_extra["cost"] == pytest.approx(cost, abs=1e-9)
    assert trace["usage"]["calls"] == len(calls)
    assert trace["answer"] == reply.choices[0].message.content


@pytest.mark.parametrize(
    ("model", "arm"),
    [
        ("auto", None),
        ("smollm2", "smollm2/direct"),
        ("smollm2/self_consistency:direct@4", "smollm2/self_consistency:direct@4"),
    ],
)
def test_who_is_named_answers(server: ServerProcess, client: OpenAI, model: str, arm: str | None) -> None:
    """auto, a policy, a model and arms answer; headers, usage and trace agree with each other."""
    raw = client.chat.completions.with_raw_response.create(**ask("What is the capital of France?", model))
    reply = raw.parse()
    assert reply.choices[0].message.content
    assert reply.model == raw.headers["x-effortwise-arm"]
    if arm is not None:
        assert reply.model == arm
    trace = server.get(f"/v1/traces/{raw.headers['x-effortwise-trace-id']}").json()
    assert_agrees(reply, trace)
    assert float(raw.headers["x-effortwise-cost-usd"]) == pytest.approx(trace["usage"]["cost_usd"], abs=1e-9)
    assert (trace["plan"]["propensity"] is None) == (arm is not None)


def test_a_direct_answer_is_streamed_while_it_is_made(client: OpenAI) -> None:
    """Pieces arrive one after the other before the end; the last chunk has usage and cost."""
    began = time.perf_counter()
    chunks, arrivals = [], []
    wanted = {"stream": True, "stream_options": {"include_usage": True}, "max_completion_tokens": 30}
    with client.chat.completions.create(**ask("Tell me about the sea.", "smollm2", **wanted)) as stream:
        for chunk in stream:
            chunks.append(chunk)
            arrivals.append(time.perf_counter() - began)
    pieces = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert len(pieces) > 10
    assert arrivals[2] < 0.7 * arrivals[-1]
    assert chunks[-1].usage.completion_tokens >= len(pieces)
    assert chunks[-1].usage.model_extra["cost"] > 0
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] in ("stop", "length")


def test_sampling_fields_mean_what_they_say(client: OpenAI) -> None:
    """n, seed, stop, the cap and log-probabilities come out as asked."""
    many = client.chat.completions.create(**ask("Name an animal.", "smollm2", n=2, temperature=1.0, seed=5))
    assert [choice.index for choice in many.choices] == [0, 1]
    again = client.chat.completions.create(**ask("Name an animal.", "smollm2", n=2, temperature=1.0, seed=5))
    assert [c.message.content for c in many.choices] == [c.message.content for c in again.choices]
    stopped = client.chat.completions.create(**ask("Count: one, two,", "smollm2", stop=[" "], temperature=0))
    assert " " not in stopped.choices[0].message.content.strip()
    short = client.chat.completions.create(**ask("Tell me a story.", "smollm2", max_completion_tokens=3))
    assert (short.usage.completion_tokens, short.choices[0].finish_reason) == (3, "length")
    told = client.chat.completions.create(**ask("Say yes.", "smollm2", logprobs=True, top_logprobs=2))
    tokens = told.choices[0].logprobs.content
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)


def test_a_schema_is_kept_and_verified(server: ServerProcess, client: OpenAI) -> None:
    """The reply obeys the response format, and the request's verifier judges it as an outcome."""
    schema = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    verifier = {"type": "json_schema", "schema": PERSON}
    body = ask("Bob is 41 years old. Name and age as JSON.", "auto", response_format=schema)
    body |= {"max_completion_tokens": 48, "temperature": 0}
    reply = client.chat.completions.create(**body, extra_body={"effortwise": {"verifier": verifier}})
    found = json.loads(reply.choices[0].message.content)
    assert set(found) == {"name", "age"}
    trace = server.get(f"/v1/traces/{reply.model_extra['effortwise']['trace_id']}").json()
    assert [(o["source"], o["reward"]) for o in trace["outcomes"]] == [("verifier:json_schema", 1.0)]
    assert_agrees(reply, trace)


def test_plan_outcome_and_models(server: ServerProcess, client: OpenAI) -> None:
    """The rest of the contract, on the shipped menu."""
    names = {model.id for model in client.models.list()}
    assert {"auto", "greedy", "explore", "smollm2", "smollm2/best_of_n@4"} <= names
    card = client.post("/plan", body=ask("What is 3 + 4?"), cast_to=object)
    assert sum(row["propensity"] for row in card["arms"]) == pytest.approx(1)
    assert {row["arm"] for row in card["arms"]} <= names
    reply = client.chat.completions.create(**ask("What is 3 + 4?"))
    trace_id = reply.model_extra["effortwise"]["trace_id"]
    outcome = {"trace_id": trace_id, "reward": 0.5, "source": "newcomer"}
    assert client.post("/outcomes", body=outcome, cast_to=object)["recorded"] is True
    [found] = server.get(f"/v1/traces/{trace_id}").json()["outcomes"]
    assert (found["reward"], found["source"]) == (0.5, "newcomer")


async def test_many_at_once_with_the_asynchronous_client(server: ServerProcess) -> None:
    """Six requests share the model's slots; each gets its own answer, streamed or not."""
    async with AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0, timeout=60) as client:

        async def streamed(i: int) -> str:
            stream = await client.chat.completions.create(**ask(f"Say {i}.", "smollm2", stream=True))
            return "".join([c.delta.content or "" async for chunk in stream for c in chunk.choices])

        async def whole(i: int) -> str:
            reply = await client.chat.completions.create(**ask(f"Say {i}.", "auto"))
            return reply.choices[0].message.content

        answers = await asyncio.gather(
            *(way(i) for i, way in zip(range(6), itertools.cycle((streamed, whole))))
        )
    assert all(answers)


def _says_something(line: str) -> bool:
    return line.startswith("data: {") and any(
        choice["delta"].get("content") for choice in json.loads(line.removeprefix("data: "))["choices"]
    )


async def test_hanging_up_frees_the_model(server: ServerProcess) -> None:
    """A caller who leaves ends the generation: the trace is cancelled and pays for what was made."""
    body = ask("Tell me everything about history.", "smollm2", stream=True) | {"max_completion_tokens": 250}
    async with (
        httpx.AsyncClient() as http,
        http.stream("POST", f"{server.url}/chat/completions", json=body) as reply,
    ):
        trace_id = reply.headers["x-effortwise-trace-id"]
        await anext(line async for line in reply.aiter_lines() if _says_something(line))
    for _ in range(100):
        found = server.get(f"/v1/traces/{trace_id}")
        if found.status_code == 200:
            break
        await asyncio.sleep(0.05)
    assert found.json()["status"] == "cancelled"
    assert 0 < found.json()["usage"]["completion_tokens"] < 250
    assert found.json()["calls"][0]["status"] == "cancelled"


def test_a_prompt_beyond_the_context_is_refused(client: OpenAI) -> None:
    """The model itself says so where the caller named it."""
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**ask("word " * 4000, "smollm2"))
