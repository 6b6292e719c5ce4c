"""The recorded pool."""

from __future__ import annotations

import asyncio
import re

import pytest

from effortwise.pool import (
    MAX_CALLS_IN_FLIGHT,
    SCHEMA,
    TEMPLATES,
    draws,
    load_pool,
    question_key,
    read_rows,
    record_pool,
    seal_pool,
    split_of,
)
from effortwise.workload import generate, judge
from router.backend import DEAF
from router.call import Completion
from router.errors import BackendUnreachable, ConfigurationError
from router.tariff import Tariff
from router.templates import render

QUERIES, SAMPLES = 9, 2
WHOLE = QUERIES * SAMPLES * len(TEMPLATES)


class Adder:
    """A model that adds any two numbers it is asked about, and fails after some calls if told to."""

    name = "adder"

    def __init__(self, fails_after=10**9):
        self.calls, self.most, self.now, self.left, self.closed = [], 0, 0, fails_after, False

    async def complete(self, call, listener=DEAF):
        self.calls.append(call)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        if len(self.calls) > self.left:
            raise BackendUnreachable("gone")
        numbers = re.findall(r"\d+", call.messages[-1]["content"])[:2]
        return Completion(
            {"role": "assistant", "content": f"Answer: {sum(map(int, numbers))}"}, "stop", 20, 5
        )

    async def aclose(self):
        self.closed = True


def record(path, backend, **options):
    return record_pool(path, 2026, QUERIES, SAMPLES, backend=backend, quiet=True, **options)


def test_every_draw_is_recorded_and_judged(tmp_path):
    """The pool has a row per query, template and sample, with its tokens, its price and its reward."""
    backend = Adder()
    table = load_pool(record(tmp_path / "pool.parquet", backend, tariff=Tariff(1.0, 2.0)))
    assert table.schema.equals(SCHEMA)
    rows = table.to_pylist()
    assert (
        len({(row["query_id"], row["strategy"], row["sample_index"]) for row in rows}) == len(rows) == WHOLE
    )
    tasks = {task.id: task for task in generate(2026, QUERIES)}
    for row in rows:
        assert row["score"] == judge(tasks[row["query_id"]], row["response"])
        assert row["cost_usd"] == pytest.approx((20 * 1.0 + 5 * 2.0) / 1e6)
        assert row["latency_s"] >= 0
    assert all(row["score"] == 1 for row in rows if row["family"] == "one_digit_sum")
    assert all(row["score"] == 0 for row in rows if row["family"] == "capital")
    assert backend.closed
    assert 1 < backend.most <= MAX_CALLS_IN_FLIGHT


def test_draws_are_independent_and_can_be_made_again():
    """Every draw has a seed of its own, the same in each recording."""
    seeds = [draw.call().parameters["seed"] for draw in draws(generate(2026, QUERIES), SAMPLES)]
    assert len(set(seeds)) == WHOLE
    assert seeds == [draw.call().parameters["seed"] for draw in draws(generate(2026, QUERIES), SAMPLES)]


def test_templates_are_asked_as_they_are_rendered():
    """The direct template asks the task's prompt itself, the other one more."""
    direct, *_, thought = draws(generate(2026, 1), SAMPLES)
    assert direct.call().messages[-1]["content"] == direct.task.prompt
    assert (
        thought.call().messages[-1]["content"]
        == render("chain_of_thought", thought.task.query().messages)[-1]["content"]
    )


def test_an_interrupted_recording_goes_on_where_it_stopped(tmp_path):
    """Nothing finished is lost or asked again, not even behind a line that was cut."""
    path, work = tmp_path / "pool.parquet", tmp_path / "work.jsonl"
    with pytest.raises(BackendUnreachable):
        record(path, Adder(fails_after=20), work_path=work)
    finished = len(read_rows(work))
    assert 0 < finished <= 20
    with work.open("ab") as file:
        file.write(b'{"cut": ')
    rest = Adder()
    record(path, rest, work_path=work)
    assert len(rest.calls) == WHOLE - finished
    assert load_pool(path).num_rows == WHOLE


def test_a_partial_recording_seals_its_whole_queries(tmp_path):
    """Queries without all their draws are left out; without any whole one, that is said."""
    path, work = tmp_path / "pool.parquet", tmp_path / "work.jsonl"
    record(path, Adder(), work_path=work)
    lines = work.read_bytes().splitlines(keepends=True)
    work.write_bytes(b"".join(lines[: WHOLE // 2 + 1]))
    rows = load_pool(seal_pool(work, path, SAMPLES)).to_pylist()
    assert 0 < len(rows) <= WHOLE // 2
    assert len(rows) % (SAMPLES * len(TEMPLATES)) == 0
    work.write_bytes(lines[0])
    with pytest.raises(ConfigurationError, match="no query"):
        seal_pool(work, path, SAMPLES)


def test_the_split_follows_the_question(tmp_path):
    """All rows of a question fall on one side, about 70 % of questions on the training side, and case
    and whitespace make no other question."""
    keys = [question_key(task.prompt) for task in generate(2026, 1000)]
    share = sum(split_of(key) == "train" for key in keys) / len(keys)
    assert abs(share - 0.7) < 0.06  # four standard deviations
    assert question_key("What  is\n1 + 1?") == question_key("what is 1 + 1?")


def test_what_is_no_pool_is_a_configuration_error(tmp_path):
    """A missing file and a file of something else are told apart from a pool."""
    (tmp_path / "text.parquet").write_text("text")
    for name in ("none.parquet", "text.parquet"):
        with pytest.raises(ConfigurationError, match=name):
            load_pool(tmp_path / name)
