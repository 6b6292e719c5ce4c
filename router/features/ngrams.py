"""N-grams: hashed words and characters of the question, for a sparse linear model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from router.estimate import FloatArray
from router.features import EXCERPT_CHARACTERS, IntArray, Sparse, excerpt
from router.query import Query

_BITS = 15
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
_FIRST = np.ones(1, np.bool_)

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
        """Words in [0, 2**15), characters in [2**15, 2**16)."""
        text = excerpt(query.text).lower().encode(errors="replace").translate(_DIGITS)
        word_buckets, word_values = _weigh(_word_hashes(text))
        character_buckets, character_values = _weigh(_character_hashes(b" " + text + b" "))
        buckets = np.concatenate((word_buckets, character_buckets + BUCKETS))
        return buckets, np.concatenate((word_values, character_values))


def _word_hashes(text: bytes) -> Hashes:
    words = np.array(list(map(crc32, text.translate(_WORDS).split())), np.uint32)
    pairs = (words[:-1] * _PAIR) ^ words[1:]
    return np.concatenate((words, pairs)) * _SPREAD


def _character_hashes(text: bytes) -> Hashes:
    """Polynomial hashes of all windows of 3, 4 and 5 bytes; the length is part of the hash."""
    codes = np.frombuffer(text, np.uint8).astype(np.uint32) + np.uint32(1)
    rolling = codes
    hashes = []
    for length in range(2, 6):
        if len(text) < length:
            break
        rolling = rolling[:-1] * _BASE + codes[length - 1 :]
        if length >= 3:
            hashes.append(rolling * _SPREAD)
    return np.concatenate(hashes) if hashes else np.zeros(0, np.uint32)


def _weigh(hashes: Hashes) -> tuple[IntArray, FloatArray]:
    """The distinct buckets, from the hashes' upper bits, and their log counts over the norm."""
    if not len(hashes):
        return np.zeros(0, np.int64), np.zeros(0)
    ordered = np.sort((hashes >> _SHIFT).astype(np.uint16))  # 16-bit integers sort fastest by far
    starts = np.flatnonzero(np.concatenate((_FIRST, ordered[1:] != ordered[:-1])))
    counts = np.diff(starts, append=len(ordered))
    values = _LOG_COUNTS[counts]
    return ordered[starts].astype(np.int64), values / np.sqrt(values @ values)
