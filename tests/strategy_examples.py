"""An example or two of every registered strategy, for the conformance suite.

A new strategy needs nothing here while its required options are among ``REQUIRED`` by name. One whose
options are unusual adds a function to ``UNUSUAL``, by its name, that returns its examples. ``VARIANTS``
are values of optional fields that deserve an example of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from router.strategies import STRATEGIES, Strategy
from router.strategies.best_of_n import BestOfN
from router.strategies.cascade import Stage
from router.strategies.direct import Direct
from router.strategies.self_consistency import SelfConsistency

REQUIRED: Mapping[str, Any] = {
    "model": "small",
    "models": ("small", "large"),
    "n": 4,
    "stages": (
        Stage("small/direct", Direct("small")),
        Stage("small/self_consistency@4", SelfConsistency("small", 4)),
        Stage("large/direct", Direct("large")),
    ),
}
VARIANTS: Mapping[str, Any] = {
    "judge": "large",
    "prompt": "plan_then_solve",
    "template": "chain_of_thought",
    "stop_at": 1.0,
    "stop": "esc",
    "weigh": "logprob",
    "only_valid": True,
    "aggregator": "small",
    "critic": "large",
}


def _selectors() -> Sequence[Strategy]:
    """Options of ``best_of_n`` that exclude one another, or that need another."""
    return [
        BestOfN("small", 4),
        BestOfN("small", 4, template="chain_of_thought"),
        BestOfN("small", 4, judge="large"),
        BestOfN("small", 4, judge="large", compare="pairwise"),
        BestOfN("small", 5, judge="small", compare="pairwise"),
        BestOfN("small", 4, reward="large"),
        BestOfN("small", 4, by="likelihood"),
    ]


def _searches(name: str, **own: Any) -> Callable[[], Sequence[Strategy]]:
    """A search that rates itself, one with another judge and an option of its own, one with a verifier."""
    kind: Any = STRATEGIES[name]
    return lambda: [
        kind("small", 4),
        kind("small", 4, judge="large", **own),
        kind("small", 4, value="verifier", **own),
    ]


UNUSUAL: Mapping[str, Callable[[], Sequence[Strategy]]] = {
    "best_of_n": _selectors,
    "beam_search": _searches("beam_search", branch=3),
    "monte_carlo_tree_search": _searches("monte_carlo_tree_search", branching="adaptive"),
    "particle_filtering": _searches("particle_filtering", choose="vote"),
    "tree_of_thoughts": _searches("tree_of_thoughts", search="best_first"),
}


def examples() -> dict[str, Strategy]:
    """Examples of every strategy of the registry, by ``<name>`` or ``<name>:<variant>``."""
    found: dict[str, Strategy] = {}
    for name in STRATEGIES:
        if name in UNUSUAL:
            found |= {f"{name}:{i}": example for i, example in enumerate(UNUSUAL[name]())}
        else:
            found |= dict(_made(name))
    return found


def _made(name: str) -> Iterator[tuple[str, Strategy]]:
    kind: Any = STRATEGIES[name]
    options = {item.name: _required(name, item.name) for item in fields(kind) if _is_required(item)}
    yield name, kind(**options)
    for item in fields(kind):
        value = VARIANTS.get(item.name, item.default)
        if not _is_required(item) and value != item.default:
            yield f"{name}:{item.name}={value}", kind(**options, **{item.name: value})


def _is_required(item: Any) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _required(strategy: str, option: str) -> Any:
    if option not in REQUIRED:
        raise LookupError(
            f"{strategy!r} has the option {option!r}: give examples in UNUSUAL of tests/strategy_examples.py."
        )
    return REQUIRED[option]
