"""The pool: recorded answers of the embedded model to the workload, for every template several draws.

Recorded once by the project's own command, shipped, and replayed ever after. Finished calls are
appended to a file of JSON lines, so that an interruption loses none; ``seal_pool`` writes what is whole
as Parquet in the interchange format of traces.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from rich.progress import MofNCompleteColumn, Progress

from effortwise.task import Task
from effortwise.workload import generate, judge
from router.answers import extract_answer
from router.backend import Backend
from router.call import Call, Completion
from router.errors import ConfigurationError
from router.tariff import Tariff, to_usd
from router.templates import render
from training.interchange import INTERCHANGE

Row: TypeAlias = dict[str, Any]

DATASET = "effortwise_workload"
MODEL = "smollm2"
NOTIONAL_TARIFF = Tariff(0.06, 0.24)
TEMPLATES = ("direct", "chain_of_thought")
"""Of which the pool holds draws; every vote and best-of-n over them can be replayed."""
MAX_CALLS_IN_FLIGHT = 4
MAX_ANSWER_CHARACTERS = 300

SCHEMA = pa.schema(
    [*INTERCHANGE, ("family", pa.string()), ("difficulty", pa.int32()), ("verifier", pa.string())]
)
"""The interchange format's columns, then ours: family, difficulty, and verifier, the JSON text of the
live verifier's specification. ``strategy`` is the prompt template of one draw; ``latency_s`` is the
wall time of a call among ``MAX_CALLS_IN_FLIGHT``."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One call to record."""

    task: Task
    template: str
    sample_index: int

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes it one draw of the pool."""
        return question_key(self.task.prompt), self.template, self.sample_index

    def call(self) -> Call:
        """The call, with a seed of its own, so that draws are independent and can be made again."""
        query = self.task.query()
        seed = zlib.crc32(repr(self.key).encode())
        return Call(
            MODEL,
            render(self.template, query.messages),
            query.max_completion_tokens or 1,
            {**query.parameters, "seed": seed},
            self.template,
        )


def question_key(question: str) -> str:
    """First 16 hex digits of the SHA-256 of the question, up to case and whitespace."""
    return hashlib.sha256(" ".join(question.casefold().split()).encode()).hexdigest()[:16]


def split_of(key: str) -> str:
    """``train`` for 70 % of question keys, ``test`` for the others."""
    return "train" if int(hashlib.sha256(key.encode()).hexdigest(), 16) % 10 < 7 else "test"


def record_pool(
    path: Path,
    seed: int,
    queries: int,
    samples: int,
    *,
    work_path: Path | None = None,
    backend: Backend | None = None,
    tariff: Tariff = NOTIONAL_TARIFF,
    quiet: bool = False,
) -> Path:
    """Record ``samples`` draws of every template for each of ``queries`` tasks and seal them at ``path``.

    work_path: the file of finished calls, ``path`` with the suffix ``.jsonl`` by default; where it
    exists, the recording goes on behind it. backend: the packaged embedded model by default; closed
    at the end. quiet: without the progress bar.
    """
    tasks = generate(seed, queries)
    with Progress(*Progress.get_default_columns(), MofNCompleteColumn(), disable=quiet) as bar:
        shown = bar.add_task("recording", total=len(draws(tasks, samples)))
        return record_tasks(
            path,
            tasks,
            samples,
            lambda: bar.advance(shown),
            work_path=work_path,
            backend=backend,
            tariff=tariff,
        )


def record_tasks(
    path: Path,
    tasks: Sequence[Task],
    samples: int,
    advance: Callable[[], None],
    *,
    work_path: Path | None = None,
    backend: Backend | None = None,
    tariff: Tariff = NOTIONAL_TARIFF,
) -> Path:
    """As ``record_pool``, for given tasks. advance: called once for every draw that is on record."""
    work = work_path or path.with_suffix(".jsonl")
    recorded = {_key_of(row) for row in _mend(work)}
    todo = []
    for draw in draws(tasks, samples):
        if draw.key in recorded:
            advance()
        else:
            todo.append(draw)
    asyncio.run(_record(todo, work, backend or _embedded(), tariff, advance))
    return seal_pool(work, path, samples)


def draws(tasks: Sequence[Task], samples: int) -> list[Draw]:
    """Every draw of a pool, task by task, so that an interrupted recording has whole ones."""
    return [
        Draw(task, template, index) for task in tasks for template in TEMPLATES for index in range(samples)
    ]


def _embedded() -> Backend:
    from serving.backends.llama_cpp import LlamaCpp

    return LlamaCpp(slots=MAX_CALLS_IN_FLIGHT, context_tokens=1024)


async def _record(
    todo: Sequence[Draw], work: Path, backend: Backend, tariff: Tariff, advance: Callable[[], None]
) -> None:
    waiting = iter(todo)

    async def draw_on() -> None:
        for draw in waiting:
            _append(work, await _draw(draw, backend, tariff))
            advance()

    try:
        await asyncio.gather(*(draw_on() for _ in range(MAX_CALLS_IN_FLIGHT)))
    finally:
        await backend.aclose()


async def _draw(draw: Draw, backend: Backend, tariff: Tariff) -> Row:
    began = time.perf_counter()
    completion = await backend.complete(draw.call())
    return _row(draw, completion, time.perf_counter() - began, tariff)


def _row(draw: Draw, completion: Completion, latency_s: float, tariff: Tariff) -> Row:
    task, text = draw.task, completion.text
    cost_nano = tariff.cost_nano(completion.prompt_tokens, completion.completion_tokens)
    answer = extract_answer(task.query(), text)
    key = question_key(task.prompt)
    return {
        "dataset": DATASET,
        "domain": task.domain,
        "query_id": task.id,
        "query": task.prompt,
        "reference": task.reference,
        "model": MODEL,
        "strategy": draw.template,
        "sample_index": draw.sample_index,
        "answer": answer and answer[:MAX_ANSWER_CHARACTERS],
        "response": text,
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "token_source": "logged",
        "cost_usd": to_usd(cost_nano),
        "latency_s": round(latency_s, 4),
        "score": judge(task, text),
        "confidence": None,
        "split": split_of(key),
        "question_key": key,
        "family": task.family,
        "difficulty": task.difficulty,
        "verifier": orjson.dumps(task.verifier).decode() if task.verifier else None,
    }


def _append(work: Path, row: Row) -> None:
    with work.open("ab") as file:
        file.write(orjson.dumps(row) + b"\n")


def read_rows(work: Path) -> list[Row]:
    """The finished rows of a work file, in order; a last line cut by an interruption is left out."""
    return [orjson.loads(line) for line in _whole_lines(work).splitlines()]


def _mend(work: Path) -> list[Row]:
    """The finished rows; what an interruption cut is gone from the file."""
    if work.exists():
        with work.open("r+b") as file:
            file.truncate(len(_whole_lines(work)))
    return read_rows(work)


def _whole_lines(work: Path) -> bytes:
    content = work.read_bytes() if work.exists() else b""
    return content[: content.rfind(b"\n") + 1]


def _key_of(row: Row) -> tuple[str, str, int]:
    return (row["question_key"], row["strategy"], row["sample_index"])


def seal_pool(work: Path, path: Path, samples: int) -> Path:
    """Write the queries of a work file that have all their draws as Parquet; the recording may be
    going on. ``ConfigurationError`` where there is none."""
    rows = list(whole_queries(read_rows(work), samples))
    if not rows:
        raise ConfigurationError(f"{work} holds no query with all its {samples} draws of each template.")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), unfinished, compression="zstd")
    unfinished.replace(path)
    return path


def whole_queries(rows: Sequence[Row], samples: int) -> Iterable[Row]:
    """The rows of queries with ``samples`` draws of each template, ordered by template and draw."""
    order = {key: position for position, key in enumerate(dict.fromkeys(row["question_key"] for row in rows))}
    unique = {_key_of(row): row for row in rows}
    counts = Counter(key for key, _, index in unique if index < samples)
    kept = [
        row
        for (key, _, index), row in unique.items()
        if index < samples and counts[key] == samples * len(TEMPLATES)
    ]
    return sorted(kept, key=lambda row: (order[row["question_key"]], row["strategy"], row["sample_index"]))


def load_pool(path: Path) -> pa.Table:
    """The pool as a table of ``SCHEMA``; ``ConfigurationError`` where it is missing or another table."""
    try:
        table = pq.read_table(path)
        return table.select(SCHEMA.names).cast(SCHEMA)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise ConfigurationError(f"{path} is no pool of recorded answers: {error}") from error
