"""Round: one answered query with its reward, as learning needs it [logged bandit feedback]."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.stats import chi2_contingency

from router.answers import extract_answer
from router.call import Completion
from router.candidate import Candidate
from router.menu import Menu
from router.outcome import Outcome
from router.price import Price
from router.query import Query
from router.trace import Trace

SOURCES = ("human", "user", "verifier", "judge")
"""Whose word counts first where a trace has several outcomes. A source such as ``verifier:numeric``
ranks with ``verifier``; sources not listed come before all that are: the caller named them, so they
are the caller's own measure."""
UNJUDGED = "no outcome yet"
UNEVEN = 0.01
"""Below this p-value, outcomes are not missing at the same rate for every arm."""
VERDICT = "verifier:"
"""Where the source of the service's own verdicts begins; their outcome ids number the choices."""


@dataclass(frozen=True, slots=True)
class Round:
    """One query, the arm that answered it, and what came of it.

    query: as asked; its id is the trace's. reward: in [0, 1]. propensity: of the arm, ``None`` where
    no draw was made or none is known. propensities: of every arm of the menu, in its order, ``None``
    likewise. cost_usd (of one choice), latency_s: ``None`` where unknown. created_at: Unix seconds,
    ``None`` where unknown. question_key: the same for the same question. candidates: the answers drawn
    on the way, in order.
    """

    query: Query
    arm: str
    reward: float
    question_key: str
    propensity: float | None = None
    propensities: tuple[float, ...] | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    created_at: float | None = None
    price: Price = field(default_factory=Price)
    stakes: float = 1.0
    candidates: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True)
class Rounds:
    """The rounds that can be learnt from, and how many others were dropped, by reason. unjudged: of those,
    the answers without an outcome, by arm."""

    rounds: tuple[Round, ...]
    dropped: Mapping[str, int]
    unjudged: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Rounds) -> Rounds:
        return Rounds(
            self.rounds + other.rounds,
            Counter(self.dropped) + Counter(other.dropped),
            Counter(self.unjudged) + Counter(other.unjudged),
        )

    def judged_shares(self) -> Mapping[str, float] | None:
        """Each arm's share of answers that have an outcome, where the arms differ by more than chance would
        have them (chi-squared test of independence, 1 %); None where they do not."""
        judged = Counter(r.arm for r in self.rounds)
        arms = sorted(judged | Counter(self.unjudged))
        counts = np.array([(judged[arm], self.unjudged.get(arm, 0)) for arm in arms])
        if len(arms) < 2 or not counts.sum(axis=0).all() or chi2_contingency(counts).pvalue >= UNEVEN:
            return None
        return {arm: float(mine[0] / mine.sum()) for arm, mine in zip(arms, counts, strict=True)}


def rounds_from_traces(
    traces: Iterable[Trace], outcomes: Iterable[Outcome], menu: Menu, sources: Sequence[str] = SOURCES
) -> Rounds:
    """Join traces with their outcomes, whichever arm answered. Where a trace has several, the first source in
    ``sources`` counts, and of that the latest word."""
    judged = best_outcomes(outcomes, sources)
    rounds, dropped, unjudged, seen = [], Counter[str](), Counter[str](), set()
    for trace in traces:
        seen.add(trace.id)
        reason = _unusable(trace, judged)
        if reason is None:
            rounds.append(_round(trace, judged[trace.id], menu))
        else:
            dropped[reason] += 1
            unjudged[trace.arm] += reason == UNJUDGED
    if orphans := len(judged.keys() - seen):
        dropped["outcome without its trace"] = orphans
    return Rounds(tuple(rounds), dropped, +unjudged)


def best_outcomes(outcomes: Iterable[Outcome], sources: Sequence[str] = SOURCES) -> dict[str, Outcome]:
    """The outcome that counts, by trace id; see ``rounds_from_traces``. Of a verifier that ruled on several
    choices, with the mean reward."""
    rank = {source: i for i, source in enumerate(sources)}

    def precedence(outcome: Outcome) -> tuple[int, float]:
        return -rank.get(outcome.source.partition(":")[0], -1), outcome.recorded_at

    best: dict[str, Outcome] = {}
    verdicts: dict[tuple[str, str], dict[str, float]] = {}
    for outcome in outcomes:
        if outcome.source.startswith(VERDICT) and outcome.outcome_id.isdigit():
            verdicts.setdefault((outcome.trace_id, outcome.source), {})[outcome.outcome_id] = outcome.reward
        held = best.get(outcome.trace_id)
        if held is None or precedence(outcome) >= precedence(held):
            best[outcome.trace_id] = outcome
    return {name: _over_choices(outcome, verdicts) for name, outcome in best.items()}


def _over_choices(outcome: Outcome, verdicts: Mapping[tuple[str, str], Mapping[str, float]]) -> Outcome:
    """A verifier's word on every choice, as their mean."""
    each = verdicts.get((outcome.trace_id, outcome.source), {})
    return outcome if len(each) < 2 else replace(outcome, reward=sum(each.values()) / len(each))


def _unusable(trace: Trace, judged: Mapping[str, Outcome]) -> str | None:
    if trace.status in ("cancelled", "unfinished"):
        return f"the answer was {trace.status}"
    if trace.id not in judged:
        return UNJUDGED
    if _prompt(trace) is None:
        return "its prompt was not kept whole (store.prompts must be 'whole' to learn from it)"
    return None


def _prompt(trace: Trace) -> Mapping[str, Any] | None:
    """What was asked, where the trace holds it whole and not its hash."""
    if not trace.prompt or not trace.prompt.startswith("{"):
        return None
    try:
        prompt = json.loads(trace.prompt)
    except ValueError:
        return None
    return prompt if isinstance(prompt.get("messages"), list) else None


def _round(trace: Trace, outcome: Outcome, menu: Menu) -> Round:
    prompt = _prompt(trace) or {}
    query = Query(
        prompt["messages"],
        parameters=prompt.get("parameters") or {},
        max_completion_tokens=prompt.get("max_completion_tokens"),
        account=trace.account,
        conversation=trace.conversation,
        unit=trace.unit,
        id=trace.id,
        received_at=trace.created_at,
    )
    propensity, propensities = _odds(trace.plan, menu)
    unknown = trace.plan.get("unknown") or ()  # what an imported table did not say
    choices = trace.wishes.get("n") or 1
    return Round(
        query,
        trace.arm,
        outcome.reward,
        question_key(query.text),
        propensity,
        propensities,
        None if "cost_usd" in unknown else trace.usage.cost_usd / choices,
        None if "latency_s" in unknown else trace.latency_s,
        None if "created_at" in unknown else trace.created_at,
        Price(trace.plan.get("price_per_usd") or 0.0, trace.plan.get("price_per_s") or 0.0),
        trace.plan.get("stakes") or 1.0,
        _candidates(trace, query),
    )


def _odds(plan: Mapping[str, Any], menu: Menu) -> tuple[float | None, tuple[float, ...] | None]:
    """The logged odds; unknown where no draw decided, or over another menu than this."""
    propensity, propensities = plan.get("propensity"), plan.get("propensities")
    if not propensity or plan.get("override"):
        return None, None
    if not propensities or plan.get("menu") != menu.hash or len(propensities) != len(menu):
        return propensity, None
    return propensity, tuple(propensities)


def _candidates(trace: Trace, query: Query) -> tuple[Candidate, ...]:
    """What was drawn on the way, with the answers extracted as the service extracts them."""
    return tuple(
        recorded_candidate(
            call.response,
            call.extracted or extract_answer(query, call.response),
            call.template,
            call.usage.completion_tokens,
        )
        for call in trace.calls
        if call.purpose == "candidate" and call.status == "ok" and call.response is not None
    )


def recorded_candidate(
    response: str, extracted: str | None, template: str = "direct", completion_tokens: int = 0
) -> Candidate:
    """A candidate as the record keeps it."""
    completion = Completion({"role": "assistant", "content": response}, "stop", 0, completion_tokens)
    return Candidate(completion, extracted, template)


def question_key(text: str) -> str:
    """First 16 hex digits of the SHA-256 of the text without its case and spacing."""
    return hashlib.sha256(normalised(text).encode(errors="replace")).hexdigest()[:16]


def normalised(text: str) -> str:
    """Folded case, single spaces.

    >>> normalised("  What is\\n2 + 2?")
    'what is 2 + 2?'
    """
    return " ".join(text.casefold().split())
