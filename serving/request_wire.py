"""The request's wire format: from the bytes of an OpenAI chat completion request to a Query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from router.errors import InvalidQuery
from router.query import Query, Wishes
from serving.caller_tools import require_allowed
from serving.request_checks import FIELDS, WISHES, number, required, wrong_type

_APART = frozenset(
    {"model", "messages", "n", "stream", "stream_options", "max_tokens", "max_completion_tokens"}
    | {"metadata", "effortwise"}
)
"""Fields that do not go into ``Query.parameters``."""

MOST_NESTED = 100
"""Levels of objects and arrays; JSON libraries write fewer than they read."""

_WISH_NAMES = (
    "max_cost_usd", "deadline_s", "max_calls", "max_total_tokens", "min_quality", "stakes", "verifier",
    "domain", "tools",
)  # fmt: skip

_NEEDS = (
    ("stream_options", "stream", "is only allowed when 'stream' is enabled"),
    ("top_logprobs", "logprobs", "is only allowed when 'logprobs' is enabled"),
    ("tool_choice", "tools", "is only allowed when 'tools' are specified"),
)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A parsed request: what is asked, and how the reply is to be sent. progress: with what happens on
    the way, where it is streamed."""

    query: Query
    stream: bool = False
    include_usage: bool = False
    progress: bool = False


def parse_chat(
    body: bytes, *, account: str, max_choices: int, tools_under: Sequence[str] = ()
) -> ChatRequest:
    """The request in a body; ``InvalidQuery`` names what is wrong and the field. tools_under: see
    ``require_allowed``.

    ``null`` in a field that is known stands for its absence. ``max_completion_tokens`` wins over
    ``max_tokens``. ``reasoning_effort`` stays in the parameters as it came; ``router.effort.EFFORTS`` says
    what it means where the service decides. ``metadata`` is passed on only with ``store``, without which
    OpenAI refuses it. The unit is ``effortwise.unit``, else ``metadata.unit``, else ``user``; the
    conversation is ``effortwise.conversation``, else ``metadata.conversation``.
    """
    fields = _checked(_fields_of(body), max_choices)
    ours = _checked_wishes(fields.get("effortwise"))
    metadata = fields.get("metadata") or {}
    query = Query(
        messages=fields["messages"],
        target=fields["model"],
        parameters=_parameters(fields),
        n=fields.get("n") or 1,
        max_completion_tokens=fields.get("max_completion_tokens") or fields.get("max_tokens"),
        wishes=Wishes(**{name: ours[name] for name in _WISH_NAMES if name in ours}) if ours else _NO_WISHES,
        account=account,
        conversation=ours.get("conversation") or metadata.get("conversation") or None,
        unit=ours.get("unit") or metadata.get("unit") or fields.get("user") or None,
    )
    require_allowed(query, tools_under)
    progress = bool(ours.get("progress"))
    return ChatRequest(query, bool(fields.get("stream")), _includes_usage(fields), progress)


_NO_WISHES = Wishes()


def _fields_of(body: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidQuery(f"We could not parse the JSON body of your request: {error}.") from None
    if type(fields) is not dict:
        raise wrong_type(fields, "body", "an object")
    if body.count(b"[") + body.count(b"{") > MOST_NESTED and _nested_deeper(fields, MOST_NESTED):
        raise InvalidQuery(f"The JSON body of your request is nested deeper than {MOST_NESTED} levels.")
    return fields


def _nested_deeper(value: Any, levels: int) -> bool:
    """Level by level: recursion would end before the values do."""
    level = [value]
    for _ in range(levels):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Sequence[Any]:
    """The objects and arrays in one."""
    held = value.values() if type(value) is dict else value
    return [each for each in held if type(each) in (dict, list)]


def _checked(fields: dict[str, Any], max_choices: int) -> dict[str, Any]:
    for key in ("model", "messages"):
        required(fields, key, "", FIELDS[key])
    for key, value in fields.items():
        check = FIELDS.get(key)
        if check is not None and value is not None and key not in ("model", "messages"):
            check(value, key)
    if fields.get("n") is not None:
        number(1, max_choices, whole=True)(fields["n"], "n")
    for key, needed, why in _NEEDS:
        if fields.get(key) is not None and not fields.get(needed):
            raise InvalidQuery(f"The '{key}' parameter {why}.", key)
    return fields


def _checked_wishes(ours: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if not ours:
        return {}
    for key, value in ours.items():
        if key not in WISHES:
            known = ", ".join(WISHES)
            raise InvalidQuery(f"Unknown parameter: 'effortwise.{key}'. Known: {known}.", f"effortwise.{key}")
        if value is not None:
            WISHES[key](value, f"effortwise.{key}")
    return {key: value for key, value in ours.items() if value is not None}


def _parameters(fields: Mapping[str, Any]) -> dict[str, Any]:
    parameters = {
        key: value
        for key, value in fields.items()
        if key not in _APART and (value is not None or key not in FIELDS)
    }
    if fields.get("store") and fields.get("metadata"):
        parameters["metadata"] = fields["metadata"]
    return parameters


def _includes_usage(fields: Mapping[str, Any]) -> bool:
    return bool((fields.get("stream_options") or {}).get("include_usage"))
