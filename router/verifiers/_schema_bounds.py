"""Bounds of a JSON Schema: a short one can take exponential time, by references that double."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_SCHEMA_CHARACTERS = 50_000
MAX_NESTING = 50
MAX_EXPANSIONS = 5_000
"""Subschemas, once every reference is replaced by what it refers to."""
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def excess(schema: Mapping[str, Any]) -> str | None:
    """What of a schema is beyond bounds, with the remedy; ``None`` where it is within them."""
    if _nesting(schema) > MAX_NESTING:
        return f"is nested deeper than {MAX_NESTING}: put inner parts into $defs"
    try:
        size = len(json.dumps(schema))
    except (TypeError, ValueError) as error:
        return f"is no JSON: {error}"
    if size > MAX_SCHEMA_CHARACTERS:
        return f"has {size} characters, more than {MAX_SCHEMA_CHARACTERS}: check the parts that matter"
    if _expansions(schema) > MAX_EXPANSIONS:
        return (
            f"has more than {MAX_EXPANSIONS} subschemas once its $ref are expanded: refer to each part once"
        )
    return None


def _expansions(schema: Mapping[str, Any]) -> float:
    try:
        return _Expansion(schema).count(schema)
    except RecursionError:  # a chain of references longer than any that is of use
        return float("inf")


def _nesting(schema: Any) -> int:
    depth, level = 0, [schema]
    while level and depth <= MAX_NESTING:
        depth, level = depth + 1, [part for value in level for part in _parts(value)]
    return depth


def _unquoted(pointer: str) -> str:
    plain = re.sub(rb"%([0-9A-Fa-f]{2})", lambda code: bytes.fromhex(code[1].decode()), pointer.encode())
    return plain.decode(errors="replace")


def _parts(value: Any) -> Iterator[Any]:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return (part for part in inner if isinstance(part, Mapping | list))


@dataclass(slots=True)
class _Expansion:
    """Counts each reference's target once, and its count wherever it is referred to. One within itself counts
    as one: what it costs is bounded while it is applied."""

    root: Mapping[str, Any]
    known: dict[str, int] = field(default_factory=dict)

    def count(self, schema: Any) -> int:
        own = 1 + sum(map(self.count, _parts(schema)))
        if isinstance(schema, Mapping):
            own += sum(self._referred(schema[key]) for key in _REFERENCES if isinstance(schema.get(key), str))
        return own

    def _referred(self, reference: str) -> int:
        if reference not in self.known:
            self.known[reference] = 1
            self.known[reference] = self.count(self._target(reference))
        return self.known[reference]

    def _target(self, reference: str) -> Any:
        pointer = reference.partition("#")[2]
        if not pointer.startswith("/"):
            return self._anchored(self.root, pointer) if pointer else self.root
        target: Any = self.root
        for name in _unquoted(pointer)[1:].split("/"):
            name = name.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list):
                target = target[int(name)] if name.isdecimal() and int(name) < len(target) else None
            else:
                target = target.get(name) if isinstance(target, Mapping) else None
        return target

    def _anchored(self, schema: Any, anchor: str) -> Any:
        if isinstance(schema, Mapping) and anchor in (schema.get("$anchor"), schema.get("$dynamicAnchor")):
            return schema
        return next((found for part in _parts(schema) if (found := self._anchored(part, anchor))), None)
