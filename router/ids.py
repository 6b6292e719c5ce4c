"""Time-ordered ids (UUIDv7): sorting by id is sorting by time."""

from __future__ import annotations

import uuid_utils


def new_id() -> str:
    """A fresh UUIDv7 as its 36-character string.

    >>> len(new_id()), new_id() < new_id()
    (36, True)
    """
    return str(uuid_utils.uuid7())
