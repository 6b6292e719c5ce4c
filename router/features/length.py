"""Length: how much is asked, and how much may be answered."""

from __future__ import annotations

from collections.abc import Sequence
from math import log1p
from typing import ClassVar

import numpy as np

from router.features import Sparse
from router.query import Query, text_of


class Length:
    """Sizes on a logarithmic scale; the natural logarithm of one plus each count."""

    name: ClassVar[str] = "length"
    summary: ClassVar[str] = "log sizes of the question, of the conversation and of the allowed reply"
    columns: Sequence[str] = (
        "log_characters",
        "log_words",
        "log_lines",
        "characters_per_word",
        "log_conversation_characters",
        "log_messages",
        "log_system_characters",
        "reply_capped",
        "log_reply_cap",
    )
    buckets = 0

    def dense(self, query: Query) -> Sequence[float]:
        """Shape (9,); the cap's logarithm is 0 where the caller sets none."""
        text = query.text
        words = len(text.split())
        cap = query.max_completion_tokens
        system = sum(len(text_of(m)) for m in query.messages if m.get("role") in ("system", "developer"))
        return (
            log1p(len(text)),
            log1p(words),
            log1p(text.count("\n")),
            len(text) / (words + 1),
            log1p(sum(len(text_of(message)) for message in query.messages)),
            log1p(len(query.messages)),
            log1p(system),
            float(cap is not None),
            log1p(cap or 0),
        )

    def sparse(self, query: Query) -> Sparse:
        """Nothing is hashed."""
        return np.zeros(0, np.int64), np.zeros(0)
