"""Exchange: traces between the store and the interchange form, one row per answered query."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from router.errors import StoreError
from router.outcome import Outcome
from router.stores import Judge, Operation, Settle, Store
from router.tariff import to_nano
from router.trace import CallRecord, Trace
from router.usage import Usage
from training.interchange import INTERCHANGE, read_rows
from training.rounds import best_outcomes, question_key

SCHEMA = pa.schema([*INTERCHANGE, ("propensity", pa.float64()), ("created_at", pa.float64())])
"""The interchange format's columns, and two that only our own traces have."""

IMPORTED = "imported"
_CONVERSATION = '[{"'
_GROUP = 500
_NAMESPACE = uuid.UUID("6f0c3c52-9f1e-5d0e-9d4b-3a6f3a7e2f10")


@dataclass(frozen=True, slots=True)
class Exchanged:
    """How many rows went over, and how many were left out, by reason."""

    rows: int
    left_out: Mapping[str, int]


def export_traces(store: Store, path: Path) -> Exchanged:
    """Write every trace whose prompt was kept whole. ``score`` is its best outcome, null without one;
    a trace of several calls is one row with their summed tokens and cost."""
    outcomes = best_outcomes(store.outcomes())
    rows, without_prompt = [], 0
    for trace in store.traces():
        question = _question(trace)
        if question is None:
            without_prompt += 1
            continue
        rows.append(_exported(trace, question, outcomes.get(trace.id)))
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.Table.from_pylist(rows, SCHEMA), path, compression="zstd")
    return Exchanged(len(rows), {"its prompt was not kept whole": without_prompt} if without_prompt else {})


def _question(trace: Trace) -> str | None:
    """What was asked, where it was kept: a lone user's text as it is, all else as a conversation's JSON."""
    if not trace.prompt or not trace.prompt.startswith("{"):
        return None
    messages = json.loads(trace.prompt)["messages"]
    content = messages[0].get("content") if len(messages) == 1 else None
    if not isinstance(content, str) or messages[0].get("role") != "user":
        return json.dumps(messages)
    return json.dumps(messages) if content.startswith(_CONVERSATION) else content


def _exported(trace: Trace, question: str, outcome: Outcome | None) -> dict[str, Any]:
    model, _, strategy = trace.arm.partition("/")
    return {
        "dataset": "effortwise",
        "domain": None,
        "query_id": trace.id,
        "query": question,
        "model": model,
        "strategy": strategy,
        "sample_index": 0,
        "response": trace.answer,
        "prompt_tokens": trace.usage.prompt_tokens,
        "completion_tokens": trace.usage.completion_tokens,
        "token_source": "logged",
        "cost_usd": trace.usage.cost_usd,
        "latency_s": trace.latency_s,
        "score": outcome.reward if outcome else None,
        "question_key": question_key(question),
        "propensity": trace.plan.get("propensity"),
        "created_at": trace.created_at,
    }


def import_traces(store: Store, path: Path, dataset: str | None = None) -> Exchanged:
    """Read a file of the interchange form into the store, each row a trace of the account
    ``imported`` with its score as an outcome. Ids follow from the rows, so a repeat changes nothing.
    Where the file has no ``created_at``, the plan tells that it is unknown, and the trace's is now."""
    left_out: Counter[str] = Counter()
    seen: set[str] = set()
    group: list[Operation] = []
    for row in read_rows([path]):
        if reason := _unusable(row, dataset) or _repeated(row, seen):
            left_out[reason] += 1
            continue
        group += _operations(row)
        if len(group) >= _GROUP:
            store.apply(group)
            group = []
    if group:
        store.apply(group)
    if not seen:
        raise StoreError(f"{path} holds no row to import{f' of the dataset {dataset!r}' if dataset else ''}.")
    return Exchanged(len(seen), left_out)


def _repeated(row: Mapping[str, Any], seen: set[str]) -> str | None:
    """Draws are told apart by their ``sample_index``. A row that is new counts as seen from now on."""
    trace_id = _trace_id(row)
    if trace_id in seen:
        return "it repeats an earlier row (of the same sample_index)"
    seen.add(trace_id)
    return None


def _unusable(row: Mapping[str, Any], dataset: str | None) -> str | None:
    if dataset is not None and row.get("dataset") != dataset:
        return "it is of another dataset"
    if row["query"] is None:
        return "it has no query"
    if row["score"] is not None and not 0 <= row["score"] <= 1:
        return "its score is outside [0, 1]"
    return None


def _operations(row: Mapping[str, Any]) -> Iterator[Operation]:
    trace = _imported(row)
    yield Settle(trace)
    if row.get("score") is not None:
        yield Judge(Outcome(trace.id, float(row["score"]), IMPORTED, recorded_at=trace.created_at))


def _imported(row: Mapping[str, Any]) -> Trace:
    arm = f"{row['model']}/{row['strategy']}"
    usage = Usage(
        1,
        row.get("prompt_tokens") or 0,
        row.get("completion_tokens") or 0,
        to_nano(row.get("cost_usd") or 0.0),
    )
    call = CallRecord(
        str(row["model"]), "candidate", str(row["strategy"]), "ok", usage, 0.0, row.get("response")
    )
    return Trace(
        id=_trace_id(row),
        created_at=row.get("created_at") or time.time(),
        account=IMPORTED,
        window=IMPORTED,
        conversation=None,
        unit=None,
        arm=arm,
        status="complete",
        usage=usage,
        latency_s=row.get("latency_s") or 0.0,
        plan={
            "arm": arm,
            "policy": IMPORTED,
            "propensity": row.get("propensity"),
            "unknown": [name for name in ("cost_usd", "latency_s", "created_at") if row.get(name) is None],
        },
        prompt=json.dumps(
            {"messages": _messages(str(row["query"])), "max_completion_tokens": None, "parameters": {}}
        ),
        answer=row.get("response"),
        calls=(call,),
    )


def _trace_id(row: Mapping[str, Any]) -> str:
    names = ("dataset", "query_id", "query", "model", "strategy", "sample_index")
    return str(uuid.uuid5(_NAMESPACE, repr(tuple(row.get(name) for name in names))))


def _messages(question: str) -> Sequence[Mapping[str, Any]]:
    """The conversation behind an exported question: several messages travel as their JSON."""
    if question.startswith(_CONVERSATION):
        try:
            messages = json.loads(question)
        except ValueError:
            messages = None
        if isinstance(messages, list) and all(_is_message(message) for message in messages):
            return messages
    return [{"role": "user", "content": question}]


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and "role" in value
