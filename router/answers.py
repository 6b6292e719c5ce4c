"""The final answer of a reply, apart from its reasoning, and its form for comparison.

Votes, verdicts and records all compare answers this way. No caller says what kind of answer a query
wants, so it is read from the query: a number, a letter of listed choices, one of two named words, a
JSON object, or a short text.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import Any

from router.query import Query

MAX_ANSWER_CHARACTERS = 300
"""A longer text is reasoning or an essay, not a final answer that could be compared."""
MAX_QUESTION_CHARACTERS = 2_000
MAX_READ_CHARACTERS = 20_000
"""Of a longer reply only the end is read, where an answer stands."""

NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+|/\d+)?|(?<![\w.])[-+]?\.\d+")
_PLAIN_NUMBER = re.compile(r"([-+]?)(\d{1,3}(?:,\d{3})+|\d*)(?:\.(\d*))?(%?)")
_ANSWER_LINE = re.compile(r"\banswer\b[ \t*_]*(?::|=|\bis\b:?)[ \t*_]*(\S[^\n]*)", re.IGNORECASE)
_MARKED_ANSWER = re.compile(r"^#{4,}[ \t]*(\S[^\n]*)", re.MULTILINE)
_ANSWER_FIELD = re.compile(
    r"\"(?:final_?)?answer\"\s*:\s*(?:\"((?:[^\"\\\n]|\\.){1,300})\"|([-+.\d]+))", re.IGNORECASE
)
_WANTS_NUMBER = re.compile(
    r"\bhow (?:many|much|old|long|far|tall)\b|\bnumber only\b|\b(?:which|what)(?: is the)? number\b"
    r"|\b(?:calculate|compute|sum of|product of|difference between|percent)\b"
    r"|\d\s*[+*×÷=^]\s*\d|\d\s+[-/]\s+\d"
    r"|\b(?:add|subtract|multiply|divide)\b[^\n]{0,40}\d",
    re.IGNORECASE,
)
_LISTED_CHOICE = re.compile(r"(?:^|[\s(])([A-J])[).:]\s+\S", re.MULTILINE)
_CHOICE_LINE = re.compile(r"\(?([A-J])\)?(?:[).:,\s]|$)")
_CHOICE_NAMED = re.compile(r"(?:\b(?:option|choice|answer)\b(?: is|:)?\s*\(?|\()([A-J])\b")
_ALTERNATIVES = re.compile(
    r"\b([\w.-]*\w),? or ([\w.-]*\w) ?\?|\b(?:answer|reply|respond)\b[^.?\n]*\b([\w-]+),? or ([\w-]+)",
    re.IGNORECASE,
)
_ASKS_WHAT = re.compile(r"\b(?:what|which|who|where|when)\b[^?\n]*\?", re.IGNORECASE)
_STATEMENT = re.compile(r"[^.!?\n]*?\b(?:is|are|was|were)\s+([^.!?\n]{1,60}?)[.!]*")
_UNITS = re.compile(r"\\(?:text|mathrm|textbf)\{[^}]*\}|\\[,; %$]|\$")
_WHITESPACE = re.compile(r"\s+")
_PARENTHESISED = re.compile(r"\((\w+)\)")
_BEFORE = " *_`$\"'“”‘’,;:"
_AFTER = _BEFORE + ".!?"
_JSON_STARTS = 64  # brackets tried, so that a reply full of them costs no time
_DECODER = json.JSONDecoder()


def extract_answer(query: Query, text: str) -> str | None:
    """The final answer in a reply, ``None`` where none can be told apart.

    In this order: the JSON object where one is wanted, the last ``\\boxed{}``, the last JSON field
    ``"answer"``, the first line ``#### ...``, the last line ``Answer: ...``, else the whole reply; of the
    last three, the choice or number that the query wants, or a short text itself (of a longer one its
    last line).

    >>> extract_answer(Query([{"role": "user", "content": "What is 2 + 3?"}]), "2 + 3 = 5.")
    '5'
    """
    text = text[-MAX_READ_CHARACTERS:].strip()
    if wants_json(query):
        return _canonical(find_json(text))
    question = _both_ends(query.text)
    stated = boxed(text) or _answer_field(text)
    return _short(_UNITS.sub("", stated)) if stated else _from_prose(question, _answer_line(text) or text)


def _both_ends(question: str) -> str:
    """A long prompt's beginning and end, where the question stands, without the document between."""
    if len(question) <= MAX_QUESTION_CHARACTERS:
        return question
    half = MAX_QUESTION_CHARACTERS // 2
    return f"{question[:half]}\n{question[-half:]}"


def normalise(answer: str, casefold: bool = True) -> str:
    """The form in which two answers are compared: numbers equal up to their notation, choices and
    words up to case (unless told not to), punctuation and whitespace. JSON stays as it is. Idempotent.

    >>> normalise("1,000.0"), normalise(" **Paris**. "), normalise("(B)")
    ('1000', 'paris', 'b')
    """
    if answer.startswith("{"):
        return answer
    plain = _WHITESPACE.sub(" ", answer.casefold() if casefold else answer).lstrip(_BEFORE).rstrip(_AFTER)
    if parenthesised := _PARENTHESISED.fullmatch(plain):
        plain = parenthesised[1]
    return _plain_number(plain) or plain


def wants_json(query: Query) -> bool:
    """Whether the query asks for JSON: by its response format or by its verifier."""
    response_format = query.parameters.get("response_format")
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    verifier = query.wishes.verifier or {}
    return kind in ("json_object", "json_schema") or verifier.get("type") == "json_schema"


def find_json(text: str) -> Any:
    """The last JSON object or array that stands whole in a text, inside prose or a code fence;
    ``None`` where there is none. Objects within objects are parts of these."""
    found, end = None, 0
    for match in islice(re.finditer(r"[{\[]", text), _JSON_STARTS):
        if match.start() >= end:
            try:
                found, end = _DECODER.raw_decode(text, match.start())
            except (ValueError, RecursionError):
                continue
    return found


def boxed(text: str) -> str | None:
    """What stands in the last ``\\boxed{...}``, its braces balanced."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 0, start + len("\\boxed")
    for position in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[begin + 1 : position].strip() or None
    return None


def _answer_field(text: str) -> str | None:
    if '"' not in text:
        return None
    fields = _ANSWER_FIELD.findall(text)
    return (fields[-1][0] or fields[-1][1]).replace("\\\\", "\\") if fields else None


def _answer_line(text: str) -> str | None:
    """Of ``####`` lines the first: models that go on with questions of their own mark those as well."""
    if marked := _MARKED_ANSWER.search(text):
        return _unwrap_line(marked[1])
    lines = _ANSWER_LINE.findall(text)
    return _unwrap_line(lines[-1]) if lines else None


def _from_prose(question: str, text: str) -> str | None:
    """What the question wants, from a text that states it in words: ``None`` where it wants a number and
    there is none."""
    if len(set(_LISTED_CHOICE.findall(question))) > 1 and (choice := _choice(text)):
        return choice
    if word := _alternative(question, text):
        return word
    return last_number(text) if _WANTS_NUMBER.search(question) else _reply_itself(question, text)


def _choice(text: str) -> str | None:
    if match := _CHOICE_LINE.match(text):
        return match[1]
    named: list[str] = _CHOICE_NAMED.findall(text)
    return named[-1] if named else None


def _alternative(question: str, text: str) -> str | None:
    """The one of "X or Y" that the text names, or that it begins with where it names both."""
    for words in _ALTERNATIVES.findall(question):
        pair: list[str] = [word for word in words if word]
        named = [word for word in pair if _position(word, text) >= 0]
        leading = [word for word in named if _position(word, text) == 0]
        if len(named) == 1 or leading:
            return (leading or named)[0]
    return None


def _position(word: str, text: str) -> int:
    match = re.search(rf"(?<![\w.]){re.escape(word)}(?![\w]|\.\d)", text, re.IGNORECASE)
    return match.start() if match else -1


def last_number(text: str) -> str | None:
    """The last number in a text, as written."""
    numbers: list[str] = NUMBER.findall(text)
    return numbers[-1] if numbers else None


def _reply_itself(question: str, text: str) -> str | None:
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    if len(lines) == 1 and _ASKS_WHAT.search(question) and (statement := _STATEMENT.fullmatch(lines[0])):
        return _short(statement[1])
    number = last_number(lines[-1]) if " " in lines[-1] and _reckons(question) else None
    return number or _short(lines[-1])


def _reckons(question: str) -> bool:
    """Whether a sentence that answers the question likely ends with a number: it asks what, given two
    numbers or more."""
    return len(NUMBER.findall(question)) > 1 and _ASKS_WHAT.search(question) is not None


def _short(text: str) -> str | None:
    text = _unwrap_line(text)
    return text if 0 < len(text) <= MAX_ANSWER_CHARACTERS else None


def _unwrap_line(text: str) -> str:
    return text.strip().strip("*_`").strip()


def _plain_number(text: str) -> str | None:
    """A number without separators, leading zeros, trailing zeros or a plus sign; else ``None``."""
    match = _PLAIN_NUMBER.fullmatch(text)
    if match is None or not any(character.isdigit() for character in text):
        return None
    sign, whole, decimals, percent = match.groups()
    digits = whole.replace(",", "").lstrip("0") or "0"
    fraction = (decimals or "").rstrip("0")
    value = f"{digits}.{fraction}" if fraction else digits
    return ("-" if sign == "-" and value != "0" else "") + value + percent


def _canonical(value: Any) -> str | None:
    return (
        None
        if value is None
        else json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    )
