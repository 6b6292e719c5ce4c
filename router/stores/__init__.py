"""Stores: traces, outcomes and the ledger's book, behind one contract.

All writes are operations, applied in order and in groups, each group in one transaction. Reads see
every group that was committed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

from router.ledger import Balance
from router.outcome import Outcome
from router.registry import Registry
from router.trace import Trace


@dataclass(frozen=True, slots=True)
class Reserve:
    """Hold a plan's worst case. It carries the plan, so that a crash leaves a record of it. A repeat, or
    one whose trace is there already, changes nothing.

    allowance_nano: the account's cap in that window, ``None`` for none. window: the window's key.
    """

    trace_id: str
    account: str
    window: str
    amount_nano: int
    allowance_nano: int | None
    created_at: float
    plan: Mapping[str, Any]
    conversation: str | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """Append a trace and settle its reservation, if one stands. A trace that is there already (a
    repeat) changes nothing."""

    trace: Trace


@dataclass(frozen=True, slots=True)
class Judge:
    """Add an outcome; a repeat changes nothing."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class KnowMenu:
    """Remember what a menu's hash stands for: the arms' ids in order, with their descriptions."""

    hash: str
    arms: Mapping[str, str]


Operation: TypeAlias = Reserve | Settle | Judge | KnowMenu


@dataclass(frozen=True, slots=True)
class Refused:
    """The result of a ``Reserve`` that does not fit: what is left, nano-dollars."""

    left_nano: int


@dataclass(frozen=True, slots=True)
class Granted:
    """The result of a ``Reserve`` that fits an allowance: what was left before it, nano-dollars."""

    left_nano: int


Result: TypeAlias = Refused | Granted | None


class Store(Protocol):
    """Keeps what happened. Raises ``StoreError`` where it cannot now, another error where an operation
    is such that it never can; a group that raised changed nothing."""

    name: ClassVar[str]

    def apply(self, operations: Sequence[Operation]) -> Sequence[Result]:
        """Apply a group in order, in one transaction; one result each."""
        ...

    def trace(self, trace_id: str) -> Trace | None:
        """One trace, with its steps and calls."""
        ...

    def account_of(self, trace_id: str) -> str | None:
        """Whose trace it is; also for one that is reserved and not yet settled."""
        ...

    def traces(self, since: float = 0.0, until: float | None = None) -> Iterator[Trace]:
        """Traces created in [since, until), Unix seconds, in order of time."""
        ...

    def outcomes(self, trace_id: str | None = None) -> Iterator[Outcome]:
        """The outcomes of one trace, or all, in order of their recording."""
        ...

    def balance(self, account: str, window: str) -> Balance:
        """One account's book for one window."""
        ...

    def menus(self) -> Mapping[str, Sequence[str]]:
        """Menu hash -> the arms' ids in order."""
        ...

    def recover(self) -> int:
        """Turn every open reservation into an unfinished trace that is charged in full; how many.
        To be called at start, when no process that could still settle them is alive."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...


STORES: Registry[Store] = Registry("store", "router.stores")
