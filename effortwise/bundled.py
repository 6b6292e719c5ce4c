"""What ships with the project: the recorded pool and the bundle trained on it."""

from __future__ import annotations

from pathlib import Path

from router.configuration import BUILTIN, Configuration

DATA = Path(__file__).parent / "data"
POOL = DATA / "pool.parquet"
BUNDLE = DATA / "bundle"


def starting_bundle(configuration: Configuration) -> Path | None:
    """The folder of the bundle that the configuration begins with, ``None`` for the prior."""
    named = configuration.decision.bundle
    if named is None:
        return None
    return BUNDLE if named == BUILTIN else Path(named)
