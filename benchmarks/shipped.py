"""What the learnt policy is worth on the shipped pool: held-out questions, every arm replayed.

``python -m benchmarks.shipped [--pool FILE] [--folds 5]``. Cross-fitted over questions: each is decided
by a predictor that never saw it. The cost-matched shuffle gives the policy's own choices to other
questions: what is left above it is what looking at the question earns.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from effortwise.bundled import POOL
from effortwise.demonstration.comparison import Interval, bootstrap
from router.bundle import cold_bundle
from router.configuration import load_configuration
from router.configured import configured_menu
from router.estimate import FloatArray
from router.feasibility import Feasibility
from router.features import Extractor
from router.menu import Menu
from router.policies import Choice
from router.policies.greedy import Greedy
from router.predictors import Estimator
from router.price import Price
from router.query import Query
from training.recorded import RecordedTable, read_recorded, replayed_rounds
from training.rounds import Round
from training.train import train

PRICES = (0.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
SHIFTS = 6


@dataclass(frozen=True, slots=True)
class Replays:
    """reward and cost_usd: shape (questions, arms), means over shifts; nan where an arm cannot serve."""

    queries: Sequence[Query]
    menu: Menu
    reward: FloatArray
    cost_usd: FloatArray


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pool", type=Path, default=POOL)
    parser.add_argument("--config", type=Path, default=Path("config/local.toml"))
    parser.add_argument("--folds", type=int, default=5)
    arguments = parser.parse_args()
    configuration = load_configuration(arguments.config)
    menu = configured_menu(configuration)
    table = read_recorded(arguments.pool)
    price = Price(configuration.decision.price_per_usd)
    rounds = replayed_rounds(table, menu, cold_bundle(menu), price, SHIFTS).rounds
    replays = _replays(table, menu, rounds)
    print(f"{len(table.queries)} questions, {len(rounds)} replays, {arguments.folds} folds over questions\n")
    _print_fixed(replays)
    _print_learnt(replays, dict(_decided(replays, rounds, arguments.folds)))


def _replays(table: RecordedTable, menu: Menu, rounds: Sequence[Round]) -> Replays:
    row = {query.id: i for i, query in enumerate(table.queries)}
    sums = np.zeros((3, len(row), len(menu)))
    for r in rounds:
        sums[:, row[r.query.id], menu.position[r.arm]] += 1.0, r.reward, r.cost_usd or 0.0
    with np.errstate(invalid="ignore"):
        return Replays(table.queries, menu, sums[1] / sums[0], sums[2] / sums[0])


def _decided(replays: Replays, rounds: Sequence[Round], folds: int) -> Iterator[tuple[float, list[int]]]:
    """Price -> the arm chosen for each question, by a predictor of the other folds."""
    fold = np.random.default_rng(0).permutation(len(replays.queries)) % folds
    extractor = Extractor.of()
    predictors = [_trained(replays, rounds, fold != k, extractor) for k in range(folds)]
    feasibility = Feasibility(replays.menu)
    for price in PRICES:
        yield (
            price,
            [
                _choice(query, predictors[k], feasibility, extractor, price)
                for query, k in zip(replays.queries, fold, strict=True)
            ],
        )


def _trained(
    replays: Replays, rounds: Sequence[Round], keep: NDArray[np.bool_], extractor: Extractor
) -> Estimator:
    kept = {query.id for query, inside in zip(replays.queries, keep, strict=True) if inside}
    trained = train([r for r in rounds if r.query.id in kept], replays.menu, extractor)
    return trained.estimator(replays.menu)


def _choice(
    query: Query, predictor: Estimator, feasibility: Feasibility, extractor: Extractor, price: float
) -> int:
    estimate = predictor.estimate(extractor(query))
    verified = query.wishes.verifier is not None
    mask = feasibility.check(query, estimate, has_verifier=verified, spendable_nano=None).mask
    choice = Choice(feasibility.menu, estimate, mask, Price(price))
    return int(Greedy().distribution(choice).argmax())


def _print_fixed(replays: Replays) -> None:
    _head()
    everywhere = ~np.isnan(replays.reward).any(axis=0)
    _row("random arm", np.nanmean(replays.reward, axis=1), np.nanmean(replays.cost_usd, axis=1))
    for i in np.flatnonzero(everywhere):
        _row(replays.menu.ids[i], replays.reward[:, i], replays.cost_usd[:, i])


def _print_learnt(replays: Replays, chosen: Mapping[float, list[int]]) -> None:
    rows = np.arange(len(replays.queries))
    for price, arms in chosen.items():
        reward, cost = replays.reward[rows, arms], replays.cost_usd[rows, arms]
        lift = bootstrap(reward - _shuffled(replays, arms))
        _row(f"learnt, price {price:g}", reward, cost, lift)
    best = np.nanmax(replays.reward, axis=1)
    _row("oracle (hindsight)", best, replays.cost_usd[rows, np.nanargmax(replays.reward, axis=1)])


def _shuffled(replays: Replays, arms: Sequence[int]) -> FloatArray:
    """What each question would earn on average under the others' choices, among those with and without
    a verifier apart (so that every choice can serve)."""
    shuffled = np.zeros(len(arms))
    verified = np.array([query.wishes.verifier is not None for query in replays.queries])
    for group in (verified, ~verified):
        share = np.bincount(np.array(arms)[group], minlength=len(replays.menu)) / max(group.sum(), 1)
        shuffled[group] = np.nansum(np.nan_to_num(replays.reward[group]) * share, axis=1)
    return shuffled


def _head() -> None:
    print("| way of answering | success | 95 % | USD per 1,000 | lift over the shuffle of its choices |")
    print("|---|---|---|---|---|")


def _row(name: str, reward: FloatArray, cost_usd: FloatArray, lift: Interval | None = None) -> None:
    success = bootstrap(reward)
    shown = f"{lift.mean:+.3f} ({lift.low:+.3f} to {lift.high:+.3f})" if lift else ""
    interval = f"{success.low:.3f} to {success.high:.3f}"
    print(f"| {name} | {success.mean:.3f} | {interval} | {1000 * cost_usd.mean():.4f} | {shown} |")


if __name__ == "__main__":
    main()
