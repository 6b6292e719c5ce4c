"""``effortwise traces``: the store's traces in and out."""

from __future__ import annotations

from pathlib import Path

from router.configuration import Configuration, load_configuration
from router.stores.sqlite import Sqlite
from training.exchange import Exchanged, export_traces, import_traces


def export(config: Path, path: Path) -> None:
    """Write the store's traces to a Parquet file."""
    store = open_store(load_configuration(config))
    try:
        _say(export_traces(store, path), f"written to {path}")
    finally:
        store.close()


def import_(config: Path, path: Path, dataset: str | None) -> None:
    """Read a Parquet file into the store."""
    store = open_store(load_configuration(config))
    try:
        _say(import_traces(store, path, dataset), f"read from {path}")
    finally:
        store.close()


def open_store(configuration: Configuration) -> Sqlite:
    """The configured store."""
    return Sqlite(configuration.store.path, configuration.store.synchronous)


def _say(exchanged: Exchanged, what: str) -> None:
    print(f"{exchanged.rows} traces {what}")
    for reason, count in exchanged.left_out.items():
        print(f"  left out {count}: {reason}")
