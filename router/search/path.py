"""Path: a question's reasoning, as far as it has come."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from router.candidate import Candidate, Verdict, composed

UNKNOWN_VALUE = 0.5
"""Of a path that nobody could value."""

_ANSWERED = re.compile(
    r"^[ \t>*_#-]{0,8}(?:the )?(?:final )?answer[*_ \t]{0,4}"
    r"(?::|is\b(?!:?\s{1,4}(?:not|still|yet|unknown|unclear|open)\b))[\s*_`:]{0,16}(?![\s*_`:])."
    r"|^####[ \t]{0,8}(?!step\b|part\b|case\b)[^\s#](?![^\n]*\n\s{0,8}\S)"
    r"|\\boxed\{\s{0,8}[^\s}]",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Path:
    """Reasoning steps in their order.

    complete: it ends with an answer. value: how promising it is, in [0, 1]; ``None`` until it was valued.
    verdict: the bound verifier's, of a complete path.
    """

    steps: tuple[Candidate, ...] = ()
    complete: bool = False
    value: float | None = None
    verdict: Verdict | None = None

    @property
    def text(self) -> str:
        """All steps, a line break between them."""
        return "\n".join(step.text.strip() for step in self.steps)

    @property
    def rank(self) -> float:
        """The value; one that is not known yet ranks below all others."""
        return -1.0 if self.value is None else self.value

    @property
    def passed(self) -> bool:
        """Whether a sound verifier passed it, so that nothing better can be found."""
        return self.verdict is not None and self.verdict.sound and self.verdict.ruling == "pass"

    @property
    def candidate(self) -> Candidate:
        """The path as a candidate; its final answer is its last step's."""
        last = self.steps[-1]
        if len(self.steps) == 1:
            return last
        parts = [step.completion for step in self.steps]
        return composed(self.text, last.extracted, parts, last.template)

    def longer(self, step: Candidate) -> Path:
        """With one more step; complete where that states an answer."""
        return Path((*self.steps, step), states_answer(step.text))

    def ended(self, step: Candidate) -> Path:
        """With its last step, whatever that says."""
        return Path((*self.steps, step), complete=True)

    def valued(self, value: float, verdict: Verdict | None = None) -> Path:
        """The same path with its value."""
        return replace(self, value=value, verdict=verdict)


ROOT = Path()
"""No step yet."""


def states_answer(text: str) -> bool:
    """Whether a step states the final answer, on a line ``Answer: ...`` or ``#### ...`` or in a box.

    >>> states_answer("So 2 + 3 = 5.\\n**Answer:** 5"), states_answer("The answer needs one more step.")
    (True, False)
    """
    return _ANSWERED.search(text) is not None
