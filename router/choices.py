"""Choices: the options that a question lists, and the one that a reply chooses.

Votes and the ``choice`` verifier read them alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from router.answers import MAX_READ_CHARACTERS, answer_line, final_answer, normalise, stated
from router.query import Query

_LETTERS = "ABCDEFGHIJ"
_LISTED = re.compile(r"(?:^|(?<=[\s(]))([A-J])[).:]\s+(?=\S)", re.MULTILINE)
_WRAPPED = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\{([^{}]*)\}")
_ALONE = re.compile(r"[\s(\[*_`\"'$]*([A-Ja-j])[\s)\].:,;!*_`\"'$]*")
_LETTER = re.compile(
    r"(?<![\w'’-])(?:[B-HJ]|A(?! [a-z])|A(?= (?:is|and|or|because|since|as|with|not)\b)|I(?! [a-z]|['’]))"
    r"(?![\w'’-])"
)
"""A letter that stands alone; no article and no pronoun."""
_MARKED = re.compile(
    r"(?:^[ \t*_`]*\(?|\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer)(?: is|:)?[ \t*_`]*\(?|\()([A-J])(?=[).:*_`]|\s*$)",
    re.MULTILINE,
)
"""In prose: at the beginning of a line, behind "option", or in parentheses."""
_DENIED = re.compile(r"\b(?:not|neither|nor|except|incorrect|wrong)\b|n['’]t\b", re.IGNORECASE)
_DENIAL_CHARACTERS = 16
"""Behind a letter, so near does a denial mean it ("B is not right")."""


def listed_options(question: str) -> Mapping[str, str]:
    """The options that a question lists, by letter, in order from A; of several lists the last. An
    option's text ends with its line.

    >>> listed_options("Which? A) red B) green\\nC) dark blue")
    {'A': 'red', 'B': 'green', 'C': 'dark blue'}
    """
    options: dict[str, str] = {}
    marks = list(_LISTED.finditer(question))
    for i, mark in enumerate(marks):
        letter, end = mark[1], marks[i + 1].start() if i + 1 < len(marks) else len(question)
        if letter == "A":
            options = {}
        if len(options) < len(_LETTERS) and letter == _LETTERS[len(options)]:
            options[letter] = question[mark.end() : end].split("\n")[0].rstrip(" (")
    return options


def chosen_letter(query: Query, text: str, options: Mapping[str, str]) -> str | None:
    """The one option that a reply chooses; ``None`` where it names none, or two."""
    text = _WRAPPED.sub(r"\1", text[-MAX_READ_CHARACTERS:].strip())
    said = stated(text) or answer_line(text)
    brief = said or text
    letter = lone_letter(brief) or option_of(brief, options)
    if letter is not None:
        return letter
    named = _letters_said(brief, options) if said or "\n" not in text else set(_MARKED.findall(text))
    if len(named) == 1:
        return named.pop()
    final = final_answer(query, text) if not named else None
    return option_of(final, options) if final else None


def _letters_said(statement: str, options: Mapping[str, str]) -> set[str]:
    """The letters named in one line. Letters inside the options' own texts ("hepatitis B") do not count;
    a denial ("not B") names nothing."""
    led = re.match(r"[\s(*_`]*([A-J])[).:*_`]+\s*(.+)", statement)
    if led and (repeated := option_of(led[2], options)):
        return {led[1], repeated}
    for option in sorted(options.values(), key=len, reverse=True):
        if len(option) > 1:
            statement = statement.replace(option, " … ")
    found = list(_LETTER.finditer(statement))
    letters = {letter[0] for letter in found}
    if len(letters) == 1 and _DENIED.search(statement[: found[-1].end() + _DENIAL_CHARACTERS]):
        return set()
    return letters


def lone_letter(text: str) -> str | None:
    """The letter of which a text consists, marks around it apart."""
    alone = _ALONE.fullmatch(text)
    return alone[1].upper() if alone else None


def option_of(text: str, options: Mapping[str, str]) -> str | None:
    """The letter of the option of which this is the text, ``None`` for none or two alike."""
    wanted = normalise(text)
    found = [letter for letter, option in options.items() if normalise(option) == wanted]
    return found[0] if len(found) == 1 else None
