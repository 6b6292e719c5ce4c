"""What one decision costs, what learning from a million rows costs, and what replaying a million decisions
costs, each beside a tenth of the size.

``python -m benchmarks.decision [--only decision|training|replay] [--rows 1000000]``. Nothing is cached
between decisions. Training and replay are measured in a process of their own, whose peak memory is told.
"""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.connection
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.menu64 import save_learnt_bundle, write_configuration
from router.allocator import Allocator
from router.bundle import Bundle, load_bundle
from router.configuration import load_configuration
from router.configured import configured_menu
from router.features import Extractor
from router.menu import Menu
from router.policies.greedy import Greedy
from router.price import Price
from router.query import Query
from training.design import MOST_QUERIES
from training.deviations import SELECTION_ROUNDS
from training.evaluation.stacked import chosen, stacked
from training.folds import MOST_CROSSED
from training.rounds import Round
from training.table import features_of
from training.train import train

WORDS = np.array(
    "the of a number how many which answer find sum water train leaves at per hour each box holds apples "  # noqa: SIM905  # read as a sentence
    "prove that every function list returns sorted city country river longest write short poem about".split()
)
TOKENS = (16, 64, 200, 1000, 4000)
ARMS = (4, 16, 64)
ROUNDS_PER_QUESTION = 10
QUERIES = 300


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("decision", "training", "replay"))
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = write_configuration(folder, 9)
        save_learnt_bundle(config, folder / "bundle")
        if arguments.only in (None, "decision"):
            _decisions(config, folder / "bundle")
        for what, work in (("training", _train), ("replay", _replay)):
            if arguments.only in (None, what):
                _sizes(what, work, config, folder / "bundle", arguments.rows)


def _decisions(config: Path, bundle: Path) -> None:
    menu = configured_menu(load_configuration(config))
    print("one decision, from text to plan, single thread, every query another text (microseconds)")
    print(f"{'tokens':>8}{'arms':>8}{'p50':>10}{'p99':>10}")
    for tokens in TOKENS:
        _decision(menu, bundle, tokens)
    for arms in ARMS[:-1]:
        step = len(menu) // arms
        _decision(Menu(menu.arms[::step][:arms]), bundle, 200)


def _decision(menu: Menu, folder: Path, tokens: int) -> None:
    allocator = _allocator(menu, load_bundle(folder, menu))
    taken = []
    for query in _queries(QUERIES, tokens, seed=tokens):
        started = time.perf_counter()
        allocator.plan(query)
        taken.append(time.perf_counter() - started)
    p50, p99 = 1e6 * np.quantile(taken[QUERIES // 10 :], (0.5, 0.99))
    print(f"{tokens:>8}{len(menu):>8}{p50:>10.0f}{p99:>10.0f}")


def _allocator(menu: Menu, bundle: Bundle) -> Allocator:
    cards = {card.name: card for card in menu.models.values()}
    return Allocator(menu, {"greedy": Greedy()}, "greedy", Price(1000.0), bundle, cards, menu.arms[0], "")


def _queries(count: int, tokens: int, seed: int) -> list[Query]:
    """Texts of about so many tokens: four words are about five of them."""
    rng = np.random.default_rng(seed)
    return [
        Query(({"role": "user", "content": " ".join(rng.choice(WORDS, max(tokens * 4 // 5, 1))) + f" {i}?"},))
        for i in range(count)
    ]


def _sizes(what: str, work: Callable[[Path, Path, int], str], config: Path, bundle: Path, rows: int) -> None:
    print(f"\n{what}: {ROUNDS_PER_QUESTION} rows a question of about 40 tokens, 64 arms")
    print(f"{'rows':>10}{'seconds':>10}{'peak MiB':>10}")
    for size in (rows // 10, rows):
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_measured, args=(theirs, work, config, bundle, size))
        process.start()
        seconds, peak_mib, told = ours.recv()
        process.join()
        print(f"{size:>10}{seconds:>10.1f}{peak_mib:>10.0f}  {told}")


def _measured(
    told: multiprocessing.connection.Connection,
    work: Callable[[Path, Path, int], str],
    config: Path,
    bundle: Path,
    rows: int,
) -> None:
    started = time.perf_counter()
    what = work(config, bundle, rows)
    seconds, generating = time.perf_counter() - started, float(what.partition(" s ")[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    told.send((seconds - generating, peak, what.partition(" s ")[2]))


def _train(config: Path, bundle: Path, rows: int) -> str:
    menu = configured_menu(load_configuration(config))
    started = time.perf_counter()
    rounds = _rounds(menu, rows)
    generating = time.perf_counter() - started
    trained = train(rounds, menu, Extractor.of())
    told = trained.summary
    return (
        f"{generating} s {told['kind']} from {told['rounds']} rounds of {told['questions']} questions; "
        f"penalties chosen on {min(told['rounds'], SELECTION_ROUNDS)}, components of "
        f"{min(told['questions'], MOST_QUERIES)} questions, trees and calibration on "
        f"{min(told['rounds'], MOST_CROSSED)} unseen rounds; measured: fitted on {told['fit']}, tested on "
        f"{told['test']}"
    )


def _replay(config: Path, bundle: Path, rows: int) -> str:
    """Every row decided anew by the greedy policy, features and estimates of each question computed once."""
    menu = configured_menu(load_configuration(config))
    started = time.perf_counter()
    questions = _queries(rows // ROUNDS_PER_QUESTION, 40, seed=1)
    generating = time.perf_counter() - started
    loaded = load_bundle(bundle, menu)
    features = features_of(questions, loaded.extractor)
    picked = 0
    for start in range(0, len(questions), 10_000):
        some = np.arange(start, min(start + 10_000, len(questions)))
        estimate = stacked(loaded.difficulty, features, some)
        for price in np.geomspace(10, 1e5, ROUNDS_PER_QUESTION):
            picked += len(chosen(estimate, Price(float(price))))
    return f"{generating} s {picked} decisions"


def _rounds(menu: Menu, rows: int) -> list[Round]:
    rng = np.random.default_rng(2)
    rounds = []
    for i, query in enumerate(_queries(rows // ROUNDS_PER_QUESTION, 40, seed=1)):
        ease = 0.2 + 0.6 * ("sum" in query.text)
        for arm in rng.integers(len(menu), size=ROUNDS_PER_QUESTION):
            right, cost = (
                float(rng.random() < ease),
                1e-5 * menu.arms[arm].compute * float(rng.lognormal(0, 0.3)),
            )
            rounds.append(Round(query, menu.arms[arm].id, right, f"q{i}", cost_usd=cost, latency_s=0.1))
    return rounds


if __name__ == "__main__":
    main()
