"""The SQLite schema as append-only steps: a released one is never edited, the next is added."""

from __future__ import annotations

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE traces (
        id TEXT PRIMARY KEY,
        created_at REAL NOT NULL,
        account TEXT NOT NULL,
        window TEXT NOT NULL,
        conversation TEXT,
        unit TEXT,
        arm TEXT NOT NULL,
        status TEXT NOT NULL,
        policy TEXT,
        predictor TEXT,
        propensity REAL,
        calls INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        cost_nano INTEGER NOT NULL,
        model_s REAL NOT NULL,
        latency_s REAL NOT NULL,
        prompt TEXT,
        answer TEXT,
        error TEXT,
        plan TEXT NOT NULL,
        wishes TEXT NOT NULL,
        steps TEXT NOT NULL
    );
    CREATE INDEX traces_by_time ON traces (created_at);
    CREATE TABLE calls (
        trace_id TEXT NOT NULL,
        position INTEGER NOT NULL,
        model TEXT NOT NULL,
        purpose TEXT NOT NULL,
        template TEXT NOT NULL,
        status TEXT NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        cost_nano INTEGER NOT NULL,
        model_s REAL NOT NULL,
        started_s REAL NOT NULL,
        response TEXT,
        error TEXT,
        estimated INTEGER NOT NULL,
        PRIMARY KEY (trace_id, position)
    ) WITHOUT ROWID;
    CREATE TABLE outcomes (
        trace_id TEXT NOT NULL,
        source TEXT NOT NULL,
        outcome_id TEXT NOT NULL,
        reward REAL NOT NULL CHECK (reward BETWEEN 0 AND 1),
        recorded_at REAL NOT NULL,
        PRIMARY KEY (trace_id, source, outcome_id)
    ) WITHOUT ROWID;
    CREATE TABLE reservations (
        trace_id TEXT PRIMARY KEY,
        account TEXT NOT NULL,
        window TEXT NOT NULL,
        amount_nano INTEGER NOT NULL,
        created_at REAL NOT NULL,
        conversation TEXT,
        unit TEXT,
        plan TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE balances (
        account TEXT NOT NULL,
        window TEXT NOT NULL,
        spent_nano INTEGER NOT NULL,
        reserved_nano INTEGER NOT NULL CHECK (reserved_nano >= 0),
        PRIMARY KEY (account, window)
    ) WITHOUT ROWID;
    CREATE TABLE menus (hash TEXT PRIMARY KEY, arms TEXT NOT NULL) WITHOUT ROWID;
    """,
    "ALTER TABLE calls ADD COLUMN extracted TEXT;",
)
