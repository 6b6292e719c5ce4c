"""Trace: the immutable record of one answered query, with its steps and its upstream calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias

from router.call import Purpose
from router.usage import Usage

Status: TypeAlias = Literal["complete", "partial", "failed", "cancelled", "unfinished"]
"""complete: the strategy ended; partial: the best so far, when budget or time ran out; failed: no
answer; cancelled: the caller left; unfinished: the process died on it, found at the next start."""


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One upstream call, as billed.

    status: ``ok``, ``error`` or ``cancelled``. estimated: the upstream never said the counts; they are the
    worst case (a time-out, a cancelled call without streaming), or told from the bytes of a reply that came
    without usage. started_s: seconds since the query's arrival.
    """

    model: str
    purpose: Purpose
    template: str
    status: Literal["ok", "error", "cancelled"]
    usage: Usage
    started_s: float
    response: str | None = None
    extracted: str | None = None
    error: str | None = None
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A decision taken while answering: stop, go on or escalate, and the numbers behind it."""

    decision: Literal["stop", "continue", "escalate"]
    reason: str
    at_s: float
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trace:
    """One answered query. ``plan``: the decision as plain values (see ``router.stores``); ``prompt``:
    the messages, their hash, or ``None``, as the configuration keeps them; latency_s: wall time."""

    id: str
    created_at: float
    account: str
    window: str
    conversation: str | None
    unit: str | None
    arm: str
    status: Status
    usage: Usage
    latency_s: float
    plan: Mapping[str, Any]
    prompt: str | None = None
    answer: str | None = None
    error: str | None = None
    wishes: Mapping[str, Any] = field(default_factory=dict)
    steps: Sequence[Step] = ()
    calls: Sequence[CallRecord] = ()

    def bare(self, why: str) -> Trace:
        """Whose it is, its plan and what it cost; nothing of what was asked and answered, which may be what
        keeps a store from taking it."""
        usage = Usage(**{name: min(count, MOST_COUNTED) for name, count in asdict(self.usage).items()})
        return replace(self, usage=usage, prompt=None, answer=None, error=why, wishes={}, steps=(), calls=())


MOST_COUNTED = 2**62
"""What fits into 64 bits, even when a few are added up."""
