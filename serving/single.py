"""One server per SQLite store: its ledger's open reservations belong to that one process."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from router.errors import ConfigurationError


@contextmanager
def only_server(store: Path) -> Iterator[None]:
    """Hold the store's lock file; ``ConfigurationError`` where another server holds it. The lock ends
    with the process, however that ends."""
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"store.path: the folder {store.parent} cannot be made: {error}.") from None
    with store.with_name(store.name + ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigurationError(
                f"Another server uses the store {store}. Stop it, or give this one a store.path of its own."
            ) from None
        yield
