"""The strategies that recorded samples can replay: votes and best-of-n, as they are served."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow.parquet as parquet

from benchmarks.same_tokens import ONE_CALL, Measured, print_table
from router.arm import Arm
from router.call import Completion
from router.confidence.agreement import Agreement
from router.model_card import ModelCard
from router.query import Query, Wishes
from router.replay import Recorded, Recording
from router.strategies import Strategy
from router.strategies.best_of_n import BestOfN
from router.strategies.direct import Direct
from router.strategies.self_consistency import SelfConsistency
from router.tariff import Tariff
from training.simulate import Simulation

CARD = ModelCard("recorded", Tariff(0.0, 0.0), 1 << 16, 1 << 20)
BUDGETS = (4, 8, 16)
ORDERS = 8
LEAST_SAMPLES = 16
CORRECT_AT = 0.99
RIGHT = "right"

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A strategy at a budget. checked: told by a perfect verifier which draws are right."""

    name: str
    strategy: Strategy
    budget: int
    checked: bool = False
    plain: bool = False


def kinds() -> list[Kind]:
    """What votes and best-of-n can do within each budget of draws."""
    m = CARD.name
    found = [Kind(ONE_CALL, Direct(m), 1, plain=True)]
    for n in BUDGETS:
        found += [
            Kind("vote", SelfConsistency(m, n, "direct", stop_at=1.0), n, plain=True),
            Kind("vote, valid only", SelfConsistency(m, n, "direct", stop_at=1.0, only_valid=True), n),
            Kind("self_consistency, Adaptive-Consistency", SelfConsistency(m, n, "direct"), n),
            Kind("self_consistency, ESC", SelfConsistency(m, n, "direct", stop="esc"), n),
            Kind("best_of_n, perfect verifier", BestOfN(m, n), n, checked=True, plain=True),
        ]
    return found


def replayed_table(path: Path) -> None:
    """A table for each data set, model and prompt of a file that has 16 answered samples per question."""
    for names, series in _series(path).items():
        print(f"\n### {', '.join(names)}\n")
        print_table(list(_measured(series)))


def _series(path: Path) -> dict[tuple[str, ...], dict[str, list[Row]]]:
    """Data set, model and prompt -> question -> its samples."""
    names = ["dataset", "model", "strategy"]
    columns = [*names, "query_id", "answer", "score", "completion_tokens"]
    found: dict[tuple[str, ...], dict[str, list[Row]]] = {}
    for row in parquet.read_table(path, columns=columns).to_pylist():
        if row["score"] is not None:
            series = found.setdefault(tuple(row[name] for name in names), {})
            series.setdefault(row["query_id"], []).append(row)
    return {key: series for key, series in found.items() if _replayable(series)}


def _replayable(series: Mapping[str, Sequence[Row]]) -> bool:
    enough = min(map(len, series.values())) >= LEAST_SAMPLES and len(series) >= LEAST_SAMPLES
    return enough and any(row["answer"] is not None for rows in series.values() for row in rows)


def _measured(series: Mapping[str, Sequence[Row]]) -> Iterator[Measured]:
    for question, rows in series.items():
        rng = np.random.default_rng(0)
        orders = [[rows[i] for i in rng.permutation(len(rows))] for _ in range(ORDERS)]
        for kind in kinds():
            reward, tokens, calls = np.mean([_replay(kind, order) for order in orders], axis=0)
            yield Measured(
                question, kind.name, kind.budget, kind.checked, kind.plain, reward, tokens, calls, 0.0
            )


def _replay(kind: Kind, order: Sequence[Row]) -> tuple[float, int, int]:
    draws = [_draw(row, kind.checked, _numbers(order)) for row in order]
    text = "Which?"
    recording = Recording.of([(CARD.name, "direct", text, draw) for draw in draws])
    wishes = Wishes(verifier={"type": "exact", "reference": RIGHT} if kind.checked else None)
    query = Query([{"role": "user", "content": text}], wishes=wishes, id="replayed")
    arm = Arm("replayed", kind.strategy, (CARD,), kind.strategy.family)
    [result] = Simulation(recording, Agreement()).replay([(query, arm)])
    return float(result.score >= CORRECT_AT), result.usage.completion_tokens, result.usage.calls


def _numbers(order: Sequence[Row]) -> dict[str, str]:
    """Each different answer under a number, so that no reading of one can make it another."""
    answers = dict.fromkeys(row["answer"] for row in order if row["answer"] is not None)
    return {answer: f"answer {number}" for number, answer in enumerate(answers)}


def _draw(row: Row, checked: bool, numbers: Mapping[str, str]) -> Recorded:
    shown = RIGHT if checked and row["score"] >= CORRECT_AT else numbers.get(row["answer"])
    content = "" if shown is None else f"\\boxed{{{shown}}}"
    tokens = int(row["completion_tokens"] or 0)
    return Recorded(Completion({"role": "assistant", "content": content}, "stop", 0, tokens), row["score"])
