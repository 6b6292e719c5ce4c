"""The benchmark of the strategies: each runs within its budget; the bar is as dear as what it measures."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from fakes import Said, Upstream, always, virtually

from benchmarks.same_tokens import Measured, bar, print_table, rows_of
from benchmarks.strategies import ENTRIES, Entry, read, run_once
from effortwise.workload import generate
from router.strategies import STRATEGIES

[TASK] = generate(4, 1)
NOT_HERE = {"effort"}  # the embedded model has no levels


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
@pytest.mark.parametrize("budget", [2, 8])
def test_every_entry_runs_within_its_calls(entry: Entry, budget: int) -> None:
    """Whatever the strategy would like to ask, it makes no more calls than the budget has."""
    upstream = Upstream(always(Said("Answer: 5", latency_s=0.0)))
    measured = asyncio.run(run_once(TASK, entry, budget, upstream))  # a sandbox's processes take real time
    assert 1 <= measured.calls <= budget
    assert measured.tokens > 0


def test_a_cascade_goes_on_where_its_answer_is_unsure() -> None:
    """It knows what a further stage may bring, so that it is no single call under another name."""
    [entry] = [entry for entry in ENTRIES if entry.name.startswith("cascade")]
    measured, _ = virtually(lambda: run_once(TASK, entry, 8, Upstream(always(Said("no idea at all")))))
    assert measured.calls > 1


def test_every_strategy_is_measured() -> None:
    """A new strategy needs an entry, or a reason."""
    measured = {entry.of_budget(8).name for entry in ENTRIES}
    assert measured == set(STRATEGIES) - NOT_HERE


def run(entry: str, budget: int, task: int, reward: float, tokens: int, *, plain: bool) -> Measured:
    return Measured(f"t{task}", entry, budget, False, plain, reward, tokens, budget, 1.0)


def test_the_bar_lies_between_its_neighbours_by_tokens() -> None:
    """Half-way in tokens between one draw and three, the bar earns the mean of both, task by task."""
    runs = [run("direct", 1, i, 0.0, 100, plain=True) for i in range(4)]
    runs += [run("vote", 3, i, float(i < 2), 300, plain=True) for i in range(4)]
    runs += [run("new", 2, i, 1.0, 200, plain=False) for i in range(4)]
    rows = rows_of(runs)
    new = next(row for row in rows if row.entry == "new")
    assert bar(new, [row for row in rows if row.plain]).tolist() == pytest.approx([0.5, 0.5, 0.0, 0.0])


def test_only_tasks_that_all_have_run_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    """A task that one strategy has not run yet is left out of every row."""
    runs = [run("vote", 1, i, 1.0, 100, plain=True) for i in range(3)]
    runs += [run("new", 1, i, 1.0, 100, plain=False) for i in range(2)]
    assert {len(row.reward) for row in rows_of(runs)} == {2}
    print_table(runs)
    assert "2 tasks" in capsys.readouterr().out


def test_no_finished_run_is_no_table(tmp_path: Path) -> None:
    """A work file that is not there yet holds nothing."""
    assert read(tmp_path / "none.jsonl") == []
    assert np.array(rows_of([])).size == 0
