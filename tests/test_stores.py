"""Stores: one suite for every implementation of the registry, on a file of its own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from fakes import ALLOWANCE, WINDOW, reserve, settle, trace_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.errors import StoreError
from router.ledger import Balance
from router.outcome import Outcome
from router.stores import STORES, Granted, Judge, KnowMenu, Refused, Reserve, Settle, Store
from router.stores.sqlite import Sqlite
from router.usage import Usage

Open = Callable[[], Store]


@pytest.fixture(params=list(STORES))
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same store anew, as often as it is called. A store that is no file needs its own line."""
    kind: Any = STORES[request.param]
    stores: list[Store] = []

    def again() -> Store:
        stores.append(kind(tmp_path / "state" / "effortwise.db"))
        return stores[-1]

    yield again
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Open) -> Store:
    """A new store."""
    return opened()


def test_a_trace_comes_back_whole(store: Store) -> None:
    """Every field of a trace, of its steps and of its calls survives the store."""
    trace = trace_of("t1", 123)
    store.apply([Settle(trace)])
    assert store.trace("t1") == trace
    assert list(store.traces()) == [trace]
    assert store.trace("t2") is None


def test_an_empty_trace_comes_back_as_empty(store: Store) -> None:
    """What is not known stays unknown."""
    trace = trace_of(
        "t1", conversation=None, unit=None, prompt=None, answer=None, error=None, steps=(), calls=(),
        wishes={}, plan={"arm": "small/direct"}, usage=Usage(),
    )  # fmt: skip
    store.apply([Settle(trace)])
    assert store.trace("t1") == trace


words = st.text(st.characters(blacklist_categories=("Cs",)), max_size=30)
finite = st.floats(0, 1e9, allow_nan=False)


@given(words, words, finite, finite, st.integers(0, 2**53))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_any_text_and_number_comes_back(
    text: str, more: str, created_at: float, latency_s: float, cost: int
) -> None:
    """Quotes, NULs, emojis, line breaks, and floats to the last bit."""
    memory = Sqlite(":memory:")
    trace = trace_of("t1", cost, created_at=created_at, latency_s=latency_s, answer=text, prompt=more)
    trace = replace(trace, plan={**trace.plan, text: more}, error=text, unit=more)
    trace = replace(trace, calls=tuple(replace(call, response=text, extracted=more) for call in trace.calls))
    memory.apply([Settle(trace), Judge(Outcome("t1", 0.1, text or "x", more, created_at))])
    assert memory.trace("t1") == trace
    assert list(memory.outcomes("t1")) == [Outcome("t1", 0.1, text or "x", more, created_at)]
    memory.close()


def test_a_reservation_is_held_until_its_trace_settles_it(store: Store) -> None:
    """Held, then replaced by what was billed; the rest is free again."""
    assert list(store.apply([reserve("t1", 60)])) == [Granted(100)]
    assert store.balance("team-a", WINDOW) == Balance(0, 60)
    assert store.account_of("t1") == "team-a"
    assert list(store.apply([reserve("t2", 41)])) == [Refused(40)]
    store.apply([settle("t1", 10)])
    assert store.balance("team-a", WINDOW) == Balance(10, 0)
    assert list(store.apply([reserve("t2", 90)])) == [Granted(90)]


def test_without_a_cap_spending_is_still_counted(store: Store) -> None:
    """An account without allowance is never refused."""
    assert list(store.apply([reserve("t1", 10**12, None), settle("t1", 10**11)])) == [None, None]
    assert store.balance("team-a", WINDOW) == Balance(10**11, 0)


def test_books_of_accounts_and_windows_are_apart(store: Store) -> None:
    """One account's spending is not another's, nor this month's the last one's."""
    store.apply([reserve("t1", 60), reserve("t2", 70, account="team-b"), reserve("t3", 80, window="total")])
    assert store.balance("team-a", WINDOW).reserved_nano == 60
    assert store.balance("team-b", WINDOW).reserved_nano == 70
    assert store.balance("team-a", "total").reserved_nano == 80
    assert store.balance("team-c", WINDOW) == Balance()


def test_a_trace_is_settled_in_the_window_in_which_it_was_reserved(store: Store) -> None:
    """A query that runs over midnight is charged where its money was held."""
    store.apply([reserve("t1", 60, window="day:1")])
    store.apply([settle("t1", 10, window="day:2")])
    assert store.balance("team-a", "day:1") == Balance(10, 0)
    assert store.balance("team-a", "day:2") == Balance()


@pytest.mark.parametrize("together", [True, False], ids=["in one group", "in two groups"])
def test_a_repeated_settlement_changes_nothing(store: Store, together: bool) -> None:
    """The first trace stands, with its calls and its charge, whatever the repeat says."""
    repeat = Settle(replace(trace_of("t1", 99, answer="other"), calls=trace_of("t1").calls * 2))
    first = [reserve("t1", 60), settle("t1", 10)]
    for group in [[*first, repeat]] if together else [first, [repeat]]:
        store.apply(group)
    assert store.trace("t1") == trace_of("t1", 10)
    assert store.balance("team-a", WINDOW) == Balance(10, 0)


@pytest.mark.parametrize("together", [True, False], ids=["in one group", "in two groups"])
@pytest.mark.parametrize("settled", [True, False])
def test_a_repeated_reservation_changes_nothing(store: Store, together: bool, settled: bool) -> None:
    """Neither while it stands nor after its trace came: no money is held twice or for ever."""
    first = [reserve("t1", 30), settle("t1", 10)] if settled else [reserve("t1", 30)]
    for group in [[*first, reserve("t1", 30)]] if together else [first, [reserve("t1", 30)]]:
        store.apply(group)
    assert store.balance("team-a", WINDOW) == (Balance(10, 0) if settled else Balance(0, 30))


def test_a_trace_without_a_reservation_is_charged_all_the_same(store: Store) -> None:
    """An imported trace, or one whose reservation was recovered elsewhere."""
    store.apply([settle("t1", 10)])
    assert store.balance("team-a", WINDOW) == Balance(10, 0)


def test_a_repeated_outcome_changes_nothing(store: Store) -> None:
    """Keyed by trace, source and id; another source or id is another outcome, another word is not."""
    said = [
        Outcome("t1", 1.0, "user", "", 1.0),
        Outcome("t1", 0.0, "user", "", 2.0),
        Outcome("t1", 0.5, "user", "second", 3.0),
        Outcome("t1", 0.0, "verifier:exact", "", 4.0),
        Outcome("t2", 0.25, "user", "", 5.0),
    ]
    store.apply([Judge(outcome) for outcome in said])
    store.apply([Judge(outcome) for outcome in said])
    assert list(store.outcomes("t1")) == [said[0], said[2], said[3]]
    assert list(store.outcomes()) == [said[0], said[2], said[3], said[4]]


def test_an_outcome_may_come_before_its_trace(store: Store) -> None:
    """It is kept until the trace is there."""
    store.apply([Judge(Outcome("t1", 1.0, "user"))])
    store.apply([settle("t1")])
    assert [outcome.reward for outcome in store.outcomes("t1")] == [1.0]


def test_recovery_makes_unfinished_traces_charged_in_full(store: Store, opened: Open) -> None:
    """After a crash every open reservation becomes a trace that carries its plan; twice changes nothing."""
    store.apply([reserve("t1", 60), reserve("t2", 30), settle("t1", 10)])
    again = opened()
    assert again.recover() == 1
    trace = again.trace("t2")
    assert trace is not None
    assert (trace.status, trace.usage.cost_nano, trace.arm) == ("unfinished", 30, "small/direct")
    assert (trace.account, trace.conversation, trace.unit) == ("team-a", "c1", "u1")
    assert trace.plan["propensity"] == 0.5
    assert again.balance("team-a", WINDOW) == Balance(40, 0)
    assert again.recover() == 0
    again.apply([settle("t2", 5)])
    assert again.trace("t2") == trace


def test_traces_are_read_in_order_of_time(store: Store) -> None:
    """From a time on, up to before another; those of one moment in order of their ids."""
    times = [5.0, 1.0, 3.0, 3.0, 4.0]
    store.apply([settle(f"t{i}", created_at=at) for i, at in enumerate(times)])
    assert [trace.id for trace in store.traces()] == ["t1", "t2", "t3", "t4", "t0"]
    assert [trace.id for trace in store.traces(3.0, 5.0)] == ["t2", "t3", "t4"]
    assert not list(store.traces(6.0))


def test_a_long_read_comes_in_pages_and_holds_no_lock(store: Store) -> None:
    """More than a page comes whole and in order, and writes go on between the pages."""
    store.apply([settle(f"t{i:05d}", created_at=float(i // 7), calls=[]) for i in range(2500)])
    reading = store.traces()
    first = next(reading)
    store.apply([settle("late", created_at=1e6, calls=[])])
    assert [first.id, *(trace.id for trace in reading)] == [*(f"t{i:05d}" for i in range(2500)), "late"]


def test_menus_are_remembered_in_order(store: Store) -> None:
    """A hash stands for its arms; a repeat changes nothing."""
    store.apply([KnowMenu("h1", {"b": "B", "a": "A"}), KnowMenu("h2", {})])
    store.apply([KnowMenu("h1", {"c": "C"})])
    assert store.menus() == {"h1": ["b", "a"], "h2": []}


@dataclass
class Book:
    """What the store should know, in plain Python."""

    open: dict[str, int] = field(default_factory=dict)
    traces: dict[str, int] = field(default_factory=dict)

    def do(self, action: tuple[str, int, int, int]) -> tuple[Reserve | Settle, bool]:
        """The operation of an action, and whether it is refused."""
        kind, number, amount, cost = action
        trace_id = f"t{number}"
        known = trace_id in self.open or trace_id in self.traces
        if kind == "reserve":
            refused = not known and amount > ALLOWANCE - self.spent - self.reserved
            if not known and not refused:
                self.open[trace_id] = amount
            return reserve(trace_id, amount), refused
        spent = min(cost, self.open.get(trace_id, 0))  # no upstream bills more than its worst case
        if trace_id not in self.traces:
            self.traces[trace_id] = spent
            self.open.pop(trace_id, None)
        return settle(trace_id, spent), False

    def recover(self) -> None:
        self.traces |= self.open
        self.open.clear()

    @property
    def spent(self) -> int:
        return sum(self.traces.values())

    @property
    def reserved(self) -> int:
        return sum(self.open.values())


actions = st.tuples(
    st.sampled_from(["reserve", "settle"]), st.integers(0, 6), st.integers(0, 60), st.integers(0, 60)
)
histories = st.lists(st.lists(actions, max_size=6) | st.just("recover"), max_size=8)


@pytest.mark.parametrize("name", list(STORES))
@given(history=histories)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_history_loses_or_makes_money(name: str, history: list[Any]) -> None:
    """Whatever is reserved, settled, repeated and recovered, in whatever groups: spent + reserved stays
    within the allowance, the reserved is the sum of open reservations, the spent that of the traces."""
    kind: Any = STORES[name]
    with TemporaryDirectory() as folder:
        store, book = kind(Path(folder) / "e.db"), Book()
        for group in history:
            if group == "recover":
                assert store.recover() == len(book.open)
                book.recover()
            else:
                expected = [book.do(action) for action in group]
                results = store.apply([operation for operation, _ in expected])
                assert [isinstance(r, Refused) for r in results] == [refused for _, refused in expected]
            balance = store.balance("team-a", WINDOW)
            assert balance == Balance(book.spent, book.reserved)
            assert balance.spent_nano + balance.reserved_nano <= ALLOWANCE
        assert {trace.id: trace.usage.cost_nano for trace in store.traces()} == book.traces
        assert {
            f"t{i}" for i in range(7) if store.account_of(f"t{i}")
        } == book.open.keys() | book.traces.keys()
        store.close()


def test_two_writers_cannot_overspend(opened: Open) -> None:
    """Two connections reserve at once: exactly as many reservations stand as the allowance covers."""
    stores = opened(), opened()
    granted: Counter[int] = Counter()
    start = threading.Barrier(2)

    def write(number: int) -> None:
        start.wait()
        for i in range(40):
            [result] = stores[number].apply([reserve(f"w{number}-{i}", 3)])
            granted[number] += isinstance(result, Granted)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(granted.values()) == ALLOWANCE // 3
    assert opened().balance("team-a", WINDOW) == Balance(0, ALLOWANCE // 3 * 3)


def test_a_group_that_is_being_written_keeps_others_out(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its first look at the book on, no other writer can come between."""
    monkeypatch.setattr("router.stores.sqlite._BUSY_MS", 20)
    first, second = opened(), opened()
    refused: list[StoreError] = []

    class Interrupted(list[Any]):
        """Operations during whose reading the other store tries to write."""

        def __iter__(self) -> Iterator[Any]:
            if not refused:
                try:
                    second.apply([reserve("t2", 60)])
                except StoreError as error:
                    refused.append(error)
            return super().__iter__()

    assert list(first.apply(Interrupted([reserve("t1", 60)]))) == [Granted(100)]
    assert len(refused) == 1
    assert list(second.apply([reserve("t2", 60)])) == [Refused(40)]


def test_one_store_serves_several_threads(store: Store) -> None:
    """A writer thread and readers share a connection without losing or mixing anything."""
    errors: list[BaseException] = []

    def read() -> None:
        try:
            for _ in range(30):
                assert all(len(trace.calls) == 2 for trace in store.traces())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(30):
        store.apply([settle(f"t{i}")])
    for thread in threads:
        thread.join()
    assert not errors
    assert len(list(store.traces())) == 30
