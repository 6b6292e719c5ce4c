"""SQLite (WAL): the embedded store. One connection writes; other processes may read meanwhile.

A group of operations is one transaction of a handful of statements, whatever its size.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import orjson

from router.errors import StoreError
from router.ledger import Balance
from router.outcome import Outcome
from router.stores import Granted, Judge, KnowMenu, Operation, Refused, Reserve, Result, Settle
from router.stores._migrations import MIGRATIONS
from router.stores._rows import (
    CALL_COLUMNS,
    RESERVATION_COLUMNS,
    TRACE_COLUMNS,
    call_record,
    call_row,
    reservation_row,
    trace_of,
    trace_row,
    unfinished,
)
from router.trace import Trace

_BUSY_MS = 2_000
_CHANGES_NOTHING = "ON CONFLICT DO NOTHING"  # unlike OR IGNORE, it lets no value pass that is missing


class Sqlite:
    """The store in one SQLite file. ``StoreError`` where the file cannot be opened, is locked or full.

    synchronous: ``normal`` survives the process being killed; ``full`` also a power cut, at one fsync
    a group.
    """

    name: ClassVar[str] = "sqlite"

    def __init__(self, path: Path | str, synchronous: Literal["normal", "full"] = "normal") -> None:
        self._path = str(path)
        self._lock = threading.RLock()
        try:
            if self._path != ":memory:":
                Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self._path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False
            )
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"The store {self._path} cannot be opened: {error}.") from error
        try:
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(f"PRAGMA synchronous = {synchronous}")
            self._migrate()
        except (sqlite3.Error, StoreError) as error:
            self._connection.close()
            raise StoreError(f"The store {self._path} cannot be opened: {error}.") from error

    def apply(self, operations: Sequence[Operation]) -> Sequence[Result]:
        """Apply a group in one transaction (see ``router.stores.Store``)."""
        group = _Group(operations)
        with self._transaction():
            return group.write(self._connection)

    def trace(self, trace_id: str) -> Trace | None:
        """One trace."""
        return next(self._traces("WHERE id = ?", (trace_id,)), None)

    def account_of(self, trace_id: str) -> str | None:
        """Whose trace or reservation it is."""
        rows = self._rows(
            "SELECT account FROM traces WHERE id = ?1 "
            "UNION SELECT account FROM reservations WHERE trace_id = ?1",
            (trace_id,),
        )
        return rows[0][0] if rows else None

    def traces(self, since: float = 0.0, until: float | None = None) -> Iterator[Trace]:
        """Traces in order of time, a page at a time, so that a long read holds no lock."""
        place: tuple[float, str] = since, ""
        end = float("inf") if until is None else until
        while page := list(
            self._traces(
                "WHERE (created_at, id) > (?, ?) AND created_at < ? ORDER BY created_at, id LIMIT 1000",
                (*place, end),
            )
        ):
            yield from page
            place = page[-1].created_at, page[-1].id

    def outcomes(self, trace_id: str | None = None) -> Iterator[Outcome]:
        """Outcomes in order of their recording."""
        where = "WHERE trace_id = ?" if trace_id else ""
        columns = "trace_id, reward, source, outcome_id, recorded_at"
        query = f"SELECT {columns} FROM outcomes {where} ORDER BY recorded_at"  # noqa: S608  # no value in it
        return (Outcome(*row) for row in self._rows(query, (trace_id,) if trace_id else ()))

    def balance(self, account: str, window: str) -> Balance:
        """One book; zeros where nothing was ever reserved."""
        query = "SELECT spent_nano, reserved_nano FROM balances WHERE account = ? AND window = ?"
        rows = self._rows(query, (account, window))
        return Balance(*rows[0]) if rows else Balance()

    def menus(self) -> Mapping[str, Sequence[str]]:
        """Menu hash -> arm ids in order."""
        return {
            name: list(orjson.loads(arms)) for name, arms in self._rows("SELECT hash, arms FROM menus", ())
        }

    def recover(self) -> int:
        """Open reservations become unfinished traces, charged in full."""
        rows = self._rows("SELECT * FROM reservations ORDER BY created_at", ())
        if rows:
            self.apply([Settle(unfinished(row)) for row in rows])
        return len(rows)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
            except BaseException as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError:
                    raise StoreError(f"The store {self._path} cannot be written: {error}.") from error
                if isinstance(error, sqlite3.Error):
                    raise ValueError(f"An operation that no store can take: {error}.") from error
                raise

    def _rows(self, query: str, values: Sequence[Any]) -> list[Any]:
        with self._lock:
            try:
                return self._connection.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise StoreError(f"The store {self._path} cannot be read: {error}.") from error

    def _traces(self, where: str, values: Sequence[Any]) -> Iterator[Trace]:
        rows = self._rows(f"SELECT {', '.join(TRACE_COLUMNS)} FROM traces {where}", values)  # noqa: S608  # constants
        ids = orjson.dumps([row[0] for row in rows]).decode()
        columns = ", ".join(("trace_id", *CALL_COLUMNS))
        calls: dict[str, list[Any]] = {}
        for row in self._rows(
            f"SELECT {columns} FROM calls WHERE trace_id IN (SELECT value FROM json_each(?)) "  # noqa: S608  # constants
            "ORDER BY trace_id, position",
            (ids,),
        ):
            calls.setdefault(row[0], []).append(call_record(row[1:]))
        return (trace_of(row, calls.get(row[0], [])) for row in rows)

    def _migrate(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise StoreError(f"it was written by a newer version ({version})")
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;"
            )


class _Group:
    """One group of operations on its way into one transaction."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = operations
        self.settled: dict[str, Trace] = {}  # traces that this group appends
        self.balances: dict[tuple[str, str], Balance] = {}
        self.held: dict[str, tuple[str, str, int]] = {}  # trace id -> account, window, amount
        self.known: set[str] = set()  # traces that are in the store by now
        self.reserved: dict[str, Reserve] = {}

    def write(self, connection: sqlite3.Connection) -> list[Result]:
        self._read(connection)
        results = [self._result(operation) for operation in self.operations]
        self._write_book(connection)
        self._write_traces(connection)
        self._write_rest(connection)
        return results

    def _read(self, connection: sqlite3.Connection) -> None:
        traces = [op.trace for op in self.operations if isinstance(op, Settle)]
        reserves = [op for op in self.operations if isinstance(op, Reserve)]
        if traces or reserves:
            ids = _json([*(trace.id for trace in traces), *(op.trace_id for op in reserves)])
            inside = "IN (SELECT value FROM json_each(?))"
            rows = connection.execute(
                f"SELECT trace_id, account, window, amount_nano FROM reservations WHERE trace_id {inside}",  # noqa: S608  # constants
                (ids,),
            )
            self.held = {row[0]: row[1:] for row in rows}
            self.known = {
                row[0]
                for row in connection.execute(f"SELECT id FROM traces WHERE id {inside}", (ids,))  # noqa: S608  # constants
            }
        books = {(op.account, op.window) for op in reserves}
        books |= {(account, window) for account, window, _ in self.held.values()}
        books |= {(trace.account, trace.window) for trace in traces}
        rows = connection.execute(
            "SELECT b.account, b.window, spent_nano, reserved_nano FROM json_each(?) AS j JOIN balances AS b "
            "ON b.account = json_extract(j.value, '$[0]') AND b.window = json_extract(j.value, '$[1]')",
            (_json(sorted(books)),),
        )
        self.balances = {row[:2]: Balance(*row[2:]) for row in rows}

    def _result(self, operation: Operation) -> Result:
        if isinstance(operation, Reserve):
            return self._reserve(operation)
        if isinstance(operation, Settle):
            self._settle(operation.trace)
        return None

    def _reserve(self, operation: Reserve) -> Refused | Granted | None:
        if operation.trace_id in self.held or operation.trace_id in self.known:
            return None
        book = operation.account, operation.window
        balance = self.balances.get(book, Balance())
        left = balance.left_nano(operation.allowance_nano)
        if left is not None and operation.amount_nano > left:
            return Refused(left)
        self.balances[book] = balance.reserve(operation.amount_nano)
        self.reserved[operation.trace_id] = operation
        self.held[operation.trace_id] = (*book, operation.amount_nano)
        return None if left is None else Granted(left)

    def _settle(self, trace: Trace) -> None:
        if trace.id in self.known:
            return
        self.known.add(trace.id)
        self.settled[trace.id] = trace
        account, window, amount = self.held.pop(trace.id, (trace.account, trace.window, 0))
        self.reserved.pop(trace.id, None)
        balance = self.balances.get((account, window), Balance())
        self.balances[account, window] = balance.settle(amount, trace.usage.cost_nano)

    def _write_book(self, connection: sqlite3.Connection) -> None:
        books = [
            (*book, balance.spent_nano, balance.reserved_nano) for book, balance in self.balances.items()
        ]
        if books:
            columns = ("account", "window", "spent_nano", "reserved_nano")
            _insert(connection, "balances", columns, books, "OR REPLACE")
        if self.reserved:
            rows = [reservation_row(operation) for operation in self.reserved.values()]
            _insert(connection, "reservations", RESERVATION_COLUMNS, rows)

    def _write_traces(self, connection: sqlite3.Connection) -> None:
        if not self.settled:
            return
        traces = self.settled.values()
        connection.execute(
            "DELETE FROM reservations WHERE trace_id IN (SELECT value FROM json_each(?))",
            (_json(list(self.settled)),),
        )
        _insert(connection, "traces", TRACE_COLUMNS, [trace_row(trace) for trace in traces])
        rows = [(trace.id, i, *call_row(call)) for trace in traces for i, call in enumerate(trace.calls)]
        if rows:
            _insert(connection, "calls", ("trace_id", "position", *CALL_COLUMNS), rows)

    def _write_rest(self, connection: sqlite3.Connection) -> None:
        outcomes = [op.outcome for op in self.operations if isinstance(op, Judge)]
        if outcomes:
            rows = [(o.trace_id, o.source, o.outcome_id, o.reward, o.recorded_at) for o in outcomes]
            columns = ("trace_id", "source", "outcome_id", "reward", "recorded_at")
            _insert(connection, "outcomes", columns, rows, repeat=_CHANGES_NOTHING)
        menus = [(op.hash, _json(op.arms)) for op in self.operations if isinstance(op, KnowMenu)]
        if menus:
            _insert(connection, "menus", ("hash", "arms"), menus, repeat=_CHANGES_NOTHING)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _insert(
    connection: sqlite3.Connection,
    table: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    conflict: str = "",
    repeat: str = "",
) -> None:
    """Insert all rows of a group."""
    marks = ", ".join("?" * len(columns))
    statement = f"INSERT {conflict} INTO {table} ({', '.join(columns)}) VALUES ({marks}) {repeat}"  # noqa: S608  # constants
    connection.executemany(statement, rows)
