"""The one place where chance enters a decision; seeded by the query, so it can be replayed."""

from __future__ import annotations

import hashlib

import numpy as np

from router.estimate import FloatArray

_TOLERANCE = 1e-6


def uniform(salt: str, key: str) -> float:
    """A number in [0, 1), a pure function of salt and key.

    >>> uniform("arm", "q1") == uniform("arm", "q1") != uniform("arm", "q2")
    True
    """
    digest = hashlib.blake2b(f"{salt}:{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53  # as many bits as a float holds: never 1.0


def draw(distribution: FloatArray, query_id: str) -> int:
    """The position drawn from a distribution over arms, shape (arms,), by inversion. ``ValueError``
    where it does not sum to one."""
    cumulated = distribution.cumsum()
    total = float(cumulated[-1])
    if not abs(total - 1.0) < _TOLERANCE:
        raise ValueError(f"A policy's probabilities must sum to one, not to {total}.")
    position = int(cumulated.searchsorted(uniform("arm", query_id) * total, side="right"))
    return position if position < len(cumulated) else int(np.flatnonzero(distribution)[-1])
