"""The decision card as JSON values: every candidate arm, and why this one."""

from __future__ import annotations

from typing import Any

from router.allocator import Card
from router.menu import Menu
from router.tariff import to_usd


def card_values(card: Card, menu: Menu) -> dict[str, Any]:
    """The body of ``POST /v1/plan``: the plan, and a row per arm in the menu's order."""
    plan, estimate = card.plan, card.estimate
    utility = plan.price.utility(estimate, plan.stakes)
    arms = [
        {
            "arm": arm.id,
            "quality": float(estimate.quality[i]),
            "quality_sd": float(estimate.quality_sd[i]),
            "cost_usd": float(estimate.cost_usd[i]),
            "cost_usd_q90": float(estimate.cost_usd_q90[i]),
            "latency_s": float(estimate.latency_s[i]),
            "latency_s_q95": float(estimate.latency_s_q95[i]),
            "utility": float(utility[i]),
            "propensity": float(card.distribution[i]),
            "excluded": card.feasible.excluded.get(arm.id),
        }
        for i, arm in enumerate(menu)
    ]
    return {
        "object": "plan",
        "id": plan.query_id,
        "arm": plan.arm.id,
        "propensity": plan.propensity,
        "reserved_usd": to_usd(plan.reserve_nano),
        "deadline_s": plan.budget.seconds,
        "stakes": plan.stakes,
        "price": {"per_usd": plan.price.per_usd, "per_s": plan.price.per_s},
        "versions": {
            "policy": plan.versions.policy,
            "predictor": plan.versions.predictor,
            "menu": plan.versions.menu,
            "configuration": plan.versions.configuration,
            "features": plan.versions.features,
            "experiment": plan.versions.experiment,
        },
        "arms": arms,
    }
