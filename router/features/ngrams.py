"""N-grams: hashed words and characters of the question, for a sparse linear model."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import ClassVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from router.features import EXCERPT_CHARACTERS, Sparse, excerpt
from router.query import Query

_BITS = 16  # 16-bit integers sort fastest by far
BUCKETS = 1 << _BITS
"""Buckets of the words' space, and as many again of the characters'."""

_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_IN_WORDS = frozenset(b"abcdefghijklmnopqrstuvwxyz0").union(range(0x80, 0x100))
_WORDS = bytes(code if code in _IN_WORDS else ord(" ") for code in range(256))
_PAIR = np.uint32(0x9E3779B1)  # odd, near 2**32 / golden ratio: Knuth's multiplicative hashing
_SPREAD = np.uint32(0x85EBCA6B)
_BASE = np.uint32(0x01000193)  # the FNV prime, as the base of the polynomial
_SHIFT = np.uint32(32 - _BITS)
_MOST = 3 * 4 * (2 * EXCERPT_CHARACTERS + 4)  # 3 windows start at a byte, a character has at most 4
_LOG_COUNTS = np.log1p(np.arange(_MOST))

Hashes = NDArray[np.uint32]


class Ngrams:
    """Word 1-2-grams and character 3-5-grams of the lower-cased excerpt, log counts, each of the two
    groups of l2 norm one.

    Every digit counts as 0: how long a number is tells more about the difficulty than which it is,
    and questions that differ only in their numbers share their buckets.
    """

    name: ClassVar[str] = "ngrams"
    summary: ClassVar[str] = "hashed word 1-2-grams and character 3-5-grams of the question"
    columns: Sequence[str] = ()
    buckets = 2 * BUCKETS

    def dense(self, query: Query) -> Sequence[float]:
        """Nothing dense."""
        return ()

    def sparse(self, query: Query) -> Sparse:
        """Words in [0, 2**16), characters in [2**16, 2**17)."""
        text = excerpt(query.text).lower().encode(errors="replace").translate(_DIGITS)
        words = _weigh(_word_hashes(text))
        characters = _weigh(_character_hashes(b" " + text + b" "))
        return (
            np.concatenate((words[0], characters[0] + BUCKETS)),
            np.concatenate((words[1], characters[1])),
        )


def _word_hashes(text: bytes) -> list[Hashes]:
    """Of the words and of the pairs of neighbours."""
    words = np.fromiter(map(crc32, text.translate(_WORDS).split()), np.uint32)
    pairs = words[:-1] * _PAIR
    pairs ^= words[1:]
    return [words, pairs]


def _character_hashes(text: bytes) -> list[Hashes]:
    """Polynomial hashes of all windows of 3, 4 and 5 bytes; the length is part of the hash."""
    codes = np.frombuffer(text, np.uint8) + np.uint32(1)
    rolling, hashes = codes, []
    for length in range(2, min(len(text), 5) + 1):
        rolling = rolling[:-1] * _BASE
        rolling += codes[length - 1 :]
        hashes.append(rolling)
    return hashes[1:]


def _weigh(group: list[Hashes]) -> Sparse:
    """The distinct buckets of a group, and their log counts over its norm."""
    if not sum(map(len, group)):
        return np.zeros(0, np.int64), np.zeros(0)
    hashes = np.concatenate(group)
    hashes *= _SPREAD
    hashes >>= _SHIFT
    ordered = hashes.astype(np.uint16)
    ordered.sort()
    ends = np.concatenate((np.flatnonzero(ordered[1:] != ordered[:-1]), [len(ordered) - 1]))
    counts = ends.copy()
    counts[1:] -= ends[:-1]
    counts[0] += 1
    values = _LOG_COUNTS[counts]
    values /= sqrt(values @ values)
    return ordered[ends].astype(np.int64), values
