"""What more labels would bring: one of the routing targets, learnt from growing shares of its training rows.

``python -m benchmarks.learning_curve NAME [--answers] [--seed N]``. The traces are found in the folder that
``EFFORTWISE_TRACES`` names. A set that is tested in five passes of five folds is tested in one here; shares
of a logged split are drawn five times. The last row is the oracle, which picks for each query the arm that
turned out best: what no learning can pass. With ``--answers``, a perfect judge stands before it: it goes by
the same predictions, pays for every answer, and knows of each one that it sees whether it is right.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.targets import SETS, Set, encoder_of, grid_of, needs_encoder, percent, points, worst_arm
from effortwise.programs import likeness_of
from router.estimate import Estimate, FloatArray
from training.evaluation.answer_aware import NAME, Answers
from training.evaluation.calibration import calibrated
from training.evaluation.comparison import Protocol, parts_of
from training.evaluation.corpus import Corpus
from training.evaluation.crossfit import Folds, Part, question_groups
from training.evaluation.decisions import Decisions, Routed, routed
from training.evaluation.frontier import prices_of, sweep
from training.evaluation.grid import CORRECT_AT, Grid
from training.evaluation.learners import Estimates, served
from training.evaluation.section import measure, section
from training.evaluation.sheet import Sheet
from training.evaluation.stacked import chosen, of_quality
from training.evaluation.tested import Tested
from training.evaluation.two_models import two_models

SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
COLUMNS = (
    "labels",
    "log loss",
    "saved at -1 point",
    "read off test",
    "over best single at its cost",
    "APGR",
    "calibration error, pooled",
    "the worst arm's",
)


def main() -> None:
    """Print the curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[each.name for each in SETS])
    parser.add_argument(
        "--answers", action="store_true", help="also of the router that looks at cheap answers"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder = os.environ.get("EFFORTWISE_TRACES")
    if folder is None:
        sys.exit("EFFORTWISE_TRACES names no folder of traces.")
    chosen_set = next(each for each in SETS if each.name == arguments.name)
    needs_encoder(chosen_set)
    print_curve(chosen_set, Path(folder), arguments.answers, arguments.seed)


def print_curve(chosen_set: Set, traces: Path, answers: bool, seed: int) -> None:
    """A row for each share of the labels, and the oracle's."""
    passes = Folds(1, 5) if chosen_set.protocol.folds else None
    protocol = Protocol(passes, seed=seed, encoder=encoder_of(chosen_set))
    grid = grid_of(chosen_set, traces)
    whole = parts_of(grid, question_groups(grid), protocol)
    most = min(len(part.train) for part in whole)
    print(f"| {' | '.join(COLUMNS)} |")
    print("|" + len(COLUMNS) * "---|")
    corpus = Corpus.of(grid, question_groups(grid), protocol.extractor())
    likeness = Sheet.of(grid, CORRECT_AT, likeness_of(grid)).likeness if answers else None
    for share in SHARES:
        some = Protocol(protocol.folds, None if share == 1 else int(share * most), seed=seed)
        parts = parts_of(grid, question_groups(grid), some)
        learner = served(corpus, seed)
        estimates = [learner(part) for part in parts]
        for seen in (None, Answers(likeness=likeness))[: 1 + answers]:
            print(row(corpus, parts, estimates, seen, seed), flush=True)
    tested = Tested.of(grid, whole, question_groups(grid), seed)
    if answers:  # the last share is of all labels
        print(judge_row(tested, estimates))
    print(oracle_row(tested))


def row(
    corpus: Corpus, parts: Sequence[Part], estimates: Sequence[Estimates], seen: Answers | None, seed: int
) -> str:
    """What is learnt from the parts' training rows is worth this on their tested ones. seen: the router that
    looks at answers, where it is that one."""
    grid = corpus.grid
    tested = Tested.of(grid, parts, question_groups(grid), seed)
    found: Sequence[Routed] = [routed(grid, part, *each) for part, each in zip(parts, estimates, strict=True)]
    if seen is not None:
        found = seen(corpus, parts, estimates, seed)[NAME]
    told = {
        **section(tested, measure(tested, found)),
        **two_models(tested, found),
        "calibration": None if seen else calibrated(tested, found),
    }
    labels = f"{tested.training_queries}{', answers seen' if seen is not None else ''}"
    return _cells(labels, log_loss(grid, parts, estimates), told)


def log_loss(grid: Grid, parts: Sequence[Part], estimates: Sequence[Estimates]) -> float:
    """Mean log loss of the tested estimates, every arm alike, in nats."""
    losses = []
    for part, (_, test) in zip(parts, estimates, strict=True):
        reward = grid.reward[part.test]
        losses.append(-(reward * np.log(test.quality) + (1 - reward) * np.log1p(-test.quality)))
    return float(np.concatenate(losses).mean())


def _cells(labels: str, loss: float, told: Mapping[str, Any]) -> str:
    saved, over = told["at_minus_1"], told["at_equal_cost"]["over_best_single"]
    came, hindsight = saved["over_best_single"]["mean"], told["read_off_test"]["at_minus_1"]
    cells = (
        labels,
        f"{loss:.3f}",
        f"{percent(saved['saving'])} ({percent(saved['low'])} to {percent(saved['high'])}) at {points(came)}",
        "none" if hindsight is None else percent(hindsight),
        f"{points(over['mean'])} ({points(over['low'])} to {points(over['high'])})",
        "-" if told["apgr"] is None else f"{told['apgr']:.3f}",
        *_calibration(told),
    )
    return f"| {' | '.join(cells)} |"


def _calibration(told: Mapping[str, Any]) -> tuple[str, str]:
    if told["calibration"] is None:
        return "-", "-"
    pooled, worst = (
        f"{each['ece_debiased']:.3f} ({each['low']:.3f} to {each['high']:.3f})"
        for each in (told["calibration"]["pooled"], worst_arm(told))
    )
    return pooled, worst


def oracle_row(tested: Tested) -> str:
    """Of the arm that turned out best at every price."""
    hindsight = of_quality(tested.reward, tested.cost_usd)
    decisions = Decisions(tested.reward, tested.cost_usd, lambda price: chosen(hindsight, price))
    swept = sweep(decisions, prices_of(decisions))
    return _bound("oracle", tested, swept.quality, swept.spent_usd)


def judge_row(tested: Tested, estimates: Sequence[Estimates]) -> str:
    """Of the cascade that asks the arms by their chance for their cost, while one is worth its price, until
    an answer is right [Weitzman 1979]; each arm's first draw counts."""
    rates = np.geomspace(0.01, 100.0, 200) / float(tested.best.cost_usd.mean())
    found = np.array([[judged(tested.grid, part, each[1], rate) for rate in rates.tolist()]
                      for part, each in zip(tested.parts, estimates, strict=True)])  # fmt: skip
    quality, spent = np.average(found, axis=0, weights=[len(part.test) for part in tested.parts]).T
    return _bound("perfect judge", tested, quality, spent)


def judged(grid: Grid, part: Part, estimate: Estimate, rate: float) -> tuple[float, float]:
    """Mean quality and cost at one price, USD^-1, on a part's tested queries."""
    draws = [[cell[0] for cell in grid.draws[i]] for i in part.test]
    right = np.array([[draw.score >= CORRECT_AT for draw in row] for row in draws])
    cost_usd = np.array([[draw.cost_usd for draw in row] for row in draws])
    worth = estimate.quality - rate * estimate.cost_usd
    asked = worth >= np.minimum(worth.max(axis=1, keepdims=True), 0.0)
    order = np.argsort(np.where(asked, -estimate.quality / estimate.cost_usd, np.inf), axis=1)
    right, cost_usd, asked = (np.take_along_axis(each, order, axis=1) for each in (right, cost_usd, asked))
    before = np.cumsum(right, axis=1) - right
    paid = asked & (before == 0)
    return float((right & asked).any(axis=1).mean()), float((cost_usd * paid).sum(axis=1).mean())


def _bound(name: str, tested: Tested, quality: FloatArray, spent_usd: FloatArray) -> str:
    """Read off a frontier of mean qualities and costs."""
    best, usual = float(tested.best.reward.mean()), float(tested.best.cost_usd.mean())
    saved = 1 - spent_usd[quality >= best - 0.01].min() / usual
    gain = quality[spent_usd <= usual].max() - best
    return f"| {name} | - | - | {percent(saved)} | {points(gain)} | - | - | - |"


if __name__ == "__main__":
    main()
