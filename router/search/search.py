"""Search: one search under way, with all paths that it has found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from router.candidate import Answer
from router.errors import BackendError, OutOfCompute
from router.parallel import as_they_come
from router.run import Run
from router.search.guide import PLAIN, Guide
from router.search.path import UNKNOWN_VALUE, Path

Growth: TypeAlias = Callable[[], Awaitable[Path | None]]
"""Work that may bring a path. It is begun by the search, so that none is left unawaited where that ends."""
Choice: TypeAlias = Callable[[Sequence[Path]], Path]
"""From the complete paths to the one that is the answer."""


def best(paths: Sequence[Path]) -> Path:
    """The highest value; ties go to the earliest."""
    return max(paths, key=lambda path: path.rank)


def best_first(paths: Sequence[Path]) -> list[Path]:
    """By value, the highest first; equal ones in their order."""
    return sorted(paths, key=lambda path: path.rank, reverse=True)


@dataclass(slots=True)
class Search:
    """The paths of one search, by their text and whether they are complete, and how it goes on.

    The best complete path stands as the run's incumbent; before there is one, the best partial. passed: a
    sound verifier passed a path. exhausted: no call came through any more. lost: calls that failed, or that
    the budget had no room for.
    """

    run: Run
    guide: Guide
    paths: dict[tuple[str, bool], Path] = field(default_factory=dict)
    begun: bool = False
    passed: bool = False
    exhausted: bool = False
    lost: int = 0

    @property
    def ended(self) -> bool:
        """Whether there is nothing to go on for, or nothing to go on with."""
        return self.passed or self.exhausted

    @property
    def reached(self) -> list[Path]:
        """The complete paths that were found step by step."""
        return [path for path in self._complete() if not _is_plain(path)]

    async def round(self, work: Sequence[Growth]) -> list[Path]:
        """The new paths of parallel work, in its order; a sound pass cancels the rest. With the first
        round goes the plain draw. Raises what the calls raise where nothing stands."""
        if not self.begun:
            self.begun = True
            work = [self._draw_plainly, *work]
        came: dict[int, Path | None] = {}
        try:
            async with aclosing(as_they_come([_numbered(i, each) for i, each in enumerate(work)])) as ready:
                async for i, path in ready:
                    came[i] = path
                    if self.passed:
                        break
        except (BackendError, OutOfCompute):
            if not self.paths:
                raise
            self.exhausted = True
        self.lost += len(work) - len(came)
        return [path for _, path in sorted(came.items()) if path is not None]

    async def grow(self, path: Path) -> Path | None:
        """The path with one more step, valued; ``None`` where that is known already."""
        longer = await self.guide.propose(self.run, path)
        known = {(longer.text, True), (longer.text, False)} & self.paths.keys()
        return None if known else await self.weigh(longer)

    async def step(self, path: Path) -> Path:
        """The path with one more step, valued, whether it is known or not."""
        return await self.weigh(await self.guide.propose(self.run, path))

    async def extend(self, path: Path) -> Path:
        """The path with one more step, not valued."""
        return self._keep(await self.guide.propose(self.run, path))

    async def finish(self, path: Path) -> Path:
        """The path with a forced end, not valued."""
        return self._keep(await self.guide.finish(self.run, path))

    async def weigh(self, path: Path) -> Path:
        """The path with its value, which is asked for once. It stands before it has one, should the time
        end meanwhile."""
        kept = self._keep(path)
        return kept if kept.value is not None else self._keep(await self.guide.weigh(self.run, kept))

    async def conclude(self, choose: Choice = best) -> Answer:
        """The chosen complete path. Where the search reached none, the best partial path is finished
        first, by one more call that no one is asked to value."""
        if not self.passed and not self.reached:
            await self._force()
        complete = self._complete()
        chosen = choose(complete) if complete else self._furthest()
        self._note(complete, chosen)
        return self.run.offer(self._answer(chosen, complete=self.passed or not self.lost))

    async def _draw_plainly(self) -> None:
        await self.weigh(await self.guide.draw(self.run))

    async def _force(self) -> None:
        partial = self._furthest()
        if partial.complete:
            return
        try:
            end = await self.finish(partial)
        except (BackendError, OutOfCompute):
            self.lost += 1
            return
        verdict = await self.run.verify(end.candidate)
        told = verdict is not None and verdict.ruling != "unknown"
        value = verdict.reward if verdict is not None and told else partial.value
        self._keep(end.valued(UNKNOWN_VALUE if value is None else value, verdict))

    def _furthest(self) -> Path:
        """The best partial path, of equal ones the longest; the best complete one where there is none."""
        partial = [path for path in self.paths.values() if not path.complete]
        if not partial:
            return best(self._complete())
        return max(partial, key=lambda path: (path.rank, len(path.steps)))

    def _complete(self) -> list[Path]:
        return [path for path in self.paths.values() if path.complete]

    def _keep(self, path: Path) -> Path:
        key = path.text, path.complete
        path = self.paths[key] = _one_of(self.paths.get(key), path)
        self.passed |= path.passed
        complete = self._complete()
        if path.complete or not complete:
            self.run.offer(self._answer(best(complete or [self._furthest()]), complete=False))
        return path

    def _answer(self, chosen: Path, *, complete: bool) -> Answer:
        weighed = self._complete() or [chosen]
        candidates = tuple(path.candidate for path in weighed)
        verdicts = tuple(path.verdict for path in weighed)
        return Answer(chosen.candidate, chosen.verdict, candidates, verdicts, complete)

    def _note(self, complete: Sequence[Path], chosen: Path) -> None:
        reason = "a path passed" if self.passed else "no call came through" if self.exhausted else "searched"
        found = {"paths": float(len(self.paths)), "complete": float(len(complete))}
        self.run.note("stop", reason, **found, value=max(chosen.rank, 0.0), steps=float(len(chosen.steps)))


def _one_of(known: Path | None, path: Path) -> Path:
    """Of two paths of the same words, that which was found step by step, with the value that is known."""
    if known is None:
        return path
    shown = known if _is_plain(path) else path
    told = known if path.value is None else path
    return replace(shown, value=told.value, verdict=told.verdict)


def _is_plain(path: Path) -> bool:
    return path.steps[0].template == PLAIN


async def _numbered(number: int, work: Growth) -> tuple[int, Path | None]:
    return number, await work()
