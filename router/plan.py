"""Plan: the decision for one query, with all that a later reader needs to check it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.arm import Arm
from router.budget import Budget
from router.estimate import Estimate, FloatArray
from router.price import Price


@dataclass(frozen=True, slots=True)
class Versions:
    """What decided: the policy's name, the predictor's version, the menu's and the configuration's
    hashes, the features' hash, and the experiment's variant if there was one."""

    policy: str
    predictor: str
    menu: str
    configuration: str
    features: str
    experiment: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The decision for one query.

    propensities: shape (arms,), the probability of every arm of the menu, zero where infeasible;
    ``None`` where no draw was made. propensity: that of the drawn arm. excluded: why arms were not
    eligible -> their ids. override: why the drawn arm was not the one executed, or why no draw was made
    (a fixed target, a failed decision, no allowance for the drawn arm); such a plan's propensity is
    ``None`` and off-policy evaluation leaves it out.
    """

    query_id: str
    arm: Arm
    budget: Budget
    price: Price
    stakes: float
    versions: Versions
    estimate: Estimate | None = None
    propensities: FloatArray | None = None
    propensity: float | None = None
    excluded: Mapping[str, Sequence[str]] | None = None
    override: str | None = None

    @property
    def reserve_nano(self) -> int:
        """What the ledger must hold for this plan, nano-dollars."""
        return self.budget.cost_nano or 0

    def as_values(self) -> dict[str, Any]:
        """The plan as plain JSON values, as it stands on its trace and reservation."""
        return {
            "arm": self.arm.id,
            "policy": self.versions.policy,
            "predictor": self.versions.predictor,
            "menu": self.versions.menu,
            "configuration": self.versions.configuration,
            "features": self.versions.features,
            "experiment": self.versions.experiment,
            "price_per_usd": self.price.per_usd,
            "price_per_s": self.price.per_s,
            "stakes": self.stakes,
            "reserve_nano": self.reserve_nano,
            "propensity": self.propensity,
            "propensities": None if self.propensities is None else self.propensities.tolist(),
            "excluded": self.excluded or None,
            "override": self.override,
        }
