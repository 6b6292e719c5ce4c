"""Value of information: another draw is made where what it should gain is more than its price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import ClassVar, TypeAlias

from router.errors import ConfigurationError
from router.stopping import Draws, top_two
from router.stopping.adaptive_consistency import stability

Inputs: TypeAlias = tuple[float, ...]

HORIZONS = (1, 2, 4, 8, 16, 32)
"""Draws looked ahead: a vote of two is the first one's, so that one draw ahead shows no gain."""
INPUTS = 5


@dataclass(frozen=True, slots=True)
class ValueOfInformation:
    """Goes on while max_j (gain_j - price_per_draw * min(j, left)) > 0, over the horizons j.

    gain_j = w_j . inputs: the expected change of P(the vote is right) from j more draws, learnt from
    recorded answers (``training/fit/stopping.py``). Every input has the factor 2 (1 - stability), the
    odds that the leader changes, without which nothing is gained.

    price_per_draw: quality units. weights: horizon, as text, to its ``INPUTS`` weights; learnt for one
    arm. together: draws made side by side between two decisions.
    """

    name: ClassVar[str] = "value_of_information"
    summary: ClassVar[str] = "stops when the learnt gain of more draws is below their price"
    reason: ClassVar[str] = "more draws are not worth their price"

    price_per_draw: float
    weights: Mapping[str, Sequence[float]] = field(default_factory=dict)
    together: int = 1

    def __post_init__(self) -> None:
        known = {str(horizon) for horizon in HORIZONS}
        if not self.weights or not self.weights.keys() <= known:
            raise ConfigurationError(
                f"value_of_information needs weights by horizon, among {', '.join(sorted(known, key=int))}; "
                f"it has {', '.join(map(str, self.weights)) or 'none'}."
            )
        if any(len(weights) != INPUTS for weights in self.weights.values()):
            raise ConfigurationError(f"value_of_information needs {INPUTS} weights for each horizon.")
        if self.price_per_draw < 0 or self.together < 1:
            raise ConfigurationError(
                "value_of_information needs price_per_draw >= 0 and together >= 1, not "
                f"{self.price_per_draw} and {self.together}."
            )

    def next_batch(self, draws: Draws) -> int:
        """See the contract."""
        return self.together if not draws.answers or self._worth(draws) > 0 else 0

    def _worth(self, draws: Draws) -> float:
        values = inputs(draws)
        return max(
            sum(w * x for w, x in zip(weights, values, strict=True))
            - self.price_per_draw * min(int(horizon), draws.left)
            for horizon, weights in self.weights.items()
        )


def inputs(draws: Draws) -> Inputs:
    """What the gain is linear in, ``INPUTS`` numbers, with n draws, V votes of them and v1 for the leading
    answer: 2 (1 - stability) times (1, 2 (1 - stability), v1 / V, ln n, distinct answers / V)."""
    votes = draws.votes
    first, second = top_two(votes)
    open_ = 2 * (1 - stability(first, second))
    cast = max(sum(votes), 1)
    values = (1.0, open_, first / cast, log(len(draws.answers)), len(votes) / cast)
    return tuple(open_ * value for value in values)
