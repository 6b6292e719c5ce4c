"""Particle filtering over reasoning steps: sequential Monte Carlo (Puri et al. 2025, arXiv 2502.01618)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from router.candidate import Answer
from router.errors import ConfigurationError
from router.estimate import FloatArray
from router.run import Run
from router.search.guide import Guide, family_of
from router.search.path import ROOT, Path
from router.search.search import Choice, Search, best
from router.strategies import Traits
from router.vote import leading

_CERTAIN = 0.99
"""Values are taken no further than this and its complement, whose odds would be infinite."""


def _most_backed(paths: Sequence[Path]) -> Path:
    """The best path of the answer with the largest sum of values."""
    candidates = [path.candidate for path in paths]
    leader = candidates[leading(candidates, [max(path.rank, 0.0) for path in paths])].compared
    return best([path for path, each in zip(paths, candidates, strict=True) if each.compared == leader])


_CHOICES: Mapping[str, Choice] = {"value": best, "vote": _most_backed}


@dataclass(frozen=True, slots=True)
class ParticleFiltering:
    """``n`` particles; all take a step at once, are weighted by their value, and are resampled.

    weight = v / (1 - v), the softmax of Puri et al. over logits. Systematic resampling gives a particle of
    normalised weight w either floor(n w) or ceil(n w) offspring, so one low value kills no path for
    certain, as pruning would. It ends when all particles are complete, at most after ``depth`` steps.
    ``choose``: the answer is the path of the highest ``value``, or that of a ``vote`` weighted by values.
    """

    name: ClassVar[str] = "particle_filtering"
    summary: ClassVar[str] = "partial solutions resampled by reward at each step (sequential Monte Carlo)"
    model: str
    n: int
    depth: int = 4
    choose: str = "value"
    value: str = "judge"
    judge: str | None = None

    def __post_init__(self) -> None:
        if self.n < 2:
            raise ConfigurationError(f"particle_filtering needs n >= 2, not {self.n}.")
        if self.choose not in _CHOICES:
            raise ConfigurationError(f"Unknown choose {self.choose!r}. Known: {', '.join(_CHOICES)}.")
        self.guide()  # raises where it cannot be led so

    def guide(self) -> Guide:
        """How its steps are written and weighted."""
        return Guide(self.model, self.value, self.judge, self.depth)

    @property
    def traits(self) -> Traits:
        """See ``Guide.traits``."""
        return self.guide().traits

    @property
    def family(self) -> str:
        """``<model>/particle_filtering``, with the options that are not the default."""
        return family_of(self, self.model)

    @property
    def compute(self) -> float:
        """Particles."""
        return float(self.n)

    def demand(self) -> Mapping[str, int]:
        """n * depth steps and a forced end; each step is valued."""
        steps = self.n * self.depth
        return self.guide().demand(steps + 1, steps)

    async def answer(self, run: Run) -> Answer:
        """The chosen complete particle."""
        search, particles = Search(run, self.guide()), [ROOT] * self.n
        for level in range(self.depth):
            moving = [path for path in particles if not path.complete]
            if search.ended or not moving:
                break
            moved = await search.round([partial(search.step, path) for path in moving])
            alive = [*(path for path in particles if path.complete), *moved]
            particles = _resampled(alive, self.n, run.chance(f"particles:{level}"))
        return await search.conclude(_CHOICES[self.choose])


def _resampled(particles: Sequence[Path], count: int, offset: float) -> list[Path]:
    """``count`` particles by systematic resampling. offset: one uniform number in [0, 1) for them all."""
    if not particles:
        return []
    return [particles[i] for i in systematic(odds([path.rank for path in particles]), count, offset)]


def odds(values: Sequence[float]) -> FloatArray:
    """Weights v / (1 - v), normalised, shape (values,)."""
    clipped = np.clip(np.array(values, dtype=float), 1 - _CERTAIN, _CERTAIN)
    weights = clipped / (1 - clipped)
    normalised: FloatArray = weights / weights.sum()
    return normalised


def systematic(weights: FloatArray, count: int, offset: float) -> list[int]:
    """The positions of ``count`` offspring: those at which (offset + i) / count falls in the cumulated
    weights (Kitagawa 1996). weights: sum to one, shape (particles,).

    >>> systematic(np.array([0.5, 0.0, 0.5]), 4, 0.3)
    [0, 0, 2, 2]
    """
    points = (offset + np.arange(count)) / count
    found = np.searchsorted(np.cumsum(weights), points, side="right")
    return [int(i) for i in np.minimum(found, len(weights) - 1)]
