"""What a filter before the vote is worth: ``self_consistency`` replayed over recorded samples.

    python benchmarks/valid_votes.py multisample.parquet --dataset rg_math_aime24,rg_math_amc23
    python benchmarks/valid_votes.py multisample.parquet --dataset tot_game24 --pattern "= 24$"

Every series of one model's samples of one question is voted on in random orders, under
Adaptive-Consistency 0.95, three ways: every reply votes (those without an answer for one answer of their
own), replies without an answer do not vote (the default), and ``only_valid``, where neither those vote that
ran into ``--cap`` tokens nor those that fail the request's verifier, the regular expression ``--pattern``
for the form of an answer. Prints Markdown; differences are paired, intervals 95 % by a bootstrap over
questions.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow.parquet as parquet

from router.arm import Arm
from router.call import Completion
from router.confidence.agreement import Agreement
from router.estimate import FloatArray
from router.model_card import ModelCard
from router.query import Query, Wishes
from router.replay import Recorded, Recording
from router.strategies.self_consistency import SelfConsistency
from router.tariff import Tariff
from training.evaluation.resampling import Resamples
from training.sampling.samples import NO_ANSWER
from training.simulate import Simulation

Series: TypeAlias = Sequence[Mapping[str, Any]]

MESSAGES = ({"role": "user", "content": "Which?"},)
CARD = ModelCard("recorded", Tariff(0.0, 0.0), 1 << 16, 1 << 20)
WAYS = ("every reply votes", "no answer, no vote", "only_valid")


def series_of(path: Path, datasets: Sequence[str]) -> list[Series]:
    """Samples of one model for one question, of the data sets that are named."""
    found: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    columns = ["dataset", "model", "strategy", "query_id", "query", "answer", "completion_tokens", "score"]
    for row in parquet.read_table(path, columns=columns).to_pylist():
        if row["dataset"] in datasets:
            found.setdefault((row["model"], row["strategy"], row["query_id"]), []).append(row)
    return [rows for rows in found.values() if len(rows) > 1]


def recorded(row: Mapping[str, Any], way: str, cap: int) -> Recorded:
    """One sample as the replay hands it out."""
    tokens = int(row["completion_tokens"] or 0)
    completion = Completion(
        {"content": row["answer"] or ""}, "length" if tokens >= cap else "stop", 0, tokens
    )
    answer = row["answer"] or (NO_ANSWER if way == WAYS[0] else None)
    return Recorded(completion, float(row["score"]), extracted=True, answer=answer)


def replayed(some: Series, way: str, options: argparse.Namespace) -> tuple[float, float]:
    """The score of the answer that the served strategy chose, and its draws."""
    n = min(options.most, len(some))
    strategy = SelfConsistency(CARD.name, n, "direct", only_valid=way == "only_valid")
    verifier = {"type": "regex", "pattern": options.pattern, "of": "text"} if options.pattern else None
    query = Query(MESSAGES, id="replayed", wishes=Wishes(verifier=verifier))
    rows = [(CARD.name, "direct", "Which?", recorded(row, way, options.cap)) for row in some]
    arm = Arm("replayed", strategy, (CARD,), strategy.family)
    [result] = Simulation(Recording.of(rows), Agreement()).replay([(query, arm)])
    return result.score, float(result.usage.calls)


def measured(every: Sequence[Series], options: argparse.Namespace) -> Iterator[str]:
    """Rows of the table."""
    rng = np.random.default_rng(options.seed)
    orders = [[rng.permutation(len(some)) for _ in range(options.orders)] for some in every]
    _, group = np.unique([some[0]["query_id"] for some in every], return_inverse=True)
    resamples = Resamples.of(group, options.seed)
    found: list[FloatArray] = []
    for way in WAYS:
        tried = np.array(
            [
                [replayed([some[i] for i in order], way, options) for order in mine]
                for some, mine in zip(every, orders, strict=True)
            ]
        ).mean(axis=1)
        found.append(100 * tried[:, 0])
        gains = [resamples.interval(found[-1] - other) for other in (found[0], found[max(len(found) - 2, 0)])]
        told = " | ".join(f"{gain.mean:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})" for gain in gains)
        yield f"| {way} | {found[-1].mean():.2f} | {tried[:, 1].mean():.2f} | {told} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--dataset", default="rg_math_aime24,rg_math_amc23")
    parser.add_argument("--cap", type=int, default=2048, help="tokens at which a reply was cut off")
    parser.add_argument("--pattern", help="what a valid answer looks like")
    parser.add_argument("--most", type=int, default=40, help="draws at most")
    parser.add_argument("--orders", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    every = series_of(options.path, options.dataset.split(","))
    print(f"{len(every)} series, {options.orders} orders, at most {options.most} draws\n")
    print("| votes | right, % | draws | points on the first | on the one above |\n|---|---|---|---|---|")
    for row in measured(every, options):
        print(row, flush=True)


if __name__ == "__main__":
    main()
