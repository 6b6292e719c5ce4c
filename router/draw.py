"""The one place where chance enters a decision; seeded by the query, so it can be replayed."""

from __future__ import annotations

import hashlib

import numpy as np

from router.estimate import FloatArray


def uniform(salt: str, key: str) -> float:
    """A number in [0, 1), a pure function of salt and key.

    >>> uniform("arm", "q1") == uniform("arm", "q1") != uniform("arm", "q2")
    True
    """
    digest = hashlib.blake2b(f"{salt}:{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def draw(distribution: FloatArray, query_id: str) -> int:
    """The position drawn from a distribution over arms, shape (arms,), by inversion."""
    cumulated = np.cumsum(distribution)
    position = int(np.searchsorted(cumulated, uniform("arm", query_id) * cumulated[-1], side="right"))
    return min(position, int(np.flatnonzero(distribution)[-1]))
