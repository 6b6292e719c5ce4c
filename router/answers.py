"""The final answer of a reply, apart from its reasoning, and its form for comparison.

Votes, verdicts and records all compare answers this way. ``extract_answer`` asks the query's domain
(``router/domains/``), which reads the reply with the parts that stand here. Where no caller says what kind
of answer a query wants, it is read from the query: a number, a letter of listed choices, one of two
named words, a JSON object, code, or a short text.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import islice
from typing import Any

from router.domains import domain_of
from router.notation import one_notation
from router.query import Query
from router.said_number import NUMBER, said_number

MAX_ANSWER_CHARACTERS = 300
"""A longer text is reasoning or an essay, not a final answer that could be compared."""
MAX_QUESTION_CHARACTERS = 2_000
MAX_READ_CHARACTERS = 20_000
"""Of a longer reply only the end is read, where an answer stands."""

_ANSWER_LINE = re.compile(r"\banswer\b[ \t*_]*(?::|=|\bis\b:?)[ \t*_]*(\S[^\n]*)", re.IGNORECASE)
_MARKED_ANSWER = re.compile(r"^#{4,}[ \t]*(\S[^\n]*)", re.MULTILINE)
_ANSWER_FIELD = re.compile(
    r"\"(?:final_?)?answer\"\s*:\s*(?:\"((?:[^\"\\\n]|\\.){1,300})\"|([-+.\d]+))", re.IGNORECASE
)
_WANTS_NUMBER = re.compile(
    r"\bhow (?:many|much|old|long|far|tall)\b|\bnumber only\b|\b(?:which|what)(?: is the)? number\b"
    r"|\b(?:calculate|compute|sum of|product of|difference between|percent)\b"
    r"|\b(?:add|subtract|multiply|divide)\b[^\n]{0,40}\d"
)
_NUMBER_WORDS = (
    "how ",
    "number",
    "calculate",
    "compute",
    "sum of",
    "product of",
    "difference between",
    "percent",
    "add",
    "subtract",
    "multiply",
    "divide",
)
"""Without any of these the pattern above, which is slow, need not be tried."""
_SUM = re.compile(r"\d\s*[+*×÷=^]\s*\d|\d\s+[-/]\s+\d")
_LISTED_CHOICE = re.compile(r"(?:^|[\s(])([A-J])[).:]\s+\S", re.MULTILINE)
_CHOICE_LINE = re.compile(r"\(?([A-HJ]|I(?! [a-z]))\)?(?:[).:,\s]|$)")  # "I think" is no choice
_CHOICE_NAMED = re.compile(r"(?:\b(?:option|choice|answer)\b(?: is|:)?\s*\(?|\()([A-J])\b")
_ALTERNATIVES = re.compile(
    r"\b([\w.-]*\w),? or ([\w.-]*\w) ?\?|\b(?:answer|reply|respond)\b[^.?\n]*\b([\w-]+),? or ([\w-]+)",
    re.IGNORECASE,
)
_ASKS_WHAT = re.compile(r"\b(?:what|which|who|where|when)\b[^?\n]*\?", re.IGNORECASE)
_STATEMENT = re.compile(r"[^.!?\n]*?\b(?:is|are|was|were)\s+([^.!?\n]{1,60}?)[.!]*")
_UNITS = re.compile(r"\\(?:text|mathrm|textbf)\{(?! *(?:or|and)\b)[^}]*\}|\\[,; %$]|\$")
_WHITESPACE = re.compile(r"\s+")
_PARENTHESISED = re.compile(r"\((\w+)\)")
_BEFORE = " *_`$\"'“”‘’,;:"
_AFTER = _BEFORE + ".!?"
_PUNCTUATION = ".,;:!?()[]{}\"'`*_"
_JSON_STARTS = 64  # brackets tried, so that a reply full of them costs no time
_DECODER = json.JSONDecoder()


def extract_answer(query: Query, text: str) -> str | None:
    """The final answer in a reply, as the query's domain reads it; ``None`` where none can be told apart.

    >>> extract_answer(Query([{"role": "user", "content": "What is 2 + 3?"}]), "2 + 3 = 5.")
    '5'
    """
    return domain_of(query).extract(query, text[-MAX_READ_CHARACTERS:].strip())


def final_answer(query: Query, text: str) -> str | None:
    """The final answer in a reply of no particular domain.

    In this order: the last ``\\boxed{}``, the last JSON field ``"answer"``, the first line ``#### ...``,
    the last line ``Answer: ...``, else the whole reply; of the last three, the choice or number that the
    query wants, or a short text itself (of a longer one its last line).
    """
    if said := stated(text):
        return _short(_UNITS.sub("", said))
    return _from_prose(question_of(query), answer_line(text) or text)


def question_of(query: Query) -> str:
    """What is asked; of a long prompt its beginning and end, where the question stands, without the
    document between."""
    question = query.text
    if len(question) <= MAX_QUESTION_CHARACTERS:
        return question
    half = MAX_QUESTION_CHARACTERS // 2
    return f"{question[:half]}\n{question[-half:]}"


@lru_cache(maxsize=1024)  # several domains look at the words of one question
def words_of(question: str) -> frozenset[str]:
    """The words of a question in small letters, without punctuation around them."""
    return frozenset(word.strip(_PUNCTUATION) for word in question.lower().split())


def normalise(answer: str, casefold: bool = True) -> str:
    """The form in which two answers are compared: numbers equal up to their notation (fractions are
    decimals where those end, else in lowest terms), choices and words up to case (unless told not to),
    punctuation and whitespace. JSON stays as it is. Idempotent.

    >>> normalise("1,000.0"), normalise(" **Paris**. "), normalise("(B)")
    ('1000', 'paris', 'b')
    >>> normalise(r"\\frac{1}{2}"), normalise("3/6"), normalise("2/6")
    ('0.5', '0.5', '1/3')
    """
    if answer.startswith("{"):
        return answer
    plain = _WHITESPACE.sub(" ", answer.casefold() if casefold else answer).lstrip(_BEFORE).rstrip(_AFTER)
    if parenthesised := _PARENTHESISED.fullmatch(plain):
        plain = parenthesised[1]
    return one_notation(plain) or plain


def wants_json(query: Query) -> bool:
    """Whether the query asks for JSON: by its response format or by its verifier."""
    response_format = query.parameters.get("response_format")
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    verifier = query.wishes.verifier or {}
    return kind in ("json_object", "json_schema") or verifier.get("type") == "json_schema"


def json_answer(text: str) -> str | None:
    """The last JSON value of a text in its one form: keys sorted, no spaces; ``None`` without any."""
    value = find_json(text)
    if value is None:
        return None
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


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


def stated(text: str) -> str | None:
    """What stands in the last ``\\boxed{}``, else in the last JSON field ``"answer"``."""
    return boxed(text) or _answer_field(text)


def _answer_field(text: str) -> str | None:
    if '"' not in text:
        return None
    fields = _ANSWER_FIELD.findall(text)
    return (fields[-1][0] or fields[-1][1]).replace("\\\\", "\\") if fields else None


def answer_line(text: str) -> str | None:
    """What stands behind ``####`` or the last ``Answer:``. Of ``####`` lines the first: models that go on
    with questions of their own mark those as well."""
    if marked := _MARKED_ANSWER.search(text):
        return _unwrap_line(marked[1])
    lines = _ANSWER_LINE.findall(text)
    return _unwrap_line(lines[-1]) if lines else None


def _from_prose(question: str, text: str) -> str | None:
    """What the question wants, from a text that states it in words: ``None`` where it wants a number and
    there is none."""
    if lists_choices(question) and (choice := choice_in(text)):
        return choice
    if word := _alternative(question, text):
        return word
    return _said(text) if wants_number(question) else _reply_itself(question, text)


def lists_choices(question: str) -> bool:
    """Whether two choices or more are listed, such as ``A) ...`` and ``(B) ...``."""
    return len(set(_LISTED_CHOICE.findall(question))) > 1


def wants_number(question: str) -> bool:
    """Whether the question is for a number."""
    if _SUM.search(question):
        return True
    lowered = question.lower()
    hinted = any(word in lowered for word in _NUMBER_WORDS)
    return hinted and _WANTS_NUMBER.search(lowered) is not None


def choice_in(text: str) -> str | None:
    """The letter, A to J, that a text begins with or names last as its choice."""
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


def _said(text: str) -> str | None:
    number = said_number(text)
    return _short(number) if number is not None else None


def _reply_itself(question: str, text: str) -> str | None:
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    if len(lines) == 1 and _ASKS_WHAT.search(question) and (statement := _STATEMENT.fullmatch(lines[0])):
        return _short(statement[1])
    number = _said(lines[-1]) if " " in lines[-1] and _reckons(question) else None
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
