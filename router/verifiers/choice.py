"""The right one of listed choices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from router.answers import MAX_READ_CHARACTERS, answer_line, final_answer, normalise, question_of, stated
from router.candidate import Candidate, Verdict
from router.errors import InvalidQuery
from router.query import Query

if TYPE_CHECKING:
    from router.run import Run

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
    r"(?:^[\s*_`]*\(?|\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer)(?: is|:)?[\s*_`]*\(?|\()([A-J])(?=[).:*_`]|\s*$)",
    re.MULTILINE,
)
"""In prose: at the beginning of a line, behind "option", or in parentheses."""
_DENIED = re.compile(r"\b(?:not|neither|nor|except|incorrect|wrong)\b|n['’]t\b", re.IGNORECASE)
_DENIAL_CHARACTERS = 16
"""Behind a letter, so near does a denial mean it ("B is not right")."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Passes where the reply chooses the right option, by its letter or by its text.

    reference: the right option's letter, or its text as the question lists it. The options (``A)``, ``(B)``,
    ``C.``) are read from the question.
    """

    name: ClassVar[str] = "choice"
    summary: ClassVar[str] = "the reply chooses the right one of listed choices"

    reference: str

    def __post_init__(self) -> None:
        if not isinstance(self.reference, str) or not self.reference.strip():
            raise InvalidQuery(
                f"A choice verifier needs a letter or an option's text, not {self.reference!r}.",
                "effortwise.verifier.reference",
            )

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """``unknown`` where no option is chosen or several are, or the reference is no option."""
        options = listed_options(question_of(query))
        right = _lone_letter(self.reference) or _option_of(self.reference, options)
        if right is None or (options and right not in options):
            return Verdict.unknown(self.name, "the reference is no option of the question")
        chosen = chosen_letter(query, candidate.text, options)
        if chosen is None:
            return Verdict.unknown(self.name, "no option chosen, or several")
        reason = "" if chosen == right else f"chose {chosen}"
        return Verdict.of(chosen == right, self.name, sound=True, reason=reason)


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
    letter = _lone_letter(brief) or _option_of(brief, options)
    if letter is not None:
        return letter
    named = _letters_said(brief, options) if said or "\n" not in text else set(_MARKED.findall(text))
    if len(named) == 1:
        return named.pop()
    final = final_answer(query, text) if not named else None
    return _option_of(final, options) if final else None


def _letters_said(statement: str, options: Mapping[str, str]) -> set[str]:
    """The letters named in one line. Letters inside the options' own texts ("hepatitis B") do not count;
    a denial ("not B") names nothing."""
    led = re.match(r"[\s(*_`]*([A-J])[).:*_`]+\s*(.+)", statement)
    if led and (repeated := _option_of(led[2], options)):
        return {led[1], repeated}
    for option in sorted(options.values(), key=len, reverse=True):
        if len(option) > 1:
            statement = statement.replace(option, " … ")
    found = list(_LETTER.finditer(statement))
    letters = {letter[0] for letter in found}
    if len(letters) == 1 and _DENIED.search(statement[: found[-1].end() + _DENIAL_CHARACTERS]):
        return set()
    return letters


def _lone_letter(text: str) -> str | None:
    alone = _ALONE.fullmatch(text)
    return alone[1].upper() if alone else None


def _option_of(text: str, options: Mapping[str, str]) -> str | None:
    """The option of which this is the text, ``None`` for none or two alike."""
    wanted = normalise(text)
    found = [letter for letter, option in options.items() if normalise(option) == wanted]
    return found[0] if len(found) == 1 else None
