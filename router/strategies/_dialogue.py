"""Dialogue: what a strategy says to a model about an earlier reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from router.query import Message, Query
from router.run import SAMPLING_TEMPERATURE

STEP_TOKENS = 1 << 20
"""No cap of a step's own: that of a reply holds, or ``AUXILIARY_TOKENS`` where the caller wants a shorter
answer, since a step is none."""


def replied(messages: Sequence[Message], reply: str, instruction: str) -> Sequence[Message]:
    """The caller's messages, an earlier reply as the model's own, and what is said to it. Two messages
    more, as the worst case of a strategy with quotes has it."""
    said = {"role": "assistant", "content": reply or "(nothing)"}  # some providers refuse an empty message
    return [*messages, said, {"role": "user", "content": instruction}]


def differing(query: Query) -> Mapping[str, Any]:
    """What a further draw of one prompt needs to differ from the one before."""
    return {"temperature": SAMPLING_TEMPERATURE} if query.parameters.get("temperature") == 0 else {}
