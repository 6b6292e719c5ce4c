"""Feasibility: which arms may serve a query at all, and why the others may not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from router.arm import Arm, worst_call
from router.errors import InfeasibleQuery, InvalidQuery
from router.estimate import Estimate, FloatArray
from router.menu import Menu
from router.model_card import ModelCard
from router.query import Query, text_of
from router.tariff import to_usd
from router.verifiers import asked_models

Mask: TypeAlias = NDArray[np.bool_]

NO_ROOM = "max_completion_tokens leaves no room for an answer behind its thinking"
NO_TOOLS = "uses no tools (effortwise.tools)"
BYTES_PER_TOKEN_AT_MOST = 8
"""A prompt of more than this many bytes per token of context is certainly too long."""


@dataclass(frozen=True, slots=True, eq=False)
class Feasible:
    """mask: shape (arms,), true where the arm may serve. by_reason: why others may not -> their ids."""

    mask: Mask
    by_reason: Mapping[str, Sequence[str]]

    @property
    def excluded(self) -> dict[str, str]:
        """Arm id -> reason."""
        return {arm_id: reason for reason, arm_ids in self.by_reason.items() for arm_id in arm_ids}


@dataclass(frozen=True, slots=True, eq=False)
class _Served:
    """The arms that can serve a form of request, which cannot for what reason, and that by their ids."""

    mask: Mask
    reasons: tuple[tuple[Mask, str], ...]
    by_reason: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Feasibility:
    """The checks of one menu, with what does not depend on the query worked out once.

    Hard checks (capabilities, the context, money that certainly does not suffice) leave arms out
    whatever remains. Soft ones rest on estimates (likely cost, latency, quality); where one would
    leave none, it leaves the arm that comes nearest. cards: of all models that a verifier may ask.
    """

    menu: Menu
    cards: Mapping[str, ModelCard] = field(default_factory=dict, repr=False)
    _calls: FloatArray = field(init=False, repr=False)
    _caps_nano: FloatArray = field(init=False, repr=False)
    _capped: bool = field(init=False, repr=False)
    _context: FloatArray = field(init=False, repr=False)
    _thinking: FloatArray = field(init=False, repr=False)
    _quoting: tuple[int, ...] = field(init=False, repr=False)
    _shortest_context: int = field(init=False, repr=False)
    _by_form: dict[tuple[bool, ...], _Served] = field(init=False, repr=False, default_factory=dict)
    _barred: dict[str, str] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        arms, models = self.menu.arms, list(self.menu.models)
        calls = np.zeros((len(arms), len(models)))
        for i, arm in enumerate(arms):
            for name, count in arm.strategy.demand().items():
                calls[i, models.index(name)] = count
        caps = [np.inf if arm.budget.cost_nano is None else arm.budget.cost_nano for arm in arms]
        contexts = [min(card.context_tokens for card in arm.models) for arm in arms]
        object.__setattr__(self, "_calls", calls)
        object.__setattr__(self, "_caps_nano", np.array(caps, dtype=float))
        object.__setattr__(self, "_capped", min(caps) < np.inf)
        object.__setattr__(self, "_context", np.array(contexts))
        quoting = [i for i, arm in enumerate(arms) if arm.strategy.traits.quotes]
        object.__setattr__(self, "_quoting", tuple(quoting))
        object.__setattr__(self, "_shortest_context", min(contexts))
        object.__setattr__(self, "_thinking", np.array([arm.thinking_tokens for arm in arms], dtype=float))

    def bar(self, arm_id: str, reason: str) -> None:
        """From now on an arm may serve no query, since its upstream refuses what it would send."""
        self._barred[arm_id] = reason
        self._by_form.clear()

    def check(
        self, query: Query, estimate: Estimate, *, has_verifier: bool, spendable_nano: int | None
    ) -> Feasible:
        """The arms that may serve; ``InfeasibleQuery`` where none may."""
        form = self._form(query, has_verifier)
        mask, reasons = form.mask.copy(), list(form.reasons)
        self._hard(query, mask, reasons, spendable_nano)
        if not mask.any():
            why = "; ".join(dict.fromkeys(reason for _, reason in reasons))
            raise InfeasibleQuery(f"No arm can serve this request: {why}.", "effortwise")
        self._soft(query, estimate, mask, reasons)
        if len(reasons) == len(form.reasons):
            return Feasible(mask, form.by_reason)
        return Feasible(mask, _named(self.menu, reasons))

    def reserve_nano(self, query: Query) -> FloatArray:
        """What each arm's plan would reserve, its worst case and the verifier's within its caps,
        nano-dollars, shape (arms,). ``InvalidQuery`` where the verifier asks an unknown model."""
        judges = judges_of(query, self.cards)
        worst = query.n * (self._calls @ self._call_nano(query))
        for i in range(len(self.menu)) if judges else self._quoting:
            worst[i] = self.menu.arms[i].reserved(query, judges).cost_nano
        reserved: FloatArray = np.minimum(worst, self._cap_nano(query))
        return reserved

    def _form(self, query: Query, has_verifier: bool) -> _Served:
        """Who can serve a request of this form; there are few forms, so each is worked out once."""
        key = (
            has_verifier,
            query.wishes.tools is not None,
            *(bool(query.parameters.get(name)) for name in CAPABILITIES),
        )
        if key not in self._by_form:
            self._by_form[key] = self._served(key)
        return self._by_form[key]

    def _served(self, form: tuple[bool, ...]) -> _Served:
        has_verifier, has_tools, *asked = form
        mask, reasons = np.ones(len(self.menu), bool), list[tuple[Mask, str]]()
        for (name, capable), wanted in zip(CAPABILITIES.items(), asked, strict=True):
            if wanted:
                _leave_out(mask, reasons, ~_mask(self.menu.arms, capable), f"cannot serve {name}")
        if not has_verifier:
            verified = _mask(self.menu.arms, lambda arm: arm.strategy.traits.needs_verifier)
            _leave_out(mask, reasons, verified, "needs a verifier (effortwise.verifier)")
        if has_tools:
            without = _mask(self.menu.arms, lambda arm: not arm.strategy.traits.runs_tools)
            _leave_out(mask, reasons, without, NO_TOOLS)
        for reason in dict.fromkeys(self._barred.values()):
            barred = np.array([self._barred.get(arm.id) == reason for arm in self.menu])
            _leave_out(mask, reasons, barred, reason)
        return _Served(mask, tuple(reasons), _named(self.menu, reasons))

    def _cap_nano(self, query: Query) -> FloatArray:
        wished = query.wishes.budget.cost_nano
        return self._caps_nano if wished is None else np.minimum(self._caps_nano, wished)

    def _hard(
        self, query: Query, mask: Mask, reasons: list[tuple[Mask, str]], spendable_nano: int | None
    ) -> None:
        size = sum(len(text_of(message)) for message in query.messages)
        if size > BYTES_PER_TOKEN_AT_MOST * self._shortest_context:
            too_long = size > BYTES_PER_TOKEN_AT_MOST * self._context
            _leave_out(mask, reasons, too_long, "the prompt exceeds its context")
        if query.max_completion_tokens is not None:
            all_thinking = (self._thinking > 0) & (self._thinking >= query.max_completion_tokens)
            _leave_out(mask, reasons, all_thinking, NO_ROOM)
        if self._capped or query.wishes.max_cost_usd is not None:
            first_nano = query.n * np.where(self._calls > 0, self._call_nano(query), np.inf).min(axis=1)
            least = to_usd(int(first_nano.min()))
            short = f"max_cost_usd does not cover one call (the cheapest may need {least:.9f})"
            _leave_out(mask, reasons, first_nano > self._cap_nano(query), short)
        if spendable_nano is not None:
            beyond = self.reserve_nano(query) > spendable_nano
            _leave_out(mask, reasons, beyond, "exceeds the account's allowance")

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
        if wishes.max_calls is not None:
            calls = query.n * self._calls.sum(axis=1)
            _prefer(mask, reasons, calls, wishes.max_calls, "may need more calls than max_calls")
        if wishes.min_quality is not None:
            _prefer(mask, reasons, -estimate.quality, -wishes.min_quality, "is below min_quality")

    def _call_nano(self, query: Query) -> FloatArray:
        """The worst case of one call of each model, shape (models,)."""
        return np.array(
            [worst_call(query, card).cost_nano for card in self.menu.models.values()], dtype=float
        )


def judges_of(query: Query, cards: Mapping[str, ModelCard]) -> dict[ModelCard, int]:
    """Calls per verdict of the models that the request's verifier asks; ``InvalidQuery`` where it asks one
    that is not configured."""
    asked = asked_models(query.wishes.verifier)
    if unknown := [model for model in asked if model not in cards]:
        raise InvalidQuery(
            f"The verifier asks {unknown[0]!r}. Known: {', '.join(cards)}.", "effortwise.verifier"
        )
    return {cards[model]: calls for model, calls in asked.items()}


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


def _named(menu: Menu, reasons: list[tuple[Mask, str]]) -> dict[str, list[str]]:
    return {reason: [menu.arms[i].id for i in np.flatnonzero(out)] for out, reason in reasons}


def lack(query: Query, arm: Arm) -> str | None:
    """What one arm cannot do for the query; ``None`` where it can serve."""
    if arm.strategy.traits.needs_verifier and query.wishes.verifier is None:
        return "it needs a verifier (effortwise.verifier)"
    if query.wishes.tools is not None and not arm.strategy.traits.runs_tools:
        return f"it {NO_TOOLS}"
    for key, capable in CAPABILITIES.items():
        if query.parameters.get(key) and not capable(arm):
            return f"it cannot serve {key}"
    thinks, cap = arm.thinking_tokens, query.max_completion_tokens
    if cap is not None and 0 < thinks >= cap:
        return f"it may think {thinks} tokens, and {NO_ROOM}"
    return None
