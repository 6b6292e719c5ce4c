"""Outcome: a later judgement of one trace."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from router.errors import InvalidQuery


@dataclass(frozen=True, slots=True)
class Outcome:
    """A reward in [0, 1] for a trace, from a named source. Keyed by (trace_id, source, outcome_id):
    the same key again changes nothing. recorded_at: Unix seconds."""

    trace_id: str
    reward: float
    source: str
    outcome_id: str = ""
    recorded_at: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        if not 0 <= self.reward <= 1:
            raise InvalidQuery(f"A reward lies in [0, 1]; this one is {self.reward}.", "reward")
        if not self.source:
            raise InvalidQuery("An outcome needs a source.", "source")
