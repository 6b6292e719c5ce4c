"""The parts of ``effortwise collect``: workloads, journal, client, collector, summary."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from effortwise.collection.checkable import judged_by
from effortwise.collection.client import Refused, Reply, Unreachable, connected
from effortwise.collection.collector import Collector
from effortwise.collection.file_tasks import file_tasks
from effortwise.collection.journal import Journal
from effortwise.collection.summary import wilson
from effortwise.collection.workload import tasks_of
from router.errors import ConfigurationError, Unauthorized

COLLECTION = {"workload": "w", "seed": 0, "model": "auto"}
KEY = "a key"


def reply(text: str = "4", trace_id: str = "t") -> Reply:
    return Reply(trace_id, text, "small/direct", 3, 0.001, 0.1)


def test_every_task_of_a_workload_has_its_own_id_whatever_the_count() -> None:
    """The same seed gives the same tasks, of which a larger count has more."""
    few, many = (tasks_of("tasks", count, 3) for count in (9, 18))
    assert [task.id for task in few] == [task.id for task in many][:9]
    assert len({task.id for task in many}) == 18
    assert "effortwise" in few[0].body("auto")


async def test_reasoning_gym_scores_its_own_answers() -> None:
    """The data set's answer is worth 1, however it is put; nonsense is worth less; ids do not depend on the
    count; an unknown name lists those that exist."""
    pytest.importorskip("reasoning_gym")
    tasks = tasks_of("reasoning-gym:chain_sum,leg_counting", 4, 1)
    assert [task.family for task in tasks] == ["chain_sum", "leg_counting"] * 2
    assert tasks[0].id == tasks_of("reasoning-gym:chain_sum", 1, 1)[0].id
    right = [task for task in tasks if task.family == "chain_sum"]
    answers = {"4 - 1 - 7": "-4"}
    expression = next(text for text in answers if text in right[0].messages[0]["content"])
    assert await right[0].judge(f"Let me see.\nAnswer: {answers[expression]}") == 1.0
    assert await right[0].judge("I do not know.") == 0.0
    assert await right[0].judge("") == 0.0
    with pytest.raises(ConfigurationError, match=r"no data set 'chain_sums'.*chain_sum"):
        tasks_of("reasoning-gym:chain_sums", 1, 1)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: not JSON"),
        ("[]", "line 2: not a JSON object"),
        ('{"prompt": "a"}', "line 2: needs a reference, or a verifier"),
        ('{"reference": "a"}', "line 2: needs a prompt or messages"),
        ('{"prompt": "a", "messages": [], "reference": "a"}', "line 2: needs a prompt or messages, one"),
        ('{"messages": [{"role": "x"}], "reference": "a"}', "line 2: Invalid value: 'x'"),
        ('{"prompt": 3, "reference": "a"}', "line 2: Invalid type for 'messages"),
        ('{"prompt": "a", "reference": ""}', "line 2: An exact verifier needs"),
        ('{"prompt": "a", "verifier": {"type": "no"}}', "line 2: Unknown verifier type 'no'"),
        ('{"prompt": "a", "reference": "a", "domain": "no"}', "line 2: Unknown domain 'no'"),
        ('{"prompt": "a", "reference": "a", "answer": "a"}', r"line 2: unknown key 'answer' \(known: prompt"),
        ('{"id": "first", "prompt": "a", "reference": "a"}', "line 2: the id 'first' stands twice"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, told: str) -> None:
    """The line's number and what is wrong with it, before anything is asked."""
    path = tmp_path / "tasks.jsonl"
    path.write_text('{"id": "first", "prompt": "a", "reference": "b"}\n' + line + "\n")
    with pytest.raises(ConfigurationError, match=told):
        file_tasks(path, None)


async def test_a_files_task_is_sent_without_its_reference(tmp_path: Path) -> None:
    """The reference judges; a verifier beside it, the domain and the unit are sent."""
    number = {"type": "regex", "pattern": "[0-9]+"}
    lines = [
        {"prompt": "a?", "reference": 0.5, "verifier": number, "domain": "mathematics"},
        {"messages": [{"role": "user", "content": "b?"}], "verifier": number},
    ]
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n" + "".join(json.dumps(line) + "\n" for line in lines))
    first, second = file_tasks(path, None)
    assert first.body("auto")["effortwise"] == {"unit": first.id, "verifier": number, "domain": "mathematics"}
    assert [await first.judge(text) for text in ("Answer: 1/2", "Answer: 0.6", "")] == [1.0, 0.0, 0.0]
    assert second.body("auto")["effortwise"] == {"unit": second.id}
    assert second.family == "chat"
    assert len(file_tasks(path, 1)) == 1


@pytest.mark.parametrize(
    "verifier",
    [
        {"type": "unit_tests", "tests": "assert f() == 1"},
        {"type": "program_output", "cases": [{"stdout": "1"}]},
        {"type": "judge", "model": "large"},
        {"type": "reward_model", "model": "large"},
    ],
    ids=lambda verifier: verifier["type"],
)
async def test_a_verifier_of_the_services_goes_with_the_request(
    tmp_path: Path, verifier: dict[str, Any]
) -> None:
    """What needs its sandbox or models is judged and recorded there; no second outcome is posted."""
    path = tmp_path / "tasks.jsonl"
    path.write_text(json.dumps({"prompt": "Write f.", "verifier": verifier}) + "\n")
    (task,) = file_tasks(path, None)
    assert task.body("auto")["effortwise"]["verifier"] == verifier
    assert [await task.judge(text) for text in ("```python\ndef f(): return 1\n```", "No.", "")] == [None] * 3


async def test_what_a_verifier_cannot_tell_is_no_outcome() -> None:
    """A reply without an answer is wrong; one that the verifier fails on is not judged."""
    messages = [{"role": "user", "content": "How many?"}]
    judge = judged_by({"type": "numeric", "reference": "\\frac{1}{3}"}, messages, None)
    assert await judge("I cannot say.") == 0.0
    assert await judge("\\boxed{9^{9^{9^{9}}}}") is None


@pytest.mark.parametrize("workload", ["task", "reasoning-gym", "prompts.json"])
def test_an_unknown_workload_names_the_known(workload: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ConfigurationError, match="tasks, reasoning-gym:"):
        tasks_of(workload, None, 0)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("no journal\n", "no journal of a collection"),
        ('{"prompt": "a"}\n', "no journal of a collection"),
        ('{"collection": {"workload": "w", "seed": 1, "model": "auto"}}\n', "another collection .seed = 1."),
    ],
)
def test_another_file_is_never_written_over(tmp_path: Path, content: str, told: str) -> None:
    """A file that is not this collection's journal is left as it is."""
    path = tmp_path / "collect.jsonl"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=told):
        Journal.open(path, COLLECTION)
    assert path.read_text() == content


def test_a_journal_holds_what_was_done(tmp_path: Path) -> None:
    """Reopened, it knows answers and rewards, without the torn end of its last line."""
    path = tmp_path / "new" / "collect.jsonl"
    with Journal.open(path, COLLECTION) as journal:
        journal.answer("a", reply())
        journal.answer("b", reply("5"))
        journal.finish("a", 1.0)
    with path.open("a") as file:
        file.write('{"task": "b", "done"')
    with Journal.open(path, COLLECTION) as journal:
        assert journal.done == {"a": 1.0}
        assert journal.answered == {"a": reply(), "b": reply("5")}
        journal.finish("b", None)
    with Journal.open(path, COLLECTION) as journal:
        assert journal.done == {"a": 1.0, "b": None}


async def answering(given: Sequence[tuple[int, Mapping[str, str], Any]], use: Any) -> list[str]:
    """Run ``use(url)`` against a server that gives these replies in order, the last for ever; the paths
    that were asked."""
    asked: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append(request.path)
        status, headers, body = given[min(len(asked), len(given)) - 1]
        return web.json_response(body, status=status, headers=headers)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await use(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
    return asked


ERROR = {"error": {"message": "the words", "type": "t", "param": None, "code": None}}
ANSWER = {
    "choices": [{"message": {"role": "assistant", "content": "4"}}],
    "usage": {"total_tokens": 3, "cost": 0.001},
    "effortwise": {"arm": "small/direct"},
}


async def test_the_client_waits_as_long_as_it_is_told() -> None:
    """A 429 and a 503 are repeated after the seconds that they name."""
    told: list[str] = []
    busy = [(429, {"retry-after": "0"}, ERROR), (503, {"retry-after": "0.2"}, ERROR)]

    async def use(url: str) -> None:
        async with connected(f"{url}/v1", None, told.append) as client:
            began = time.perf_counter()
            assert (await client.ask({})).text == "4"
            assert time.perf_counter() - began >= 0.2

    asked = await answering([*busy, (200, {"x-effortwise-trace-id": "t"}, ANSWER)], use)
    assert asked == ["/v1/chat/completions"] * 3
    assert told == ["the words; once more in 0 s", "the words; once more in 0.2 s"]


@pytest.mark.parametrize(
    ("status", "headers", "body", "error", "words"),
    [
        (400, {}, ERROR, Refused, "the words"),
        (502, {}, "no JSON object", Refused, "502 Bad Gateway"),
        (401, {}, ERROR, Unauthorized, "--api-key-env"),
        (429, {"retry-after": "86400"}, ERROR, Unreachable, "come back in 86400 s"),
        (503, {"retry-after": "0"}, ERROR, Unreachable, "no room for us now"),
        (200, {}, {"answer": 42}, Unreachable, "not as Effortwise does"),
    ],
)
async def test_what_cannot_be_mended_by_waiting_is_told(
    status: int, headers: Mapping[str, str], body: Any, error: type[Exception], words: str
) -> None:
    """With the service's own words, or with the remedy."""

    async def use(url: str) -> None:
        async with connected(url) as client:
            with pytest.raises(error, match=words):
                await client.ask({})

    asked = await answering([(status, headers, body)], use)
    assert len(asked) == (5 if status == 503 else 1)


async def test_the_end_of_the_service_ends_the_collection(tmp_path: Path) -> None:
    """One task that nobody can answer stops the others, and what came before is kept."""
    tasks = tasks_of("tasks", 6, 0)
    good = (200, {"x-effortwise-trace-id": "t"}, ANSWER)

    async def use(url: str) -> None:
        with Journal.open(tmp_path / "collect.jsonl", COLLECTION) as journal:
            async with connected(url) as client:
                collector = Collector(client, journal, "auto", lambda: None)
                with pytest.raises(Unreachable):
                    await asyncio.wait_for(collector.collect(tasks, 1), 30)
            assert list(journal.done) == [tasks[0].id]

    await answering([good, good, (429, {"retry-after": "9999"}, ERROR)], use)


def test_wilsons_interval_is_the_textbooks() -> None:
    """Newcombe (1998), table I: 81 of 263 and 0 of 20, at 95 %."""
    assert [round(bound, 4) for bound in wilson(81, 263)] == [0.2553, 0.3662]
    assert [round(bound, 4) for bound in wilson(0, 20)] == [0.0, 0.1611]
    assert wilson(0, 0) == (0.0, 1.0)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Reasoning Gym the message says what to install."""
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(ConfigurationError, match=r"effortwise\[collect\]"):
        tasks_of("reasoning-gym:chain_sum", 1, 0)
