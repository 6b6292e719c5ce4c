"""``effortwise record-pool``: the embedded model's answers to the checkable workload."""

from __future__ import annotations

from pathlib import Path

from effortwise.pool import record_pool


def record(path: Path, queries: int, samples: int, seed: int) -> None:
    """Record, with a progress bar; an interrupted recording goes on where it stopped."""
    sealed = record_pool(path, seed, queries, samples)
    print(f"{sealed} written; its work file {path.with_suffix('.jsonl')} may be deleted")
