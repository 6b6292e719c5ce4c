"""Verifiers: each judges one candidate. ``VERIFIERS`` finds the modules of this package.

A verifier is made from its specification, the ``effortwise.verifier`` object of a request or the
configuration's: ``{"type": <name>, ...its own fields...}``. To add one: a module with a class whose
``name`` is the module's, whose constructor takes the specification's other fields by keyword and
raises ``InvalidQuery`` where they are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast, runtime_checkable

from router.candidate import Candidate, Verdict
from router.errors import ConfigurationError, InvalidQuery
from router.query import Query
from router.registry import Registry

if TYPE_CHECKING:
    from router.run import Run


class Verifier(Protocol):
    """Judges one candidate. A verifier that fails says ``unknown``; it never passes by accident."""

    name: ClassVar[str]
    summary: ClassVar[str]

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """The verdict on one candidate. ``run`` serves those that spend compute of their own (a
        judge); ``None`` outside a run, where only pure verifiers work."""
        ...


@runtime_checkable
class Asking(Protocol):
    """A verifier that calls models."""

    def demand(self) -> Mapping[str, int]:
        """Upper bound on its calls for one verdict, by model."""
        ...


VERIFIERS: Registry[Verifier] = Registry("verifier", "router.verifiers")


def make_verifier(specification: Mapping[str, Any]) -> Verifier:
    """The verifier that a specification describes; ``InvalidQuery`` where it describes none."""
    fields = dict(specification)
    name = fields.pop("type", None)
    if name not in VERIFIERS:
        known = ", ".join(VERIFIERS.names())
        raise InvalidQuery(f"Unknown verifier type {name!r}. Known: {known}.", "effortwise.verifier")
    try:
        return VERIFIERS[name](**fields)
    except (TypeError, ConfigurationError) as error:
        raise InvalidQuery(
            f"The verifier {name!r} does not take that: {_in_its_words(error)}.", "effortwise.verifier"
        ) from error


def _in_its_words(error: Exception) -> str:
    """Without the name of a constructor, which says nothing to a caller."""
    return str(error).partition("__init__() ")[2] or str(error)


def asked_models(specification: Mapping[str, Any] | None) -> Mapping[str, int]:
    """Upper bound on the calls for one verdict of the verifier that a specification describes, by model."""
    if specification is None or not issubclass(VERIFIERS[specification["type"]], Asking):
        return {}
    return cast("Asking", make_verifier(specification)).demand()
