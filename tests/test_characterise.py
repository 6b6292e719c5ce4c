"""``effortwise characterise``: curves of recorded samples, their laws, and the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from typer.testing import CliRunner

from effortwise.cli import app
from training.sampling.characterise import characterise, curves_of, ladders_of
from training.sampling.samples import read_samples

DRAWS = 16


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty questions, sixteen draws each, a third of the questions out of reach."""
    rng = np.random.default_rng(3)
    rows = []
    for i in range(40):
        rate = 0.0 if i % 3 == 0 else float(rng.beta(1, 3))
        for draw in range(DRAWS):
            right = rng.random() < rate
            rows.append(
                _row(
                    f"q{i}",
                    f"What is the number {i}?",
                    "sampled",
                    draw,
                    "yes" if right else f"no{draw % 5}",
                    right,
                )
            )
    path = tmp_path_factory.mktemp("traces") / "samples.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def _row(query_id: str, query: str, strategy: str, draw: int, answer: str, right: bool) -> dict[str, Any]:
    return {
        "query_id": query_id, "query": query, "model": "m", "strategy": strategy, "sample_index": draw,
        "answer": answer, "score": float(right), "cost_usd": 1e-4, "domain": "numbers", "dataset": "made",
    }  # fmt: skip


def test_best_of_n_approaches_the_share_of_questions_within_reach(recorded: Path) -> None:
    """The ceiling's interval holds the two thirds that any draw can answer, and the law misses no point by
    more than three hundredths."""
    best, vote = curves_of(read_samples(recorded))
    assert (best.strategy, vote.strategy) == ("best_of_n", "self_consistency")
    (found,) = characterise([best], price_per_usd=100.0, price_per_draw=0.0)
    values = found.as_values()
    assert values["law"]["largest_residual"] < 0.03
    assert values["law"]["ceiling"]["low"] <= 2 / 3 <= values["law"]["ceiling"]["high"]
    assert best.quality[:, -1].mean() == pytest.approx(np.mean(best.quality[:, -1] > 0))


def test_a_dearer_draw_is_worth_fewer(recorded: Path) -> None:
    """The point of diminishing returns moves down with the price of money."""
    curve = curves_of(read_samples(recorded))[0]
    cheap, dear = (
        characterise([curve], price, 0.0)[0].as_values()["worth_up_to"]["value"] for price in (10, 1000)
    )
    assert dear < cheap


def test_strategies_logged_at_several_budgets_make_a_curve() -> None:
    """``vote_k1``, ``vote_k4``, ``vote_k8`` are one strategy at three amounts of compute."""
    rows = [
        _row(f"q{i}", "?", f"vote_k{k}", 0, "a", i % 10 < right)
        for i in range(20)
        for k, right in ((1, 5), (4, 6), (8, 7))
    ]
    (curve,) = ladders_of(rows)
    assert curve.strategy == "vote"
    assert curve.compute.tolist() == [1, 4, 8]
    assert curve.quality.mean(axis=0).tolist() == [0.5, 0.6, 0.7]


def test_every_data_set_of_a_file_is_characterised(recorded: Path, tmp_path: Path) -> None:
    """Each by itself, named before its domain; a ladder in one does not hide the draws of another."""
    rows = [{**row, "dataset": "drawn"} for row in parquet.read_table(recorded).to_pylist()]
    ladder = [
        {**_row(f"q{i}", "?", f"vote_k{k}", 0, "a", i % 10 < k), "dataset": "ladder"}
        for i in range(20)
        for k in (1, 4, 8)
    ]
    both = tmp_path / "both.parquet"
    parquet.write_table(pa.Table.from_pylist(rows + ladder), both)
    out = tmp_path / "out.json"
    result = CliRunner().invoke(app, ["characterise", str(both), "--json", str(out)])
    assert result.exit_code == 0, result.output
    domains = [each["domain"] for each in json.loads(out.read_text())["curves"]]
    assert len(domains) == 3
    assert {domain.partition(":")[0] for domain in domains} == {"drawn", "ladder"}


def test_the_command_prints_writes_and_draws(recorded: Path, tmp_path: Path) -> None:
    """The table on the terminal, the figures as JSON, the curves as PNG."""
    out, plot = tmp_path / "out.json", tmp_path / "curves.png"
    result = CliRunner().invoke(app, ["characterise", str(recorded), "--json", str(out), "--plot", str(plot)])
    assert result.exit_code == 0, result.output
    assert "self_consistency" in result.output
    assert len(json.loads(out.read_text())["curves"]) == 2
    assert plot.stat().st_size > 10_000
