"""Domains: each is a kind of question, with how its final answer is read, what verifies it and which
ways of answering pay. ``DOMAINS`` finds the modules of this package.

A caller may name a query's domain (``effortwise.domain``); else the first, by ``order``, that
recognises the query has it, ``chat`` last. To add one: a module with a class whose ``name`` is the
module's and whose constructor takes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar, Protocol

from router.errors import InvalidQuery
from router.query import Query
from router.registry import Registry

MODEL = "MODEL"
"""Stands for the model's name in a default menu."""


class Domain(Protocol):
    """A kind of question. Stateless.

    order: domains are asked in ascending order whether a query is theirs. verifiers: names of those that
    suit it. menu: its default ways of answering, tables as in ``[[menu]]`` with ``MODEL`` in place of a
    model's name.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    order: ClassVar[int]
    verifiers: ClassVar[Sequence[str]]
    menu: ClassVar[Sequence[Mapping[str, Any]]]

    def matches(self, query: Query) -> bool:
        """Whether the query is of this domain, from its text and parameters alone; some microseconds."""
        ...

    def extract(self, query: Query, text: str) -> str | None:
        """The final answer in a reply (stripped, its last 20,000 characters), apart from its reasoning;
        ``None`` where there is none that could be compared."""
        ...


DOMAINS: Registry[Domain] = Registry("domain", "router.domains")


@cache
def known_domains() -> Mapping[str, Domain]:
    """One of every domain by its name, in the order in which they are asked."""
    made = sorted((DOMAINS[name]() for name in DOMAINS), key=lambda domain: domain.order)
    return {domain.name: domain for domain in made}


def domain_of(query: Query) -> Domain:
    """The domain that the caller named, else the first that recognises the query. ``InvalidQuery``
    where the named one does not exist."""
    named = query.wishes.domain
    if named is not None:
        return named_domain(named)
    return next(domain for domain in known_domains().values() if domain.matches(query))


def named_domain(name: str) -> Domain:
    """The domain of a name; ``InvalidQuery`` names the known ones where there is none."""
    known = known_domains()
    if name not in known:
        raise InvalidQuery(f"Unknown domain {name!r}. Known: {', '.join(known)}.", "effortwise.domain")
    return known[name]


def bound(query: Query, bindings: Mapping[str, Mapping[str, Any]]) -> Query:
    """The query with the verifier that the operator bound to its domain, where it brings none itself.

    bindings: by domain, verifier specifications.
    """
    if not bindings or query.wishes.verifier is not None:
        return query
    verifier = bindings.get(domain_of(query).name)
    return query if verifier is None else replace(query, wishes=replace(query.wishes, verifier=verifier))


EARNED = frozenset({"direct", "chain_of_thought", "self_consistency", "best_of_n", "cascade"})
"""Strategies that stand in a menu without being asked for: the plain ones, and what was measured to pay."""


def default_menu(domain: Domain, model: str) -> list[dict[str, Any]]:
    """The ``[[menu]]`` entries of a domain's default menu for one model."""
    return [{key: _with_model(value, model) for key, value in entry.items()} for entry in domain.menu]


def _with_model(value: Any, model: str) -> Any:
    if isinstance(value, str):
        return value.replace(MODEL, model)
    if isinstance(value, list | tuple):
        return [_with_model(item, model) for item in value]
    return value
