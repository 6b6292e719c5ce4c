"""Best of n: draw several, keep the one that a verifier, a model or the likelihood likes best (Cobbe et al.
2021; pairwise as in Zheng et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from math import inf
from typing import ClassVar

from router.candidate import Answer, Candidate, Verdict
from router.errors import BackendError, BudgetExceeded, ConfigurationError, OutOfCompute
from router.pairwise import compare
from router.parallel import as_they_come
from router.run import LOGPROBS, Run
from router.strategies import Traits
from router.templates import render
from router.verifiers.judge import Judge

COMPARE = ("pointwise", "pairwise")
BY = ("verifier", "likelihood")


@dataclass(frozen=True, slots=True)
class _Judged:
    """A candidate, what was said of it, and its rank by that: of any scale, the higher the better."""

    candidate: Candidate
    verdict: Verdict | None
    rank: float


@dataclass(slots=True)
class _Pile:
    """Candidates so far, in the order in which they were judged. rounds: matches that each has won."""

    judged: list[_Judged] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.judged)

    def add(self, judged: _Judged) -> None:
        """One more."""
        self.judged.append(judged)
        self.rounds.append(0)

    def best(self, *, complete: bool) -> Answer:
        """The one that won the most rounds, then of the highest rank; ties go to the earliest."""
        places = [(rounds, each.rank) for rounds, each in zip(self.rounds, self.judged, strict=True)]
        chosen = self.judged[places.index(max(places))]
        candidates = tuple(each.candidate for each in self.judged)
        verdicts = tuple(each.verdict for each in self.judged)
        return Answer(chosen.candidate, chosen.verdict, candidates, verdicts, complete)


@dataclass(frozen=True, slots=True, repr=False)
class BestOfN:
    """At most ``n`` draws; one selector keeps the best: the request's verifier, or what is set instead.

    With the verifier, draws come in doubling batches (1, 1, 2, 4, ...) and a pass ends them that is sound,
    or whole (a reward of 1): an easy query costs one draw, and the wait grows with log2 n. Every other
    selector sees all n, drawn at once.

    judge: a model that rates each (``compare = "pointwise"``), or chooses between two in a knockout
    (``"pairwise"``). reward: a reward model, whose number decides. by: ``likelihood`` takes the highest mean
    log-probability; a reply without any comes last.
    """

    name: ClassVar[str] = "best_of_n"
    summary: ClassVar[str] = "several draws, the best by verifier, judge, reward model or likelihood"
    model: str
    n: int
    template: str = "direct"
    judge: str | None = None
    compare: str = "pointwise"
    reward: str | None = None
    by: str = "verifier"

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ConfigurationError(f"best_of_n needs n >= 2, not {self.n}.")
        if self.compare not in COMPARE or self.by not in BY:
            raise ConfigurationError(
                f"best_of_n takes compare = {' or '.join(COMPARE)} and by = {' or '.join(BY)}, not "
                f"{self.compare!r} and {self.by!r}."
            )
        if sum((self.judge is not None, self.reward is not None, self.by == "likelihood")) > 1:
            raise ConfigurationError("best_of_n takes one of judge, reward and by = 'likelihood'.")
        if self.compare == "pairwise" and self.judge is None:
            raise ConfigurationError("best_of_n with compare = 'pairwise' needs a judge.")
        render(self.template, ())  # raises where there is no such template

    def __repr__(self) -> str:
        """A bundle knows its arms by this text: an option added later is in it only where it is set."""
        told = {"compare": self.compare != "pointwise", "reward": self.reward, "by": self.by != "verifier"}
        more = "".join(f", {name}={getattr(self, name)!r}" for name, is_set in told.items() if is_set)
        return (
            f"BestOfN(model={self.model!r}, n={self.n!r}, template={self.template!r}, "
            f"judge={self.judge!r}{more})"
        )

    @property
    def _verified(self) -> bool:
        """Whether the request's verifier selects."""
        return self.judge is None and self.reward is None and self.by == "verifier"

    @property
    def _pairwise(self) -> bool:
        return self.compare == "pairwise"

    @property
    def traits(self) -> Traits:
        """With a verifier, one more draw can only turn no pass into a pass."""
        asks = self.judge is not None or self.reward is not None
        return Traits(
            response_format=self.template == "direct",
            needs_verifier=self._verified,
            more_cannot_hurt=self._verified,
            quotes=2 if self._pairwise else int(asks),
            needs_logprobs=self.by == "likelihood",
        )

    @property
    def family(self) -> str:
        """``<model>/best_of_n``, with template and selector where they are not the default."""
        unusual = {
            self.template: self.template != "direct",
            f"judge={self.judge}": self.judge,
            self.compare: self._pairwise,
            f"reward={self.reward}": self.reward,
            self.by: self.by != "verifier",
        }
        return ":".join([f"{self.model}/{self.name}", *(name for name, is_set in unusual.items() if is_set)])

    @property
    def compute(self) -> float:
        """Draws at most."""
        return float(self.n)

    def demand(self) -> Mapping[str, int]:
        """n draws; n ratings, n rewards, or n - 1 matches in both orders."""
        calls = {self.model: self.n}
        for asked in (self.judge, self.reward):
            if asked is not None:
                calls[asked] = calls.get(asked, 0) + (2 * (self.n - 1) if self._pairwise else self.n)
        return calls

    async def answer(self, run: Run) -> Answer:
        """The best candidate."""
        pile, ended = _Pile(), False
        while not ended and (batch := self._next_batch(len(pile))):
            before = len(pile)
            try:
                ended = await self._draw(run, batch, pile)
            except (BackendError, OutOfCompute):
                if not pile:
                    raise
            if len(pile) - before < batch:  # ended early, or a draw was lost to a failure or the budget
                break
        decided = await _knockout(run, pile, self.judge) if self.judge and self._pairwise else True
        return self._stop(run, pile, complete=ended or (len(pile) == self.n and decided))

    def _next_batch(self, drawn: int) -> int:
        return min(max(1, drawn) if self._verified else self.n, self.n - drawn)

    async def _draw(self, run: Run, batch: int, pile: _Pile) -> bool:
        """Draw and judge side by side; true once a verdict makes further draws needless."""
        async with aclosing(as_they_come([self._one(run) for _ in range(batch)])) as found:
            async for judged in found:
                pile.add(judged)
                run.offer(pile.best(complete=False))
                if self._verified and judged.verdict is not None and judged.verdict.settles:
                    return True
        return False

    async def _one(self, run: Run) -> _Judged:
        more = LOGPROBS if self.by == "likelihood" else None
        candidate = await run.sample(self.model, template=self.template, repeated=True, parameters=more)
        if run.incumbent is None:  # better than nothing, should the time end while it is judged
            run.offer(Answer(candidate, None, (candidate,), (None,), complete=False))
        return await self._judge(run, candidate)

    async def _judge(self, run: Run, candidate: Candidate) -> _Judged:
        if self.by == "likelihood":
            logprob = candidate.mean_logprob
            return _Judged(candidate, None, -inf if logprob is None else logprob)
        if self.reward is not None:
            return await _rewarded(run, self.reward, candidate)
        if self._pairwise:
            return _Judged(candidate, None, 0.0)
        if self.judge is not None:
            verdict: Verdict | None = await Judge(self.judge).verify(run.query, candidate, run)
        else:
            verdict = await run.verify(candidate)
        return _Judged(candidate, verdict, verdict.reward if verdict else 0.0)

    def _stop(self, run: Run, pile: _Pile, *, complete: bool) -> Answer:
        best, drawn = pile.best(complete=complete), len(pile)
        passed = best.verdict is not None and best.verdict.ruling == "pass"
        run.note("stop", "a candidate passed" if passed else f"{drawn} of {self.n} drawn", drawn=drawn)
        return run.offer(best)


async def _knockout(run: Run, pile: _Pile, judge: str) -> bool:
    """Match after match, a round side by side, until one stands; false where any of them failed, which
    the earlier candidate then survives."""
    standing, all_held = list(range(len(pile))), True
    while len(standing) > 1:
        pairs = list(zip(standing[::2], standing[1::2], strict=False))
        try:
            won = await run.together([_match(run, pile, judge, *pair) for pair in pairs])
        except (BackendError, OutOfCompute):
            return False
        all_held &= None not in won
        survivors = [pair[0] if i is None else i for i, pair in zip(won, pairs, strict=True)]
        standing = survivors + standing[2 * len(pairs) :]
        for i in standing:
            pile.rounds[i] += 1
        run.offer(pile.best(complete=False))
    return all_held


async def _match(run: Run, pile: _Pile, judge: str, left: int, right: int) -> int:
    """The number of the winner; of equal ones the earlier. The same answer twice is no contest."""
    one, other = pile.judged[left].candidate, pile.judged[right].candidate
    if one.compared is not None and one.compared == other.compared:
        return left
    return left if await compare(run, judge, one, other) >= 0.5 else right


async def _rewarded(run: Run, reward_model: str, candidate: Candidate) -> _Judged:
    """Ranked by the model's own number, whatever its scale; the verdict holds it cut to [0, 1]. Last where
    the model fails."""
    try:
        number = await run.score(reward_model, candidate)
    except (BackendError, BudgetExceeded) as error:
        return _Judged(candidate, Verdict.unknown("reward_model", str(error)), -inf)
    return _Judged(candidate, Verdict.rewarded(number, "reward_model"), number)
