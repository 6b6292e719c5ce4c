"""Split: rounds to fit and to test on, by time, near-duplicates kept together."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from training.rounds import Round, normalised

IntArray = NDArray[np.int64]

TEST_SHARE = 0.2
"""Of the rounds."""

SHINGLE_WORDS = 3
LONG_TEXT_WORDS = 20
BANDS, ROWS_PER_BAND = 8, 8
"""Texts of Jaccard similarity s share a band with probability 1 - (1 - s^8)^8: 0.33 at 0.6, 0.76 at
0.8, 0.99 at 0.9 [Broder 1997; Leskovec, Rajaraman & Ullman]."""
LEAST_FRAMED = 100
"""So many texts that begin or end with the same 20 words or more have these from a template; fewer are
variants of one question."""
SIMILAR = 0.8
"""Least share of equal min-hashes, an estimate of the Jaccard similarity, for a near-duplicate."""

_WORD = re.compile(r"\w+")
_PRIME = np.uint64((1 << 61) - 1)
_FACTORS, _TERMS = np.random.default_rng(0).integers(1, 2**63, (2, BANDS * ROWS_PER_BAND), np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Indices into the rounds: two disjoint parts that cover them all. groups, shape (rounds,):
    near-duplicates have the same number."""

    fit: IntArray
    test: IntArray
    groups: IntArray


def split(
    rounds: Sequence[Round],
    seed: int = 0,
    test_share: float = TEST_SHARE,
    counted: NDArray[np.bool_] | None = None,
) -> Split:
    """The oldest groups to fit, the latest to test. A group is as old as its first round; where times
    are unknown, the order of the groups is drawn from the seed. No group stands in both parts.

    counted, shape (rounds,): which rounds make up the shares and tell how old a group is (default: all);
    groups without any are fitted."""
    text_of = {id(r.query): r.query.text for r in rounds}  # rounds of one question often share its query
    groups = near_duplicates([text_of[id(r.query)] for r in rounds], [r.question_key for r in rounds])
    own = np.ones(len(rounds), np.bool_) if counted is None else counted
    order = _order(rounds, groups, own, seed)
    sizes = np.bincount(groups[own], minlength=len(order))[order]
    reached = (np.cumsum(sizes) - sizes / 2) / max(own.sum(), 1)
    tested = np.empty(len(order), np.bool_)
    tested[order] = (reached >= 1 - test_share) & (sizes > 0)
    return Split(np.flatnonzero(~tested[groups]), np.flatnonzero(tested[groups]), groups)


def _order(rounds: Sequence[Round], groups: IntArray, own: NDArray[np.bool_], seed: int) -> IntArray:
    count = int(groups.max(initial=-1)) + 1
    drawn = np.random.default_rng(seed).permutation(count)
    times = [r.created_at for r, counts in zip(rounds, own, strict=True) if counts]
    if not times or any(time is None for time in times):
        return drawn
    first = np.full(count, np.inf)
    np.minimum.at(first, groups[own], np.array(times, np.float64))
    return np.lexsort((drawn, first))


def near_duplicates(texts: Sequence[str], keys: Sequence[Hashable]) -> IntArray:
    """Group numbers, shape (texts,): equal keys, equal normalised texts, and texts that are nearly the same,
    of 20 words or more beside what a template adds to many."""
    tidy_of = {text: normalised(text) for text in set(texts)}
    tidy = [tidy_of[text] for text in texts]
    distinct = {text: i for i, text in enumerate(dict.fromkeys(tidy))}
    where = np.array([distinct[text] for text in tidy], np.int64)
    links = links_by_key(where, keys) + _links_by_content(list(distinct))
    return components(len(distinct), links)[where]


def links_by_key(where: IntArray, keys: Sequence[Hashable]) -> list[tuple[int, int]]:
    """Each with the first of its key."""
    first: dict[Hashable, int] = {}
    return [(first.setdefault(key, int(i)), int(i)) for key, i in zip(keys, where, strict=True)]


def _links_by_content(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Each long text with the first that shares a band with it and is similar enough."""
    words = _without_frames([_WORD.findall(text) for text in texts])
    long = [i for i, found in enumerate(words) if len(found) >= LONG_TEXT_WORDS]
    if not long:
        return []
    signatures = np.stack([_signature(words[i]) for i in long])
    links = []
    for band in np.split(signatures, BANDS, axis=1):
        first: dict[bytes, int] = {}
        for i, hashes in enumerate(band):
            other = first.setdefault(hashes.tobytes(), i)
            if other != i and np.mean(signatures[i] == signatures[other]) >= SIMILAR:
                links.append((long[other], long[i]))
    return links


def _without_frames(texts: Sequence[list[str]]) -> list[list[str]]:
    """The texts without what a template put before and behind them, such as an instruction and examples."""
    ahead = _frames(texts)
    rest = [words[size:] for words, size in zip(texts, ahead, strict=True)]
    behind = _frames([words[::-1] for words in rest])
    return [words[: len(words) - size] for words, size in zip(rest, behind, strict=True)]


def _frames(texts: Sequence[list[str]]) -> list[int]:
    """How many words at its beginning each text shares with ``LEAST_FRAMED`` texts, itself among them: with
    fewer than ``LONG_TEXT_WORDS`` none. Texts that share words stand next to each other in order."""
    order = sorted(range(len(texts)), key=texts.__getitem__)
    found = [0] * len(texts)
    for start in range(len(order) - LEAST_FRAMED + 1):
        window = order[start : start + LEAST_FRAMED]
        size = _shared(texts[window[0]], texts[window[-1]])
        if size >= LONG_TEXT_WORDS:
            for i in window:
                found[i] = max(found[i], size)
    return found


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _signature(words: Sequence[str]) -> NDArray[np.uint64]:
    """Min-hashes of the text's word shingles, shape (bands * rows,)."""
    codes = np.array([crc32(word.encode()) for word in words], np.uint64)
    shingles = codes[: 1 - SHINGLE_WORDS].copy()
    for i in range(1, SHINGLE_WORDS):
        shingles = shingles * np.uint64(0x9E3779B97F4A7C15) + codes[i : len(codes) - SHINGLE_WORDS + 1 + i]
    shingles ^= shingles >> np.uint64(29)
    mixed = shingles[:, None] * (_FACTORS | np.uint64(1)) + _TERMS
    smallest: NDArray[np.uint64] = ((mixed ^ (mixed >> np.uint64(31))) % _PRIME).min(axis=0)
    return smallest


def components(count: int, links: Iterable[tuple[int, int]]) -> IntArray:
    """The number of each one's connected component, shape (count,), in the order of their first members."""
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    for left, right in links:
        low, high = sorted((root(left), root(right)))
        parent[high] = low
    roots = [root(i) for i in range(count)]
    _, numbers = np.unique(roots, return_inverse=True)
    return numbers.astype(np.int64)
