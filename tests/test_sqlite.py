"""The SQLite store: what holds of its file alone."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import WINDOW, reserve, settle, trace_of

from router.errors import StoreError
from router.ledger import Balance
from router.stores import Granted, Settle
from router.stores._migrations import MIGRATIONS
from router.stores.sqlite import Sqlite
from router.trace import Trace


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database file would be."""
    return tmp_path / "effortwise.db"


def test_a_group_that_fails_changes_nothing(path: Path) -> None:
    """An operation that no store can take takes its group with it, whole."""
    store = Sqlite(path)
    broken = Settle(replace(trace_of("t2"), created_at=None))  # a time is never null
    with pytest.raises(ValueError, match="no store can take"):
        store.apply([reserve("t1", 60), broken])
    assert store.balance("team-a", WINDOW) == Balance()
    assert store.account_of("t1") is None
    assert list(store.apply([reserve("t1", 60)])) == [Granted(100)]
    store.close()


def test_a_locked_file_raises_and_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that writes for too long: an error in time, and the next attempt succeeds."""
    monkeypatch.setattr("router.stores.sqlite._BUSY_MS", 20)
    store = Sqlite(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.apply([reserve("t1", 60)])
    assert store.balance("team-a", WINDOW) == Balance()
    other.execute("ROLLBACK")
    other.close()
    assert list(store.apply([reserve("t1", 60)])) == [Granted(100)]
    store.close()


def test_a_read_only_store_raises_and_changes_nothing(path: Path) -> None:
    """A file that cannot be written: reads go on, writes raise."""
    store = Sqlite(path)
    store.apply([settle("t1")])
    store._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreError, match="readonly"):
        store.apply([settle("t2")])
    assert [trace.id for trace in store.traces()] == ["t1"]
    store.close()


def test_a_full_disk_raises_and_changes_nothing(path: Path) -> None:
    """When no page is left the group is rolled back."""
    store = Sqlite(path)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="full"):
        store.apply([settle(f"t{i}", answer="x" * 5000) for i in range(100)])
    assert not list(store.traces())
    store.close()


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be one" * 100, None])
def test_what_is_no_database_cannot_be_opened(path: Path, content: bytes | None) -> None:
    """Another file, or a folder: the error names the path."""
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be opened") as raised:
        Sqlite(path)
    assert str(path) in str(raised.value)


def test_an_empty_file_is_migrated_and_an_old_one_brought_up(path: Path) -> None:
    """From version 0 on, step by step; what an older version wrote is kept and can be read."""
    old = sqlite3.connect(path)
    old.executescript(f"{MIGRATIONS[0]} PRAGMA user_version = 1;")
    old.execute("INSERT INTO balances VALUES ('team-a', ?, 7, 0)", (WINDOW,))
    old.commit()
    old.close()
    store = Sqlite(path)
    assert store._connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
    assert store.balance("team-a", WINDOW) == Balance(7, 0)
    store.apply([settle("t1", 3)])
    assert store.trace("t1") == trace_of("t1", 3)
    store.close()
    again = Sqlite(path)
    assert again.trace("t1") == trace_of("t1", 3)
    again.close()


def test_a_newer_file_is_refused_and_left_alone(path: Path) -> None:
    """An older version must not write what it does not understand."""
    Sqlite(path).close()
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    newer.close()
    with pytest.raises(StoreError, match=rf"newer version \({len(MIGRATIONS) + 1}\)"):
        Sqlite(path)


def test_the_store_waits_in_wal_mode_and_survives_a_kill(path: Path) -> None:
    """What was applied is there for whoever opens the file next, with no close in between."""
    store = Sqlite(path, synchronous="full")
    assert store._connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    store.apply([settle("t1")])
    other = Sqlite(path)
    found: Trace | None = other.trace("t1")
    assert found == trace_of("t1")
    store.close()
    other.close()
