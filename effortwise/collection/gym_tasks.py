"""Reasoning Gym's procedural tasks, as a workload to collect; its own scores are the rewards.

Reasoning Gym (Stojanovski et al. 2025): https://github.com/open-thought/reasoning-gym.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, islice, zip_longest
from typing import Any

from effortwise.collection.checkable import Checkable, Judge
from router.answers import extract_answer
from router.errors import ConfigurationError
from router.query import Message, Query

RIGHT = 0.99
"""A score from here on is a right answer; lower ones are partial credit."""


def gym_tasks(names: Sequence[str], count: int, seed: int) -> list[Checkable]:
    """``count`` tasks of the named data sets in turns, made from the seed."""
    each = -(-count // len(names))
    turns = zip_longest(*(_tasks(name, each, seed) for name in names))
    return list(islice(chain.from_iterable(turns), count))


def _tasks(name: str, count: int, seed: int) -> list[Checkable]:
    dataset = _dataset(name, count, seed)
    return [_checkable(f"{name}-{seed}-{i}", name, dataset, dataset[i]) for i in range(count)]


def _dataset(name: str, size: int, seed: int) -> Any:
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise ConfigurationError(
            f"Reasoning Gym is not installed ({error}). Install 'effortwise[collect]'."
        ) from error
    if name not in DATASETS:
        raise ConfigurationError(
            f"Reasoning Gym has no data set {name!r}. Known: {', '.join(sorted(DATASETS))}."
        )
    return reasoning_gym.create_dataset(name, size=size, seed=seed)


def _checkable(task_id: str, name: str, dataset: Any, entry: Mapping[str, Any]) -> Checkable:
    messages = [{"role": "user", "content": str(entry["question"])}]
    return Checkable(task_id, name, messages, _judge(dataset, entry, messages))


def _judge(dataset: Any, entry: Mapping[str, Any], messages: Sequence[Message]) -> Judge:
    """The score of the final answer, or of the whole reply where only that is right: some tasks ask for
    several lines."""
    query = Query(messages)

    async def judge(text: str) -> float | None:
        whole = _score(dataset, entry, text.strip())
        if whole is not None and whole >= RIGHT:
            return whole
        return _score(dataset, entry, extract_answer(query, text))

    return judge


def _score(dataset: Any, entry: Mapping[str, Any], answer: str | None) -> float | None:
    try:
        return min(max(float(dataset.score_answer(answer, entry)), 0.0), 1.0)
    except Exception:  # whatever a data set's own parser meets in a model's text is no verdict
        return None
