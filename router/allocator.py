"""Allocator: from a query to a plan. Read this first.

::

    query -> features -> estimate (per arm: quality, cost, latency)
          -> infeasible arms out (capabilities, caps, deadline, what the account has left)
          -> policy's distribution over the rest, at the price
          -> one draw, seeded by the query's id -> plan

Pure but for the bundle, which is swapped whole. It never leaves a caller without a plan where any
arm can serve: if the decision itself fails, the default arm is planned without a propensity, and the
plan says so.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from router.arm import Arm
from router.budget import Budget
from router.bundle import Bundle
from router.draw import draw
from router.errors import InvalidQuery, UnknownModel
from router.estimate import Estimate, FloatArray
from router.feasibility import Feasibility, Feasible, judges_of, lack
from router.menu import Menu
from router.model_card import ModelCard
from router.plan import Plan, Versions
from router.policies import Choice, Policy
from router.policies.fixed import Fixed
from router.predictors import Rows
from router.price import Price
from router.prospect import Prospect, Prospects
from router.query import Query
from router.strategies.direct import Direct

AUTO = "auto"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Card:
    """The decision card: a plan and everything it was chosen from, for people."""

    plan: Plan
    estimate: Estimate
    distribution: FloatArray
    feasible: Feasible


@dataclass(slots=True)
class Allocator:
    """Decides for one configuration.

    policies: by the name that a caller may ask for. auto: the policy behind ``model="auto"``. bundle:
    features and predictors; assign a new one to swap it. cards: every configured model, on the menu
    or not. default: the arm for when the decision fails.
    """

    menu: Menu
    policies: Mapping[str, Policy]
    auto: str
    price: Price
    bundle: Bundle
    cards: Mapping[str, ModelCard]
    default: Arm
    configuration_hash: str
    _feasibility: Feasibility = field(init=False)
    _targets: dict[str, Arm] = field(init=False)
    _known_versions: dict[tuple[str, str], Versions] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._feasibility = Feasibility(self.menu, self.cards)
        arms = {arm.id: arm for arm in self.menu}
        plain = {name: _direct(card) for name, card in self.cards.items()}
        models = {name: arms.get(arm.id, arm) for name, arm in plain.items()}  # under the arm's own caps
        self._targets = models | arms

    @property
    def targets(self) -> list[str]:
        """All that a caller may name as its model."""
        return list(dict.fromkeys([AUTO, *self.policies, *self._targets]))

    def require(self, target: str) -> None:
        """``UnknownModel`` where a caller may not name this."""
        if target not in self.targets:
            raise UnknownModel(target, self.targets)

    def plan(self, query: Query, spendable_nano: int | None = None, estimate: Estimate | None = None) -> Plan:
        """The decision. spendable_nano: what the account has left, where that must bound the plan.
        estimate: the query's own, where ``estimates`` has it already."""
        policy = self._policy_of(query.target)
        if policy is None:
            return self._fixed(query, self._targets[query.target])
        try:
            return self._decide(query, *policy, spendable_nano, estimate).plan
        except InvalidQuery:
            raise
        except Exception as error:  # whatever fails in a predictor, the caller is answered
            _log.exception("decision failed; the default arm answers")
            return self._fallback(query, error)

    def decides(self, query: Query) -> bool:
        """Whether a policy chooses for this query, so that an estimate of it is needed."""
        return query.target == AUTO or query.target in self.policies

    def estimates(self, queries: Sequence[Query]) -> Sequence[Estimate | None]:
        """The estimates for queries that came together, which costs less than one by one; ``None`` for
        each where that fails, since each may fail for itself."""
        bundle = self.bundle
        try:
            together = bundle.difficulty.estimates(Rows([bundle.extractor(query) for query in queries]))
        except Exception:
            return [None] * len(queries)
        return [together.of(i) for i in range(len(queries))]

    def card(self, query: Query, spendable_nano: int | None = None) -> Card:
        """The decision with every candidate arm's estimate and why it was excluded."""
        policy = self._policy_of(query.target)
        if policy is None:
            policy = "fixed", Fixed(self._menu_arm(query.target).id)
        return self._decide(query, *policy, spendable_nano, None)

    def beyond(self, plan: Plan, query: Query, left_nano: int) -> bool:
        """Whether an arm that could have been drawn for the plan would have reserved more than was left."""
        if plan.propensities is None:
            return False
        would_reserve = self._feasibility.reserve_nano(query)[plan.propensities > 0]
        return bool((would_reserve > left_nano).any())

    def bar(self, arm_id: str, reason: str) -> None:
        """From now on no policy may choose this arm; a caller who names it still gets it."""
        self._feasibility.bar(arm_id, reason)

    def prospects(self, plan: Plan) -> Mapping[str, Prospect]:
        """What the plan's estimate says, by arm id; empty where it has none."""
        return {} if plan.estimate is None else Prospects(self.menu, plan.estimate)

    def _policy_of(self, target: str) -> tuple[str, Policy] | None:
        name = self.auto if target == AUTO else target
        if name in self.policies:
            return name, self.policies[name]
        if target in self._targets:
            return None
        raise UnknownModel(target, self.targets)

    def _menu_arm(self, target: str) -> Arm:
        arm = self._targets[target]
        if arm.id not in self.menu:
            raise InvalidQuery(
                f"The model {target!r} has no arm of its own on the menu: there is nothing to decide.",
                "model",
            )
        return arm

    def _decide(
        self,
        query: Query,
        name: str,
        policy: Policy,
        spendable_nano: int | None,
        estimate: Estimate | None,
    ) -> Card:
        bundle = self.bundle  # read once: a swap in between must not mix two
        if estimate is None:
            estimate = bundle.difficulty.estimate(bundle.extractor(query))
        feasible = self._feasibility.check(
            query, estimate, has_verifier=query.wishes.verifier is not None, spendable_nano=spendable_nano
        )
        new = tuple(self.menu.position[arm_id] for arm_id in bundle.newcomers)
        choice = Choice(self.menu, estimate, feasible.mask, self.price, query.wishes.stakes, new)
        choice = choice.at(getattr(policy, "price_per_usd", None))  # a policy's own price is the plan's
        distribution = policy.distribution(choice)
        position = draw(distribution, query.id)
        arm = self.menu.arms[position]
        plan = Plan(
            query.id,
            arm,
            plan_budget(query, arm, self.cards),
            choice.price,
            query.wishes.stakes,
            self._versions(name, bundle),
            estimate,
            distribution,
            float(distribution[position]),
            feasible.by_reason,
        )
        return Card(plan, estimate, distribution, feasible)

    def _fixed(self, query: Query, arm: Arm) -> Plan:
        _require(query, arm)
        plan = self._undrawn(query, arm, "fixed", "the caller named it")
        if sum(arm.strategy.demand().values()) == 1:
            return plan
        return replace(plan, estimate=self._estimate(query))  # its decisions on the way rest on it

    def _estimate(self, query: Query) -> Estimate | None:
        bundle = self.bundle
        try:
            return bundle.difficulty.estimate(bundle.extractor(query))
        except Exception:
            _log.exception("no estimate; the arm decides on its way without one")
            return None

    def _fallback(self, query: Query, error: Exception) -> Plan:
        arm = next((arm for arm in (self.default, *self.menu) if not lack(query, arm)), self.default)
        _require(query, arm)
        return self._undrawn(query, arm, "default", f"the decision failed: {type(error).__name__}")

    def _undrawn(self, query: Query, arm: Arm, policy: str, override: str) -> Plan:
        return Plan(
            query.id,
            arm,
            plan_budget(query, arm, self.cards),
            self.price,
            query.wishes.stakes,
            self._versions(policy, self.bundle),
            override=override,
        )

    def _versions(self, policy: str, bundle: Bundle) -> Versions:
        key = policy, bundle.version
        if key not in self._known_versions:
            self._known_versions[key] = Versions(
                policy, bundle.version, self.menu.hash, self.configuration_hash, bundle.extractor.hash
            )
        return self._known_versions[key]


def plan_budget(query: Query, arm: Arm, cards: Mapping[str, ModelCard] = MappingProxyType({})) -> Budget:
    """The tightest of the arm's budget, the caller's wishes and the worst case of the arm and of the
    request's verifier; its cost is what the ledger reserves. cards: by model, for a verifier that asks
    some; ``InvalidQuery`` where it asks another."""
    worst = arm.reserved(query, judges_of(query, cards))
    return arm.budget.tightest(query.wishes.budget).tightest(Budget(cost_nano=worst.cost_nano))


def _direct(card: ModelCard) -> Arm:
    strategy = Direct(card.name)
    return Arm(strategy.family, strategy, (card,), strategy.family)


def _require(query: Query, arm: Arm) -> None:
    lacks = lack(query, arm)
    if lacks:
        raise InvalidQuery(f"{arm.id!r} cannot serve this request: {lacks}.", "model")
