"""Structure: what kind of text the question is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import log1p
from typing import ClassVar

import numpy as np

from router.features import Sparse, excerpt
from router.query import Query

_PHRASES = {
    "asks_how_many": ("how many", "how much", "number of"),
    "asks_proof": ("prove ", "proof", "show that", "theorem"),
    "asks_steps": ("step by step", "steps"),
    "asks_brief": ("only the", "just the", "one word", "briefly", "in short", "short answer"),
    "asks_bounds": ("exactly", "at least", "at most"),
}
_WORDS = {
    "asks_why": "why explain describe",
    "asks_compute": "calculate compute solve evaluate sum add subtract multiply divide plus minus total",
    "asks_write": "write compose draft create generate sentence story poem",
    "asks_code": "code function implement python javascript java sql bug debug refactor regex algorithm",
    "asks_translate": "translate translation",
    "asks_summary": "summarize summarise summary rewrite paraphrase shorten",
    "asks_classify": "classify sentiment positive negative label category which",
    "asks_extract": "extract find identify list name",
    "asks_fact": "what who when where capital",
    "asks_compare": "compare larger smaller largest smallest greater better difference",
    "asks_order": "sort order reverse backwards backward spell",
    "asks_constraint": "must without contain contains containing include using words",
}
_FLAGS = {word: flag for flag, words in enumerate(_WORDS.values()) for word in words.encode().split()}
_KNOWN = frozenset(_FLAGS)
_LETTERS = bytes(code if chr(code).isalpha() or code >= 0x80 else ord(" ") for code in range(256))
_NUMBER = re.compile(r"[0-9]+")
_CHOICE = re.compile(r"\n[ \t]*\(?[A-Ea-e1-5][.):]\s")
_LATEX = re.compile(r"\\[a-zA-Z]+|\$[^$]+\$")

_UPPER = bytes(range(ord("A"), ord("Z") + 1))
_OPERATORS = b"+-*/=<>^%"
_PUNCTUATION = b".,;:!"


class Structure:
    """Flags and log counts over the excerpt of the question, and what the request demands of the form."""

    name: ClassVar[str] = "structure"
    summary: ClassVar[str] = "flags and counts: numbers, code, LaTeX, choices, JSON, asking words"
    columns: Sequence[str] = (
        "questions",
        "numbers",
        "longest_number",
        "digit_share",
        "operators",
        "uppercase_share",
        "punctuation",
        "quotes",
        "brackets",
        "non_ascii_share",
        "code_fence",
        "choices",
        "latex",
        "json",
        "link",
        "tools",
        "response_format",
        *_PHRASES,
        *_WORDS,
    )
    buckets = 0

    def dense(self, query: Query) -> Sequence[float]:
        """Shape (34,)."""
        text = excerpt(query.text)
        return (
            *_characters(text),
            *_forms(text),
            float(bool(query.parameters.get("tools"))),
            float(bool(query.parameters.get("response_format"))),
            *_asks(text.lower()),
        )

    def sparse(self, query: Query) -> Sparse:
        """Nothing is hashed."""
        return np.zeros(0, np.int64), np.zeros(0)


def _characters(text: str) -> tuple[float, ...]:
    encoded = text.encode(errors="replace")
    size = len(encoded) + 1
    numbers = [len(number) for number in _NUMBER.findall(text)]
    return (
        log1p(text.count("?")),
        log1p(len(numbers)),
        float(min(max(numbers, default=0), 12)),
        sum(numbers) / size,
        log1p(_count(encoded, _OPERATORS)),
        _count(encoded, _UPPER) / size,
        log1p(_count(encoded, _PUNCTUATION)),
        log1p(_count(encoded, b"\"'`")),
        log1p(_count(encoded, b"([{")),
        0.0 if text.isascii() else (len(encoded) - len(text)) / size,
    )


def _asks(lowered: str) -> list[float]:
    words = set(lowered.encode(errors="replace").translate(_LETTERS).split())
    phrases = [float(any(part in lowered for part in parts)) for parts in _PHRASES.values()]
    flags = [0.0] * len(_WORDS)
    for word in words & _KNOWN:
        flags[_FLAGS[word]] = 1.0
    return phrases + flags


def _count(encoded: bytes, characters: bytes) -> int:
    return len(encoded) - len(encoded.translate(None, characters))


def _forms(text: str) -> tuple[float, ...]:
    return (
        float("```" in text),
        float(len(_CHOICE.findall(f"\n{text}")) > 1),
        float(("\\" in text or "$" in text) and _LATEX.search(text) is not None),
        float("json" in text or "JSON" in text),
        float("://" in text),
    )
