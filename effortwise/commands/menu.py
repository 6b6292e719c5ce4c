"""``effortwise menu``: a domain's default menu, ready to paste into a configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from router.domains import EARNED, default_menu, known_domains
from router.errors import ConfigurationError

_OFF = "# Off: not shown to beat plain sampling of as many tokens (docs/benchmarks.md); measure it first:\n"


def menu(domain: str, model: str) -> None:
    """Print the ``[[menu]]`` entries of a domain's default menu for one model; those commented out that have
    not been measured to pay."""
    known = known_domains()
    if domain not in known:
        raise ConfigurationError(f"Unknown domain {domain!r}. Known: {', '.join(known)}.")
    print(f"# {domain}: {known[domain].summary}")
    print("\n".join(_printed(entry) for entry in default_menu(known[domain], model)), end="")


def _printed(entry: Mapping[str, Any]) -> str:
    table = _table(entry)
    if entry["strategy"] in EARNED:
        return table
    return _OFF + "".join(f"# {line}\n" for line in table.splitlines())


def _table(entry: Mapping[str, Any]) -> str:
    """One entry in TOML, whose texts, numbers, booleans and lists are written as in JSON."""
    lines = (f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in entry.items())
    return "[[menu]]\n" + "".join(lines)
