"""Standing: which answer stands while a strategy works beside a plain draw, as its work may end in none."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from router.candidate import Answer, Candidate, Verdict
from router.errors import BackendError, OutOfCompute
from router.run import Run
from router.vote import leading


@dataclass(slots=True)
class Standing:
    """What has come so far.

    found: answers that the strategy's own work ended in, with a verdict where it has one; of several a
    vote chooses. Without any stands ``plain``, the draw of the caller's own messages; without that the
    last of ``replies``, the texts of single steps.
    """

    run: Run
    found: list[tuple[Candidate, Verdict | None]] = field(default_factory=list)
    plain: list[Candidate] = field(default_factory=list)
    replies: list[Candidate] = field(default_factory=list)

    @property
    def stands(self) -> bool:
        """Whether there is any answer."""
        return bool(self.found or self.plain or self.replies)

    def answer(self, *, complete: bool) -> Answer:
        """The answer that stands."""
        others = self.plain or (() if self.found else self.replies[-1:])
        weighed = (*(candidate for candidate, _ in self.found), *others)
        verdicts = (*(verdict for _, verdict in self.found), *(None for _ in others))
        chosen = leading(weighed[: len(self.found) or 1])
        return Answer(weighed[chosen], None, weighed, verdicts, complete)

    def find(self, candidate: Candidate, verdict: Verdict | None = None) -> None:
        """Take an answer in."""
        self.found.append((candidate, verdict))
        self.run.offer(self.answer(complete=False))

    def step(self, candidate: Candidate) -> Candidate:
        """Take the text of a step in, which stands as long as nothing better does."""
        self.replies.append(candidate)
        if not self.found and not self.plain:
            self.run.offer(self.answer(complete=False))
        return candidate

    async def draw(self, model: str) -> bool:
        """Draw the plain answer."""
        self.plain.append(await self.run.sample(model))
        self.run.offer(self.answer(complete=False))
        return True


Work: TypeAlias = Callable[[Standing], Sequence[Coroutine[Any, Any, bool]]]
"""From what stands to calls that run beside the plain draw and add to it; each says whether it got to its
own end."""


async def beside_a_plain_draw(run: Run, model: str, work: Work) -> Answer:
    """What stands once the plain draw and the work beside it are done. A call that fails, or that the
    budget does not admit, costs its own part only; its error is raised where nothing stands."""
    standing = Standing(run)
    try:
        ended = await run.together([standing.draw(model), *work(standing)])
    except (BackendError, OutOfCompute):
        if not standing.stands:
            raise
        ended = [False]
    return run.offer(standing.answer(complete=all(ended)))
