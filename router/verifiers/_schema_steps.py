"""A schema's validation in a bounded number of steps, whatever it refers to and however deep a reply is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MAX_STEPS = 100_000
"""Keywords applied to parts of one reply: about a second."""


class TooManySteps(Exception):
    """A validation that was given up."""


@dataclass(slots=True)
class _Steps:
    left: int = MAX_STEPS

    def counted(self, keyword: Callable[..., Any]) -> Callable[..., Any]:
        """The keyword, which gives up once no step is left."""

        def apply(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise TooManySteps(f"it takes more than {MAX_STEPS} steps")
            return keyword(validator, value, instance, schema)

        return apply


def bounded(validator: Any) -> Any:
    """The validator with a fresh count of steps. Its registry is empty: nothing is fetched."""
    from jsonschema.validators import extend
    from referencing import Registry

    steps = _Steps()
    keywords = {**type(validator).VALIDATORS, "uniqueItems": _unique_items}
    counting = {name: steps.counted(keyword) for name, keyword in keywords.items()}
    return extend(type(validator), counting)(validator.schema, registry=Registry())


def _unique_items(validator: Any, unique: Any, instance: Any, schema: Any) -> Iterator[Any]:
    """In time that grows with the length, not with its square."""
    from jsonschema import ValidationError

    if unique and isinstance(instance, list) and len(set(map(_key, instance))) < len(instance):
        yield ValidationError("its items are not all different")


def _key(value: Any) -> Any:
    """Equal for values that JSON Schema holds equal: 1 and 1.0, but not 1 and true."""
    if isinstance(value, dict):
        return "object", frozenset((name, _key(part)) for name, part in value.items())
    if isinstance(value, list):
        return "array", tuple(map(_key, value))
    return isinstance(value, bool), value
