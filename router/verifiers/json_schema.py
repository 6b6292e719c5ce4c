"""JSON that satisfies a schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from router.answers import find_json
from router.candidate import Candidate, Verdict
from router.errors import InvalidQuery
from router.query import Query
from router.verifiers._schema_bounds import excess
from router.verifiers._schema_steps import TooManySteps, bounded
from router.verifiers.regex import bounded_pattern

if TYPE_CHECKING:
    from router.run import Run

MAX_REPLY_CHARACTERS = 100_000
_TOLD = frozenset(("type", "required", "dependentRequired", "uniqueItems", "minItems", "minProperties"))
"""Keywords whose messages tell the form and no value."""


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """Passes where the reply is JSON that satisfies a JSON Schema.

    schema: the schema, within bounds of size; references to other documents are never fetched. chatty:
    take the last JSON object or array out of prose or a code fence; without it, the whole reply must be
    JSON. sound: whether satisfying the schema is all that a right answer means.
    """

    name: ClassVar[str] = "json_schema"
    summary: ClassVar[str] = "the reply is JSON that satisfies a schema"

    schema: Mapping[str, Any]
    chatty: bool = True
    sound: bool = False
    _validator: Any = field(init=False, repr=False, compare=False)
    _max_characters: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_validator", _validator(self.schema))
        bounds = (bounded_pattern(pattern).max_characters for pattern in _patterns(self.schema))
        object.__setattr__(self, "_max_characters", min(bounds, default=MAX_REPLY_CHARACTERS))

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """``unknown`` where the reply is empty or too long, or the schema cannot be applied."""
        text = candidate.text.strip()
        if not 0 < len(text) <= self._max_characters:
            return Verdict.unknown(self.name, "nothing to check, or too much")
        value = find_json(text) if self.chatty else _whole(text)
        if value is None:
            return Verdict.of(False, self.name, sound=self.sound, reason="no JSON found")
        return self._judge(value)

    def _judge(self, value: Any) -> Verdict:
        try:
            error = next(bounded(self._validator).iter_errors(value), None)
        except (
            Exception
        ) as failure:  # an unresolvable reference, endless recursion, too many steps: no verdict
            return Verdict.unknown(self.name, f"the schema cannot be applied: {_words(failure)}")
        return Verdict.of(error is None, self.name, sound=self.sound, reason=_problem(error) if error else "")


def _words(failure: Exception) -> str:
    return str(failure) if isinstance(failure, TooManySteps) else type(failure).__name__


def _problem(error: Any) -> str:
    """Where it is wrong and how, without the value that a schema may hold as the right one: a strategy that
    mends answers shows this to the model."""
    place = error.json_path.removeprefix("$").removeprefix(".")
    if error.validator in _TOLD:
        told = error.message
    else:
        told = (
            f"{json.dumps(error.instance, ensure_ascii=False, default=str)[:80]} violates {error.validator}"
        )
    return (f"at {place}: {told}" if place else told)[:200]


def _whole(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _validator(schema: object) -> Any:
    import jsonschema
    import referencing

    if not isinstance(schema, Mapping):
        raise _wrong(f"must be an object, not {schema!r:.80}")
    if (beyond := excess(schema)) is not None:
        raise _wrong(beyond)
    kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except (jsonschema.SchemaError, RecursionError) as error:
        raise _wrong(f"is wrong: {getattr(error, 'message', error)}") from error
    return kind(schema, registry=referencing.Registry())  # an empty registry fetches nothing


def _patterns(schema: Any) -> Iterator[Any]:
    """Every regular expression in a schema: they run on the model's text."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key == "pattern" and isinstance(value, str):
                yield value
            elif key == "patternProperties" and isinstance(value, Mapping):
                yield from value
            yield from _patterns(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _patterns(item)


def _wrong(problem: str) -> InvalidQuery:
    return InvalidQuery(f"A json_schema verifier's schema {problem}.", "effortwise.verifier.schema")
