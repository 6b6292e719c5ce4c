"""``effortwise list``: every registered name with its line."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping, Sequence
from typing import Any

from router.confidence import CONFIDENCE
from router.domains import DOMAINS
from router.errors import ConfigurationError
from router.features import FEATURES
from router.policies import POLICIES
from router.predictors import PREDICTORS
from router.registry import Registry
from router.stopping import RULES
from router.stores import STORES
from router.strategies import STRATEGIES
from router.tools import TOOLS
from router.verifiers import VERIFIERS
from serving.backends import BACKENDS
from serving.tools import REMOTE_TOOLS

KINDS: Mapping[str, Sequence[Registry[Any]]] = {
    "strategies": [STRATEGIES],
    "stopping": [RULES],
    "verifiers": [VERIFIERS],
    "tools": [TOOLS, REMOTE_TOOLS],
    "domains": [DOMAINS],
    "policies": [POLICIES],
    "features": [FEATURES],
    "predictors": [PREDICTORS],
    "confidence": [CONFIDENCE],
    "backends": [BACKENDS],
    "stores": [STORES],
}
"""The registries of each kind: of tools, those that only compute and those that reach outside."""


def catalogue(kind: str, json: bool) -> None:
    """Print the registered names of a kind, or of all."""
    if kind and kind not in KINDS:
        raise ConfigurationError(f"Unknown kind {kind!r}. Known: {', '.join(KINDS)}.")
    found = {name: _lines(KINDS[name]) for name in ([kind] if kind else KINDS)}
    if json:
        print(json_module.dumps(found, indent=2))
        return
    width = max(len(entry) for lines in found.values() for entry in lines)
    for name, lines in found.items():
        print(name)
        for entry, summary in lines.items():
            print(f"  {entry:<{width}}  {summary}")


def _lines(registries: Sequence[Registry[Any]]) -> dict[str, str]:
    kinds = {name: registry[name] for registry in registries for name in registry}
    return {name: getattr(kind, "summary", "") or _first_line(kind) for name, kind in sorted(kinds.items())}


def _first_line(kind: type) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]
