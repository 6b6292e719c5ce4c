"""What more labels would bring: one of the routing targets, learnt from growing shares of its training rows.

``python -m benchmarks.learning_curve NAME [--answers] [--seed N]``. The traces are found in the folder that
``EFFORTWISE_TRACES`` names. A set that is tested in five passes of five folds is tested in one here. The last
row is the oracle, which picks for each query the arm that turned out best: what no learning can pass.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.targets import SETS, Set, percent, points
from router.features import Extractor
from training.evaluation.answer_aware import NAME, Answers
from training.evaluation.comparison import Protocol, parts_of
from training.evaluation.corpus import Corpus
from training.evaluation.crossfit import Folds, Part, question_groups
from training.evaluation.decisions import Decisions, Routed, routed
from training.evaluation.frontier import prices_of, sweep
from training.evaluation.grid import Grid, read_grid
from training.evaluation.learners import Estimates, served
from training.evaluation.section import measure, section
from training.evaluation.stacked import chosen, of_quality
from training.evaluation.tested import Tested
from training.evaluation.two_models import two_models

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)


def main() -> None:
    """Print the curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[each.name for each in SETS])
    parser.add_argument("--answers", action="store_true", help="of the router that looks at cheap answers")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = os.environ.get("EFFORTWISE_TRACES")
    if folder is None:
        sys.exit("EFFORTWISE_TRACES names no folder of traces.")
    chosen_set = next(each for each in SETS if each.name == arguments.name)
    print_curve(chosen_set, Path(folder), arguments.answers, arguments.seed)


def print_curve(chosen_set: Set, traces: Path, answers: bool, seed: int) -> None:
    """A row for each share of the labels, and the oracle's."""
    protocol = Protocol(Folds(1, 5) if chosen_set.protocol.folds else None, seed=seed)
    models = chosen_set.models.split(",") if chosen_set.models else None
    path = traces / f"{chosen_set.file}.parquet"
    grid = read_grid(path, chosen_set.dataset, models, ignore_split=protocol.ignores_split)
    whole = parts_of(grid, question_groups(grid), protocol)
    most = min(len(part.train) for part in whole)
    print("| labels | log loss | saved at -1 point | read off test | over best single at its cost | APGR |")
    print("|---|---|---|---|---|---|")
    for share in SHARES:
        some = Protocol(protocol.folds, None if share == 1 else int(share * most), seed=seed)
        print(row(grid, parts_of(grid, question_groups(grid), some), answers, seed), flush=True)
    print(oracle_row(Tested.of(grid, whole, question_groups(grid), seed)))


def row(grid: Grid, parts: Sequence[Part], answers: bool, seed: int) -> str:
    """What is learnt from the parts' training rows is worth this on their tested ones."""
    corpus = Corpus.of(grid, question_groups(grid), Extractor.of())
    learner = served(corpus, seed)
    estimates = [learner(part) for part in parts]
    tested = Tested.of(grid, parts, question_groups(grid), seed)
    found: Sequence[Routed] = [routed(grid, part, *each) for part, each in zip(parts, estimates, strict=True)]
    if answers:
        found = Answers()(corpus, parts, estimates, seed)[NAME]
    told = {**section(tested, measure(tested, found)), **two_models(tested, found)}
    return _cells(round(tested.training_queries), log_loss(grid, parts, estimates), told)


def log_loss(grid: Grid, parts: Sequence[Part], estimates: Sequence[Estimates]) -> float:
    """Mean log loss of the tested estimates, every arm alike, in nats."""
    losses = []
    for part, (_, test) in zip(parts, estimates, strict=True):
        reward = grid.reward[part.test]
        losses.append(-(reward * np.log(test.quality) + (1 - reward) * np.log1p(-test.quality)))
    return float(np.concatenate(losses).mean())


def _cells(labels: int, loss: float, told: Mapping[str, Any]) -> str:
    saved, over = told["at_minus_1"], told["at_equal_cost"]["over_best_single"]
    came, hindsight = saved["over_best_single"]["mean"], told["read_off_test"]["at_minus_1"]
    cells = (
        str(labels),
        f"{loss:.3f}",
        f"{percent(saved['saving'])} ({percent(saved['low'])} to {percent(saved['high'])}) at {points(came)}",
        "none" if hindsight is None else percent(hindsight),
        f"{points(over['mean'])} ({points(over['low'])} to {points(over['high'])})",
        "-" if told["apgr"] is None else f"{told['apgr']:.3f}",
    )
    return f"| {' | '.join(cells)} |"


def oracle_row(tested: Tested) -> str:
    """Of the arm that turned out best at every price."""
    hindsight = of_quality(tested.reward, tested.cost_usd)
    decisions = Decisions(tested.reward, tested.cost_usd, lambda price: chosen(hindsight, price))
    swept = sweep(decisions, prices_of(decisions))
    quality, spent = float(tested.best.reward.mean()), float(tested.best.cost_usd.mean())
    enough = swept.quality >= quality - 0.01
    within = swept.spent_usd <= spent
    saved, gain = 1 - swept.spent_usd[enough].min() / spent, swept.quality[within].max() - quality
    return f"| oracle | - | - | {percent(saved)} | {points(gain)} | - |"


if __name__ == "__main__":
    main()
