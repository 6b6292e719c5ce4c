"""``effortwise collect`` against a real service process: whole, killed, interrupted, resumed, refused."""

from __future__ import annotations

import hashlib
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from service_process import ServerProcess, environment, free_port, server_process, tables, write_toml

from effortwise.cli import main
from effortwise.collection.summary import wilson
from effortwise.demonstration.client import send_all
from effortwise.workload import generate

KEY = "a key"
MODEL = "small/direct"
SUMS = 40
LATENCY_S = 0.05
Collect = Callable[..., subprocess.CompletedProcess[str]]


@contextmanager
def serving_sums(folder: Path, **sections: Any) -> Iterator[ServerProcess]:
    """A service that answers the sums, every fourth of them wrong."""
    rules = [
        {"match": f"sum {i}:", "reply": str(i if i % 4 else i + 1), "latency_s": LATENCY_S}
        for i in range(SUMS)
    ]
    rules.insert(0, {"match": "slow", "reply": "0", "latency_s": 25.0})
    config = write_toml(folder / "config.toml", tables(folder, rules, **sections))
    with server_process(folder, config) as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One service for the tests that collect from it."""
    with serving_sums(tmp_path_factory.mktemp("service")) as running:
        yield running


def questions(folder: Path, count: int, before: str = "") -> tuple[str, ...]:
    """Options of a workload of sums, whose ids begin with the folder's name."""
    path = folder / "sums.jsonl"
    lines = [
        {"id": f"{folder.name}-{i}", "prompt": f"{before}sum {i}: what is {i} + 0?", "reference": i}
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return "--workload", str(path), "--out", str(folder / "collect.jsonl"), "--concurrency", "4"


@pytest.fixture
def collect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Collect:
    """The command, run in this process to its end; it answers ``small/direct`` where nothing is said."""

    def run(url: str, *options: str) -> subprocess.CompletedProcess[str]:
        model = () if "--model" in options else ("--model", MODEL)
        monkeypatch.setattr(sys, "argv", ["effortwise", "collect", "--url", url, *options, *model])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return subprocess.CompletedProcess([], code, said.out, said.err)

    return run


def started(url: str, *options: str) -> subprocess.Popen[str]:
    """The command in a process of its own, to be ended by a signal."""
    arguments = ["collect", "--url", url, "--model", MODEL, *options]
    return subprocess.Popen(
        [sys.executable, "-m", "effortwise", *arguments], env=environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def journal(folder: Path) -> list[dict[str, Any]]:
    """The journal's whole lines."""
    path = folder / "collect.jsonl"
    content = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


def await_done(folder: Path, count: int) -> None:
    """Wait until so many tasks are through."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if sum("done" in line for line in journal(folder)) >= count:
            return
        time.sleep(0.01)
    raise AssertionError("the collection does not get on")


def stored(server: ServerProcess, folder: Path) -> tuple[list[tuple[str, str]], list[tuple[str, float]]]:
    """(trace id, unit) of the folder's tasks that were answered; (unit, reward) of their outcomes."""
    with sqlite3.connect(server.log.parent / "state" / "effortwise.db") as store:
        mine = f"{folder.name}-%"
        query = "SELECT id, unit FROM traces WHERE status = 'complete' AND unit LIKE ?"
        answered = store.execute(query, (mine,)).fetchall()
        outcomes = store.execute(
            "SELECT trace_id, reward FROM outcomes WHERE source = 'reference'"
        ).fetchall()
    units = dict(answered)
    return answered, [(units[trace_id], reward) for trace_id, reward in outcomes if trace_id in units]


def test_a_collection_is_judged_reported_and_summed_up(
    server: ServerProcess, collect: Collect, tmp_path: Path
) -> None:
    """Every task is asked once, its outcome is on record, and the tables say how many were right; a second
    run finds nothing left to do."""
    options = questions(tmp_path, 12)
    done, again = collect(server.url, *options), collect(server.url, *options)
    assert [(run.returncode, run.stderr) for run in (done, again)] == [(0, "")] * 2
    answered, judged = stored(server, tmp_path)
    assert len(answered) == 12
    assert sorted(judged) == sorted((f"{tmp_path.name}-{i}", float(i % 4 != 0)) for i in range(12))
    low, high = wilson(9, 12)
    for output in (done.stdout, again.stdout):
        assert "mathematics" in output
        assert MODEL in output
        assert f"{low:.3f} to {high:.3f}" in output
        assert "12 tasks: 12 collected, 0 failed" in output
    assert "12 tasks were collected before" in again.stdout


def test_a_killed_collection_goes_on(server: ServerProcess, collect: Collect, tmp_path: Path) -> None:
    """After SIGKILL in the middle the same command finishes: what was acknowledged is not asked again,
    every task has its outcome once, and no more is asked twice than was under way."""
    options = questions(tmp_path, SUMS)
    process = started(server.url, *options)
    await_done(tmp_path, 8)
    process.kill()
    process.communicate(timeout=30)
    with (tmp_path / "collect.jsonl").open("ab") as file:
        file.write(b'{"task":"x","do')  # what a kill may leave of a line
    before = {line["task"] for line in journal(tmp_path) if "done" in line}
    assert 8 <= len(before) < SUMS
    done = collect(server.url, *options)
    assert (done.returncode, done.stderr) == (0, "")
    answered, judged = stored(server, tmp_path)
    asked = [unit for _, unit in answered]
    tasks = {f"{tmp_path.name}-{i}" for i in range(SUMS)}
    assert set(asked) == tasks
    assert len(asked) <= SUMS + 4
    assert all(asked.count(task) == 1 for task in before)
    assert sorted(unit for unit, _ in judged) == sorted(tasks)
    assert f"{SUMS} tasks: {SUMS} collected, 0 failed" in done.stdout


def test_an_interrupt_ends_in_good_order(server: ServerProcess, collect: Collect, tmp_path: Path) -> None:
    """SIGINT begins nothing more, finishes what is under way, says how to go on, and exits with 130."""
    options = questions(tmp_path, SUMS)
    process = started(server.url, *options)
    await_done(tmp_path, 4)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
    assert "Stopping after the" in output
    assert "The same command goes on from" in output
    lines = journal(tmp_path)
    assert sum("answered" in line for line in lines) == sum("done" in line for line in lines) < SUMS
    assert f"{SUMS} tasks: {SUMS} collected" in collect(server.url, *options).stdout
    assert len(stored(server, tmp_path)[0]) == SUMS


def test_a_second_interrupt_cuts_off_what_is_under_way(server: ServerProcess, tmp_path: Path) -> None:
    """A reply that takes long is not waited for; it is asked again another time."""
    options = questions(tmp_path, 1, "slow: ")
    process = started(server.url, *options)
    deadline = time.monotonic() + 30
    while not journal(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.5)  # the journal is opened just before the question is asked
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert any("Stopping after the" in line for line in process.stdout)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=15)
    assert process.returncode == 130
    assert [line for line in journal(tmp_path) if "task" in line] == []


def test_an_answer_without_its_outcome_is_judged_not_asked_again(
    server: ServerProcess, collect: Collect, tmp_path: Path
) -> None:
    """What a kill left answered is reported by the next run; where the service has lost its trace, the task
    is asked again."""
    options = questions(tmp_path, 3)
    assert collect(server.url, *options).returncode == 0
    lines = [line for line in journal(tmp_path) if "done" not in line or line["task"].endswith("-0")]
    for line in lines:
        if line.get("task", "").endswith("-2"):
            line["answered"]["trace_id"] = "01a20a4d-0000-7000-8000-000000000000"
    (tmp_path / "collect.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert collect(server.url, *options).returncode == 0
    units = [unit[-1] for _, unit in stored(server, tmp_path)[0]]
    assert {unit: units.count(unit) for unit in units} == {"0": 1, "1": 1, "2": 2}


async def test_the_demonstrations_client_asks_and_judges_alike(server: ServerProcess) -> None:
    """Every task is told once, in order, with its success and what it took; outcomes are posted."""
    tasks = generate(11, 9)
    told: list[int] = []
    attempts = await send_all(server.url, tasks, MODEL, lambda: told.append(1))
    assert [attempt.task_id for attempt in attempts] == [task.id for task in tasks]
    assert len(told) == 9
    assert {attempt.arm for attempt in attempts} == {MODEL}
    assert all(attempt.tokens > 0 and attempt.cost_usd > 0 and attempt.latency_s > 0 for attempt in attempts)
    echoed = {task.family: attempt.success for task, attempt in zip(tasks, attempts, strict=True)}
    assert echoed["two_words"] == 1.0  # the echo of the question holds the words
    assert echoed["capital"] == 0.0


def test_a_service_that_is_not_there_is_named_with_the_remedy(collect: Collect, tmp_path: Path) -> None:
    """One line says what to start; so does one for an address that is none."""
    options = questions(tmp_path, 2)
    silent = collect(f"http://127.0.0.1:{free_port()}", *options)
    assert silent.returncode == 2
    assert "effortwise serve" in silent.stderr
    assert "--url begins with http" in collect("127.0.0.1:8000", *options).stderr
    assert "--concurrency is 1 or more" in collect("http://127.0.0.1", *options, "--concurrency", "0").stderr
    assert "--count is 1 or more" in collect("http://127.0.0.1", *options, "--count", "0").stderr


def test_a_refusal_is_told(collect: Collect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing key ends the run and says where to give it; a model that does not exist fails task by task,
    and the same command asks them again."""
    options = questions(tmp_path, 2)
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    accounts = [{"name": "a", "api_keys_sha256": [hashlib.sha256(KEY.encode()).hexdigest()]}]
    with serving_sums(tmp_path, accounts=accounts) as server:
        refused = collect(server.url, *options)
        assert refused.returncode == 2
        assert "--api-key-env" in refused.stderr
        assert (
            "NO_SUCH_KEY is not set" in collect(server.url, *options, "--api-key-env", "NO_SUCH_KEY").stderr
        )
        taken = collect(server.url, *options, "--api-key-env", "MY_KEY")
        assert (taken.returncode, taken.stderr) == (0, "")
        elsewhere = "--out", str(tmp_path / "other.jsonl"), "--api-key-env", "MY_KEY", "--model", "x"
        unknown = collect(server.url, *options, *elsewhere)
    assert "The model 'x' does not exist" in unknown.stdout
    assert "2 tasks: 0 collected, 2 failed" in unknown.stdout
