"""Progress: what happens on the way to an answer, as the caller who asks for it sees it on the stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from router.candidate import Answer
from router.metering import Meter
from router.plan import Plan
from router.trace import Step

Follower: TypeAlias = Callable[[dict[str, Any]], None]
"""Takes one event. Never blocks."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Tells the events of one of a query's choices, each with the plan's usage so far: ``calls`` that
    ended, ``cost_usd``, and ``elapsed_s`` since the query's arrival."""

    meter: Meter
    follower: Follower
    choice: int = 0

    def plan(self, plan: Plan) -> None:
        """The plan stands reserved; nothing is spent yet."""
        self._tell("plan", plan.arm.id, plan.override or f"drawn by the policy {plan.versions.policy!r}")

    def observe(self, happened: Step | Answer) -> None:
        """A decision was taken, or another answer is the best so far."""
        if isinstance(happened, Step):
            self._tell("step", happened.decision, happened.reason)
        else:
            ruling = happened.verdict.ruling if happened.verdict else "not judged"
            self._tell("incumbent", "offer", f"{len(happened.weighed) or 1} weighed, {ruling}")

    def _tell(self, event: str, decision: str, reason: str) -> None:
        usage = self.meter.usage
        self.follower(
            {
                "event": event,
                "choice": self.choice,
                "decision": decision,
                "reason": reason,
                "calls": usage.calls,
                "cost_usd": usage.cost_usd,
                "elapsed_s": round(self.meter.elapsed_s, 6),
            }
        )
