"""How a trace stands in a table: its columns, and both ways between row and noun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from router.stores import Reserve
from router.trace import CallRecord, Step, Trace
from router.usage import Usage

TRACE_COLUMNS = (
    "id", "created_at", "account", "window", "conversation", "unit", "arm", "status", "policy",
    "predictor", "propensity", "calls", "prompt_tokens", "completion_tokens", "cost_nano", "model_s",
    "latency_s", "prompt", "answer", "error", "plan", "wishes", "steps",
)  # fmt: skip
CALL_COLUMNS = (
    "model", "purpose", "template", "status", "prompt_tokens", "completion_tokens", "cost_nano", "model_s",
    "started_s", "response", "error", "estimated", "extracted",
)  # fmt: skip
RESERVATION_COLUMNS = (
    "trace_id", "account", "window", "amount_nano", "created_at", "conversation", "unit", "plan",
)  # fmt: skip


def trace_row(trace: Trace) -> tuple[Any, ...]:
    """The values of ``TRACE_COLUMNS``."""
    usage, plan = trace.usage, trace.plan
    return (
        trace.id, trace.created_at, trace.account, trace.window, trace.conversation, trace.unit, trace.arm,
        trace.status, plan.get("policy"), plan.get("predictor"), plan.get("propensity"), usage.calls,
        usage.prompt_tokens, usage.completion_tokens, usage.cost_nano, usage.model_s, trace.latency_s,
        trace.prompt, trace.answer, trace.error, _json(plan), _json(trace.wishes), _json(trace.steps),
    )  # fmt: skip


def trace_of(row: Sequence[Any], calls: Sequence[CallRecord]) -> Trace:
    """The trace of a row's values and its calls."""
    cell = dict(zip(TRACE_COLUMNS, row, strict=True))
    return Trace(
        id=cell["id"],
        created_at=cell["created_at"],
        account=cell["account"],
        window=cell["window"],
        conversation=cell["conversation"],
        unit=cell["unit"],
        arm=cell["arm"],
        status=cell["status"],
        usage=_usage(cell, cell["calls"]),
        latency_s=cell["latency_s"],
        plan=orjson.loads(cell["plan"]),
        prompt=cell["prompt"],
        answer=cell["answer"],
        error=cell["error"],
        wishes=orjson.loads(cell["wishes"]),
        steps=tuple(Step(**step) for step in orjson.loads(cell["steps"])),
        calls=tuple(calls),
    )


def call_row(call: CallRecord) -> tuple[Any, ...]:
    """The values of ``CALL_COLUMNS``."""
    usage = call.usage
    return (
        call.model, call.purpose, call.template, call.status, usage.prompt_tokens, usage.completion_tokens,
        usage.cost_nano, usage.model_s, call.started_s, call.response, call.error, int(call.estimated),
        call.extracted,
    )  # fmt: skip


def call_record(row: Sequence[Any]) -> CallRecord:
    """The call of a row's values."""
    cell = dict(zip(CALL_COLUMNS, row, strict=True))
    return CallRecord(
        model=cell["model"],
        purpose=cell["purpose"],
        template=cell["template"],
        status=cell["status"],
        usage=_usage(cell, 1),
        started_s=cell["started_s"],
        response=cell["response"],
        extracted=cell["extracted"],
        error=cell["error"],
        estimated=bool(cell["estimated"]),
    )


def reservation_row(operation: Reserve) -> tuple[Any, ...]:
    """The values of ``RESERVATION_COLUMNS``."""
    return (
        operation.trace_id, operation.account, operation.window, operation.amount_nano, operation.created_at,
        operation.conversation, operation.unit, _json(operation.plan),
    )  # fmt: skip


def unfinished(reservation: Sequence[Any]) -> Trace:
    """The trace of a reservation that its process never settled: charged in full, since nobody knows
    how much of it was spent."""
    trace_id, account, window, amount_nano, created_at, conversation, unit, plan = reservation
    values = orjson.loads(plan)
    return Trace(
        id=trace_id,
        created_at=created_at,
        account=account,
        window=window,
        conversation=conversation,
        unit=unit,
        arm=values["arm"],
        status="unfinished",
        usage=Usage(cost_nano=amount_nano),
        latency_s=0.0,
        plan=values,
        error="The process ended before this query was answered; its whole reservation is charged.",
    )


def _usage(cell: dict[str, Any], calls: int) -> Usage:
    return Usage(calls, cell["prompt_tokens"], cell["completion_tokens"], cell["cost_nano"], cell["model_s"])


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
