"""A trace as JSON values, for ``GET /v1/traces/{id}``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from router.outcome import Outcome
from router.trace import Trace
from router.usage import Usage


def trace_values(trace: Trace, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The trace whole, money in US dollars, with its outcomes."""
    values = asdict(trace)
    values["usage"] = _usage(trace.usage)
    for call, shown in zip(trace.calls, values["calls"], strict=True):
        shown["usage"] = _usage(call.usage)
    return {"object": "trace", **values, "outcomes": [asdict(outcome) for outcome in outcomes]}


def _usage(usage: Usage) -> dict[str, Any]:
    values = asdict(usage)
    del values["cost_nano"]
    return {**values, "total_tokens": usage.total_tokens, "cost_usd": usage.cost_usd}
