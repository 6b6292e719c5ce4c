"""Checkable: one task to collect, with the judge that knows whether a reply is right."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from router.answers import extract_answer
from router.call import Completion
from router.candidate import Candidate
from router.query import Message, Query, Wishes
from router.verifiers import make_verifier

Judge: TypeAlias = Callable[[str], Awaitable[float | None]]
"""From a reply's text to its reward in [0, 1]; ``None`` where it cannot be told."""


@dataclass(frozen=True, slots=True)
class Checkable:
    """One task.

    id: the same in every run over the same workload. family: what the table of results groups by.
    judge: knows the right answer; none of it is sent. wishes: the request's ``effortwise`` object.
    parameters: further fields of its body.
    """

    id: str
    family: str
    messages: Sequence[Message]
    judge: Judge
    wishes: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def body(self, model: str) -> dict[str, Any]:
        """The chat completion request. model: ``auto``, a policy's, an arm's or a model's name."""
        return {
            **self.parameters,
            "model": model,
            "messages": list(self.messages),
            "effortwise": {"unit": self.id, **self.wishes},
        }


async def told_by_service(text: str) -> None:
    """The judge of a task whose verifier goes with the request: the service records its verdict itself."""


def judged_by(specification: Mapping[str, Any], messages: Sequence[Message], domain: str | None) -> Judge:
    """The judge that a verifier specification describes; ``InvalidQuery`` where it describes none.

    A reply without a final answer is wrong; any other that the verifier cannot tell is not judged.
    """
    verifier = make_verifier(specification)
    query = Query(messages, wishes=Wishes(verifier=specification, domain=domain))

    async def judge(text: str) -> float | None:
        completion = Completion({"role": "assistant", "content": text}, "stop", 0, 0)
        verdict = await verifier.verify(query, Candidate(completion, None), None)
        if verdict.ruling == "unknown" and extract_answer(query, text) is not None:
            return None
        return verdict.reward

    return judge
