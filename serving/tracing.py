"""Tracing: what of an attempt stands on its trace."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

import orjson

from router.candidate import Answer
from router.confidence import ConfidencePredictor
from router.metering import Meter
from router.plan import Plan
from router.query import Query, Wishes
from router.trace import CallRecord, Status, Trace
from router.usage import Usage
from serving.progress import Follower
from serving.witness import WitnessedRun

Prompts: TypeAlias = Literal["whole", "hashed", "none"]
"""What is kept of prompts; replies are kept only with ``whole``."""

_WISHES = tuple(item.name for item in fields(Wishes))


@dataclass(frozen=True, slots=True)
class Answered:
    """A query's answers (one per choice), how they came, and what they cost."""

    plan: Plan
    answers: Sequence[Answer]
    status: Status
    usage: Usage


@dataclass(slots=True)
class Attempt:
    """One plan being carried out; what its trace will need. follower: who is told of it on the way."""

    query: Query
    plan: Plan
    window: str
    meter: Meter
    started: float
    plan_values: Mapping[str, Any]
    confidence: ConfidencePredictor
    runs: list[WitnessedRun] = field(default_factory=list)
    follower: Follower | None = None


def trace_of(
    attempt: Attempt, status: Status, answers: Sequence[Answer] | None, error: str | None, prompts: Prompts
) -> Trace:
    """The trace of an attempt that has ended."""
    query, plan = attempt.query, attempt.plan
    keep = prompts == "whole"
    return Trace(
        id=query.id,
        created_at=query.received_at,
        account=query.account,
        window=attempt.window,
        conversation=query.conversation,
        unit=query.unit,
        arm=plan.arm.id,
        status=status,
        usage=attempt.meter.usage,
        latency_s=time.perf_counter() - attempt.started,
        plan=attempt.plan_values,
        prompt=kept_prompt(query, prompts),
        answer=answers[0].candidate.text if answers and keep else None,
        error=error if keep else _kind(error),
        wishes=_wishes(query, keep),
        steps=[step for run in attempt.runs for step in run.steps],
        calls=[call if keep else _without_text(call) for call in attempt.meter.records],
    )


def kept_prompt(query: Query, prompts: Prompts) -> str | None:
    """What was asked, as JSON text, its SHA-256, or nothing."""
    if prompts == "none":
        return None
    asked = {
        "messages": query.messages,
        "max_completion_tokens": query.max_completion_tokens,
        "parameters": query.parameters,
    }
    content = orjson.dumps(asked)
    return content.decode() if prompts == "whole" else hashlib.sha256(content).hexdigest()


def _without_text(call: CallRecord) -> CallRecord:
    return replace(call, response=None, extracted=None, error=_kind(call.error))


def _kind(error: str | None) -> str | None:
    """An error without its words, in which an upstream may repeat the prompt."""
    return None if error is None else error.partition(":")[0]


def _wishes(query: Query, keep: bool) -> dict[str, object]:
    given = {name: getattr(query.wishes, name) for name in _WISHES if getattr(query.wishes, name) is not None}
    if query.wishes.verifier is not None and not keep:  # its other fields may hold the answer
        given["verifier"] = {"type": query.wishes.verifier["type"]}
    if query.wishes.tools is not None:  # an address may hold a key
        given["tools"] = [tool["name"] for tool in query.wishes.tools]
    return {"target": query.target, "n": query.n, **given}
