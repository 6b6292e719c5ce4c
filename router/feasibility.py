"""Feasibility: which arms may serve a query at all, and why the others may not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from router.arm import TEMPLATE_TOKENS, Arm, completion_cap
from router.call import Call
from router.errors import InfeasibleQuery
from router.estimate import Estimate, FloatArray
from router.menu import Menu
from router.query import Query
from router.tariff import to_nano, to_usd

Mask: TypeAlias = NDArray[np.bool_]

BYTES_PER_TOKEN_AT_MOST = 8
"""A prompt of more than this many bytes per token of context is certainly too long."""


@dataclass(frozen=True, slots=True, eq=False)
class Feasible:
    """mask: shape (arms,), true where the arm may serve. excluded: arm id -> reason."""

    mask: Mask
    excluded: Mapping[str, str]


@dataclass(frozen=True)
class Feasibility:
    """The checks of one menu, with what does not depend on the query worked out once.

    Hard checks (capabilities, the context, money that certainly does not suffice) leave arms out
    whatever remains. Soft ones rest on estimates (likely cost, latency, quality); where one would
    leave none, it leaves the arm that comes nearest.
    """

    menu: Menu
    _capable: Mapping[str, Mask] = field(init=False, repr=False)
    _verified: Mask = field(init=False, repr=False)
    _context: FloatArray = field(init=False, repr=False)
    _calls: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        arms, models = self.menu.arms, list(self.menu.models)
        calls = np.zeros((len(arms), len(models)))
        for i, arm in enumerate(arms):
            for name, count in arm.strategy.demand().items():
                calls[i, models.index(name)] = count
        object.__setattr__(self, "_calls", calls)
        object.__setattr__(self, "_verified", _mask(arms, lambda arm: arm.strategy.traits.needs_verifier))
        object.__setattr__(
            self, "_context", np.array([min(c.context_tokens for c in a.models) for a in arms])
        )
        object.__setattr__(self, "_capable", {key: _mask(arms, test) for key, test in CAPABILITIES.items()})

    def check(
        self, query: Query, estimate: Estimate, *, has_verifier: bool, spendable_nano: int | None
    ) -> Feasible:
        """The arms that may serve; ``InfeasibleQuery`` where none may."""
        mask = np.ones(len(self.menu), bool)
        reasons: list[tuple[Mask, str]] = []
        self._hard(query, mask, reasons, has_verifier, spendable_nano)
        if not mask.any():
            why = "; ".join(dict.fromkeys(reason for _, reason in reasons))
            raise InfeasibleQuery(f"No arm can serve this request: {why}.", "effortwise")
        self._soft(query, estimate, mask, reasons)
        return Feasible(mask, _named(self.menu, reasons))

    def worst_cost_nano(self, query: Query) -> FloatArray:
        """Every arm's worst case in nano-dollars, shape (arms,)."""
        return query.n * (self._calls @ self._cost_per_call(query))

    def _hard(
        self,
        query: Query,
        mask: Mask,
        reasons: list[tuple[Mask, str]],
        has_verifier: bool,
        spendable_nano: int | None,
    ) -> None:
        for key, capable in self._capable.items():
            if query.parameters.get(key):
                _leave_out(mask, reasons, ~capable, f"cannot serve {key}")
        if not has_verifier:
            _leave_out(mask, reasons, self._verified, "needs a verifier (effortwise.verifier)")
        size = sum(len(str(message.get("content"))) for message in query.messages)
        too_long = size > BYTES_PER_TOKEN_AT_MOST * self._context
        _leave_out(mask, reasons, too_long, "the prompt exceeds its context")
        if query.wishes.max_cost_usd is not None:
            first_call = np.where(self._calls > 0, self._cost_per_call(query), np.inf).min(axis=1)
            short = first_call > to_nano(query.wishes.max_cost_usd)
            least = to_usd(int(first_call.min()))
            _leave_out(
                mask,
                reasons,
                short,
                f"max_cost_usd does not cover one call (the cheapest may need {least:.3g})",
            )
        if spendable_nano is not None:
            _leave_out(
                mask, reasons, self.worst_cost_nano(query) > spendable_nano, "exceeds the account's allowance"
            )

    def _soft(self, query: Query, estimate: Estimate, mask: Mask, reasons: list[tuple[Mask, str]]) -> None:
        wishes = query.wishes
        if wishes.max_cost_usd is not None:
            _prefer(
                mask,
                reasons,
                estimate.cost_usd_q90 * query.n,
                wishes.max_cost_usd,
                "likely exceeds max_cost_usd",
            )
        if wishes.deadline_s is not None:
            _prefer(mask, reasons, estimate.latency_s_q95, wishes.deadline_s, "likely misses deadline_s")
        if wishes.min_quality is not None:
            _prefer(mask, reasons, -estimate.quality, -wishes.min_quality, "is below min_quality")

    def _cost_per_call(self, query: Query) -> FloatArray:
        costs = []
        for card in self.menu.models.values():
            completion = completion_cap(query, card)
            bound = Call(card.name, query.messages, completion, query.parameters).prompt_token_bound
            prompt = min(bound + TEMPLATE_TOKENS, card.context_tokens)
            costs.append(card.tariff.cost_nano(prompt, completion))
        return np.array(costs, dtype=float)


CAPABILITIES: Mapping[str, Callable[[Arm], bool]] = {
    "tools": lambda arm: arm.strategy.traits.tools and all(card.tools for card in arm.models),
    "functions": lambda arm: arm.strategy.traits.tools and all(card.tools for card in arm.models),
    "response_format": lambda arm: (
        arm.strategy.traits.response_format and all(card.response_format for card in arm.models)
    ),
    "logprobs": lambda arm: all(card.logprobs for card in arm.models),
}


def _mask(arms: tuple[Arm, ...], test: Callable[[Arm], bool]) -> Mask:
    return np.array([test(arm) for arm in arms], dtype=bool)


def _leave_out(mask: Mask, reasons: list[tuple[Mask, str]], out: Mask, reason: str) -> None:
    newly = mask & out
    if newly.any():
        mask &= ~out
        reasons.append((newly, reason))


def _prefer(
    mask: Mask, reasons: list[tuple[Mask, str]], value: FloatArray, limit: float, reason: str
) -> None:
    """Leave out arms whose value is above the limit; of arms that all are, keep the nearest."""
    over = value > limit
    if not (mask & ~over).any():
        over = over.copy()
        over[int(np.argmin(np.where(mask, value, np.inf)))] = False
    _leave_out(mask, reasons, over, reason)


def _named(menu: Menu, reasons: list[tuple[Mask, str]]) -> dict[str, str]:
    return {menu.arms[i].id: reason for out, reason in reasons for i in np.flatnonzero(out)}


def lack(query: Query, arm: Arm) -> str | None:
    """What one arm cannot do for the query; ``None`` where it can serve."""
    if arm.strategy.traits.needs_verifier and query.wishes.verifier is None:
        return "it needs a verifier (effortwise.verifier)"
    for key, capable in CAPABILITIES.items():
        if query.parameters.get(key) and not capable(arm):
            return f"it cannot serve {key}"
    return None
