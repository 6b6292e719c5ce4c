"""Whose word becomes an outcome: the request's verifier's on the very answer, and nobody else's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fakes import RIGHT, Upstream, ask, run_of
from service_process import serving, tables

from router.candidate import Answer, Verdict, composed
from serving.witness import WitnessedRun

RULES = [
    {"match": "Rate by this", "reply": "3"},
    {"match": "How correct", "reply": "9"},
    {"match": "2 \\+ 3", "reply": "5"},
]
OWN_JUDGE = [
    {"strategy": "best_of_n", "models": ["small"], "n": 2, "judge": "large"},
    {"strategy": "prompt_bandit", "models": ["small"], "n": 2, "judge": "large"},
]
STRICT = {"type": "judge", "model": "large", "rubric": "Strictly."}


async def outcomes(
    folder: Path, entry: dict[str, Any], verifier: dict[str, Any] | None
) -> tuple[list[tuple[str, float]], Sequence[dict[str, Any]]]:
    """Source and reward of what was posted for one request, and its calls."""
    async with serving(
        tables(folder, RULES, menu=[{"strategy": "direct", "models": ["small"]}, entry])
    ) as live:
        [_, arm] = live.service.allocator.menu.ids
        wishes = {} if verifier is None else {"effortwise": {"verifier": verifier}}
        reply = await live.chat("2 + 3?", model=arm, **wishes)
        assert reply.status_code == 200, reply.text
        trace = await live.trace(reply.headers["x-effortwise-trace-id"])
        return [(told["source"], told["reward"]) for told in trace["outcomes"]], trace["calls"]


@pytest.mark.parametrize("entry", OWN_JUDGE, ids=lambda entry: entry["strategy"])
@pytest.mark.parametrize(
    ("verifier", "told"),
    [
        (None, []),
        ({"type": "numeric", "reference": "6"}, [("verifier:numeric", 0.0)]),
        (STRICT, [("verifier:judge", 0.3)]),
    ],
    ids=["none", "numeric", "judge"],
)
async def test_a_strategys_own_judge_is_no_verifier(
    tmp_path: Path, entry: dict[str, Any], verifier: dict[str, Any] | None, told: list[tuple[str, float]]
) -> None:
    """However well it rates, its rating is no outcome; the request's verifier, of whatever name, is asked."""
    found, _ = await outcomes(tmp_path, entry, verifier)
    assert found == told


async def test_a_verifier_that_has_judged_the_answer_is_not_asked_again(tmp_path: Path) -> None:
    """Each draw costs one judge call, and the answer none on top."""
    entry = {"strategy": "best_of_n", "models": ["small"], "n": 2}
    found, calls = await outcomes(tmp_path, entry, STRICT)
    assert found == [("verifier:judge", 0.3)]
    assert sorted(call["purpose"] for call in calls) == ["candidate", "candidate", "judge", "judge"]


async def test_a_verdict_on_a_part_is_none_on_the_answer() -> None:
    """Only the verdict itself, on the very text, counts as the verifier's word; within a stage too."""
    plain = run_of(Upstream(), ask(verifier=RIGHT))
    run = WitnessedRun(
        plain.query, plain.meter, plain.backends, plain.cards, plain.confidence, plain.verifier
    )
    part = await run.sample("small")
    verdict = await run.within("a stage").verify(part)
    assert verdict is not None
    whole = composed("5!", "5", [part.completion], "direct")
    assert run.ruled(Answer(part, verdict))
    assert not run.ruled(Answer(whole, verdict))
    assert not run.ruled(Answer(part, Verdict.of(True, verdict.source, sound=True)))
    assert not run.ruled(Answer(part))
