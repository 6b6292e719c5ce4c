"""Fakes for the tests of the sampling strategies: an upstream that tells how sure it was, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fakes import Upstream

from router.backend import DEAF, Listener
from router.call import Call, Completion
from router.candidate import Candidate


@dataclass(slots=True)
class Sure(Upstream):
    """Tells a log-probability for the replies that it knows one of, where it is asked. cut: replies that
    the token cap ended."""

    logprobs: Mapping[str, float] = field(default_factory=dict)
    cut: frozenset[str] = frozenset()

    async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
        """Do as told, and say how sure."""
        completion = await Upstream.complete(self, call, listener)
        text = completion.text
        asked = call.parameters.get("logprobs") and text in self.logprobs
        return replace(
            completion,
            finish_reason="length" if text in self.cut else "stop",
            logprobs=logprobs_of(self.logprobs[text]) if asked else None,
        )


def logprobs_of(*each: float) -> dict[str, Any]:
    """OpenAI's object for tokens of these log-probabilities."""
    return {"content": [{"token": "a", "logprob": logprob} for logprob in each]}


def sure_candidate(extracted: str | None, *logprobs: float, finish_reason: str = "stop") -> Candidate:
    """A candidate whose tokens had these log-probabilities; none where they are not told."""
    told = logprobs_of(*logprobs) if logprobs else None
    message = {"role": "assistant", "content": str(extracted)}
    return Candidate(Completion(message, finish_reason, 10, 3, told), extracted)
