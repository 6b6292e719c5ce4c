"""JSON Schemas of callers: bounded in size and in work, and silent on the values that they want."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from fakes import Upstream, ask, run_of

from router.candidate import Verdict, composed
from router.errors import InvalidQuery
from router.verifiers import make_verifier

MOST_S = 5.0


async def rule(schema: Any, value: Any) -> Verdict:
    verifier = make_verifier({"type": "json_schema", "schema": schema})
    run = run_of(Upstream(), ask("Reply in JSON."))
    return await verifier.verify(run.query, composed(json.dumps(value), None, (), "direct"), run)


def doubling(depth: int) -> dict[str, Any]:
    """A schema whose every definition refers to the next twice."""
    inner = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(depth)}
    return {"$defs": {**inner, f"d{depth}": {"type": "object"}}, "$ref": "#/$defs/d0"}


def nested(depth: int) -> Any:
    schema: Any = {"type": "string"}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        (doubling(15), "subschemas once its .ref are expanded"),
        (doubling(200), "subschemas once its .ref are expanded"),
        (nested(60), "nested deeper than 50"),
        (nested(5000), "nested deeper than 50"),
        ({"enum": ["x" * 100] * 600}, "characters"),
        ({"default": {1, 2}}, "no JSON"),
    ],
    ids=["doubling", "long doubling", "nested", "deeply nested", "large", "no JSON"],
)
def test_a_schema_beyond_bounds_is_refused(schema: Any, told: str) -> None:
    """At once, with what is too much of it."""
    began = time.monotonic()
    with pytest.raises(InvalidQuery, match=told):
        make_verifier({"type": "json_schema", "schema": schema})
    assert time.monotonic() - began < MOST_S


async def test_ordinary_references_are_taken() -> None:
    """Definitions used in several places, and a tree that refers to itself."""
    person = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    schema = {"$defs": {"person": person}, "properties": {k: {"$ref": "#/$defs/person"} for k in "ab"}}
    assert (await rule(schema, {"a": {"name": "x"}, "b": {"name": "y"}})).ruling == "pass"
    assert (await rule(schema, {"a": {"name": "x"}, "b": {}})).ruling == "fail"
    tree = {"properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
    assert (await rule(tree, {"children": [{"children": []}, {"children": [{}]}]})).ruling == "pass"
    assert (await rule(tree, {"children": [{"children": 5}]})).ruling == "fail"


async def test_a_deep_reply_cannot_make_a_schema_endless() -> None:
    """A schema that refers to itself twice takes time exponential in a reply's depth: it is given up."""
    schema = {"allOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]}
    value: Any = []
    for _ in range(60):
        value = [value]
    began = time.monotonic()
    judged = await rule(schema, value)
    assert (judged.ruling, "steps" in judged.reason) == ("unknown", True)
    assert time.monotonic() - began < MOST_S


async def test_unique_items_are_told_in_time() -> None:
    """Many items that cannot be ordered; 1 is 1.0 but not true."""
    began = time.monotonic()
    mixed = [[i] if i % 2 else {"k": i} for i in range(8_000)]
    assert (await rule({"uniqueItems": True}, mixed)).ruling == "pass"
    assert (await rule({"uniqueItems": True}, [*mixed, [1]])).ruling == "fail"
    assert (await rule({"uniqueItems": True}, [1, True, "1"])).ruling == "pass"
    assert (await rule({"uniqueItems": True}, [1, 1.0])).ruling == "fail"
    assert time.monotonic() - began < MOST_S


@pytest.mark.parametrize(
    "wanted",
    [
        {"const": "Secretary"}, {"enum": ["Secretary"]}, {"pattern": "^Secretary$"},
        {"not": {"not": {"const": "Secretary"}}}, {"anyOf": [{"const": "Secretary"}]},
    ],
    ids=str,
)  # fmt: skip
async def test_a_reason_holds_no_value_that_is_wanted(wanted: dict[str, Any]) -> None:
    """It says where the reply is wrong, by what rule, and what stood there."""
    judged = await rule(
        {"properties": {"people": {"items": {"properties": {"job": wanted}}}}}, {"people": [{"job": "Cook"}]}
    )
    assert (judged.ruling, "Secretary" in judged.reason) == ("fail", False)
    assert judged.reason == f'at people[0].job: "Cook" violates {next(iter(wanted))}'


async def test_a_missing_field_is_named() -> None:
    """What concerns the form alone is told in full."""
    assert (await rule({"required": ["age"]}, {})).reason == "'age' is a required property"
    typed = {"properties": {"name": {"type": "string"}}}
    assert (await rule(typed, {"name": 5})).reason == "at name: 5 is not of type 'string'"
