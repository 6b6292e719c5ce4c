"""Checks of a chat completion request's fields, hand-written because they run on every request.

Each check takes a value and the name of its field and raises ``InvalidQuery`` in OpenAI's words.
``FIELDS`` holds one per field; fields that it does not know are passed through unchecked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from router.domains import named_domain
from router.effort import EFFORTS
from router.errors import InvalidQuery
from router.verifiers import make_verifier

Check: TypeAlias = Callable[[Any, str], None]

ROLES = ("developer", "system", "user", "assistant", "tool", "function")
STOP_SEQUENCES = 4
TOP_LOGPROBS = 20
OWN_TOOLS = 8
MOST_USD = 1_000_000
_OWN_TOOL = ("name", "url", "describe", "argument")
_TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")

_KINDS = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    type(None): "null",
}


def wrong_type(value: Any, param: str, expected: str) -> InvalidQuery:
    """The error for a value of another JSON type than expected."""
    kind = _KINDS[type(value)]
    return InvalidQuery(f"Invalid type for '{param}': expected {expected}, but got {kind} instead.", param)


def _of(kind: type, expected: str) -> Check:
    def check(value: Any, param: str) -> None:
        if type(value) is not kind:
            raise wrong_type(value, param, expected)

    return check


boolean = _of(bool, "a boolean")
text = _of(str, "a string")
mapping = _of(dict, "an object")
array = _of(list, "an array")


def number(
    least: float | None = None, most: float | None = None, *, above: float | None = None, whole: bool = False
) -> Check:
    """A JSON number (``whole``: an integer) within [least, most] and strictly above ``above``."""
    kinds, expected = ((int,), "an integer") if whole else ((int, float), "a number")

    def check(value: Any, param: str) -> None:
        if type(value) not in kinds:
            raise wrong_type(value, param, expected)
        if least is not None and value < least:
            raise _outside(value, param, "below minimum", f">= {least}")
        if above is not None and value <= above:
            raise _outside(value, param, "below minimum", f"> {above}")
        if most is not None and value > most:
            raise _outside(value, param, "above maximum", f"<= {most}")

    return check


def _outside(value: float, param: str, where: str, expected: str) -> InvalidQuery:
    kind = "integer" if type(value) is int else "decimal"
    return InvalidQuery(
        f"Invalid '{param}': {kind} {where} value. Expected a value {expected}, but got {value} instead.",
        param,
    )


def one_of(known: tuple[str, ...]) -> Check:
    """One of the known strings."""

    def check(value: Any, param: str) -> None:
        text(value, param)
        if value not in known:
            choices = ", ".join(f"'{choice}'" for choice in known)
            raise InvalidQuery(f"Invalid value: '{value}'. Supported values are: {choices}.", param)

    return check


_role = one_of(ROLES)


def filled(value: Any, param: str) -> None:
    """A string that is not empty."""
    text(value, param)
    if not value:
        raise InvalidQuery(
            f"Invalid '{param}': empty string. Expected a string with minimum length 1.", param
        )


def filled_array(value: Any, param: str) -> None:
    """An array that is not empty."""
    array(value, param)
    if not value:
        raise InvalidQuery(f"Invalid '{param}': empty array. Expected an array with minimum length 1.", param)


def _short_array(value: Any, most: int, param: str) -> None:
    if len(value) > most:
        raise InvalidQuery(
            f"Invalid '{param}': array too long. Expected an array with maximum length {most}, "
            f"but got an array with length {len(value)} instead.",
            param,
        )


def stop(value: Any, param: str) -> None:
    """A string, or an array of at most four."""
    if type(value) is str:
        return
    if type(value) is not list:
        raise wrong_type(value, param, "a string or an array of strings")
    _short_array(value, STOP_SEQUENCES, param)
    for i, item in enumerate(value):
        text(item, f"{param}[{i}]")


def strings(value: Any, param: str) -> None:
    """An object whose values are strings."""
    mapping(value, param)
    for key, item in value.items():
        text(item, f"{param}.{key}")


def stream_options(value: Any, param: str) -> None:
    """An object whose ``include_usage``, if any, is a boolean."""
    mapping(value, param)
    if value.get("include_usage") is not None:
        boolean(value["include_usage"], f"{param}.include_usage")


def tools(value: Any, param: str) -> None:
    """An array of tools: objects with a type, functions with a name."""
    array(value, param)
    for i, tool in enumerate(value):
        where = f"{param}[{i}]"
        _typed(tool, where)
        if tool["type"] == "function":
            required(tool, "function", where, mapping)
            required(tool["function"], "name", f"{where}.function", filled)


def tool_choice(value: Any, param: str) -> None:
    """A mode, or an object that names a tool."""
    if type(value) is str:
        one_of(("none", "auto", "required"))(value, param)
    else:
        _typed(value, param)


def response_format(value: Any, param: str) -> None:
    """An object with a type; that of a JSON schema holds one."""
    _typed(value, param)
    if value["type"] == "json_schema":
        required(value, "json_schema", param, mapping)


def verifier(value: Any, param: str) -> None:
    """A specification that makes a verifier."""
    mapping(value, param)
    make_verifier(value)


def domain(value: Any, param: str) -> None:
    """The name of a domain."""
    text(value, param)
    named_domain(value)


def _told(value: Any, param: str) -> None:
    """A string that says something."""
    filled(value, param)
    filled(value.strip(), param)


def own_tools(value: Any, param: str) -> None:
    """An array of the caller's own tools by HTTP: objects with a name, a url, and words about them."""
    filled_array(value, param)
    _short_array(value, OWN_TOOLS, param)
    for i, tool in enumerate(value):
        _own_tool(tool, f"{param}[{i}]")
    names = [tool["name"] for tool in value]
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise InvalidQuery(f"Invalid '{param}': {twice[0]!r} names two tools.", param)


def _own_tool(tool: Any, param: str) -> None:
    mapping(tool, param)
    for key in ("name", "url", "describe"):
        required(tool, key, param, _told)
    if tool.get("argument") is not None:
        _told(tool["argument"], f"{param}.argument")
    if unknown := [key for key in tool if key not in _OWN_TOOL]:
        known = ", ".join(_OWN_TOOL)
        raise InvalidQuery(f"Unknown parameter: '{param}.{unknown[0]}'. Known: {known}.", param)
    if not _TOOL_NAME.fullmatch(tool["name"]):
        raise InvalidQuery(
            f"Invalid '{param}.name': letters, digits and underscores, 40 at most, no digit first.",
            f"{param}.name",
        )


def _typed(value: Any, param: str) -> None:
    mapping(value, param)
    required(value, "type", param, text)


def required(fields: Mapping[str, Any], key: str, param: str, check: Check) -> None:
    """A field that must be there and pass its check."""
    where = f"{param}.{key}" if param else key
    if key not in fields:
        raise InvalidQuery(f"Missing required parameter: '{where}'.", where)
    check(fields[key], where)


def messages(value: Any, param: str) -> None:
    """An array, not empty, of messages with known roles."""
    filled_array(value, param)
    for i, message in enumerate(value):
        if not _is_plain(message):
            _message(message, f"{param}[{i}]")


def _is_plain(message: Any) -> bool:
    return (
        type(message) is dict
        and len(message) == 2
        and type(message.get("content")) is str
        and message.get("role") in ("user", "system", "assistant", "developer")
    )


def _message(message: Any, param: str) -> None:
    mapping(message, param)
    required(message, "role", param, _role)
    if message.get("name") is not None:
        text(message["name"], f"{param}.name")
    if message["role"] == "tool":
        required(message, "tool_call_id", param, text)
    if message.get("tool_calls") is not None:
        tools(message["tool_calls"], f"{param}.tool_calls")
    if message.get("content") is not None or not _may_be_silent(message):
        required(message, "content", param, _content)


def _may_be_silent(message: Mapping[str, Any]) -> bool:
    spoken = ("tool_calls", "function_call", "refusal", "audio")
    return message["role"] == "assistant" and any(message.get(key) for key in spoken)


def _content(value: Any, param: str) -> None:
    if type(value) is str:
        return
    if type(value) is not list:
        raise wrong_type(value, param, "a string or an array of content parts")
    filled_array(value, param)
    for i, part in enumerate(value):
        _typed(part, f"{param}[{i}]")
        if part["type"] == "text":
            required(part, "text", f"{param}[{i}]", text)


FIELDS: Mapping[str, Check] = {
    "model": filled,
    "messages": messages,
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "presence_penalty": number(-2, 2),
    "frequency_penalty": number(-2, 2),
    "max_tokens": number(1, whole=True),
    "max_completion_tokens": number(1, whole=True),
    "stop": stop,
    "seed": number(whole=True),
    "stream": boolean,
    "stream_options": stream_options,
    "logprobs": boolean,
    "top_logprobs": number(0, TOP_LOGPROBS, whole=True),
    "logit_bias": mapping,
    "tools": tools,
    "tool_choice": tool_choice,
    "parallel_tool_calls": boolean,
    "response_format": response_format,
    "reasoning_effort": one_of(tuple(EFFORTS)),
    "user": text,
    "metadata": strings,
    "store": boolean,
    "effortwise": mapping,
}

WISHES: Mapping[str, Check] = {
    "max_cost_usd": number(0, MOST_USD),
    "deadline_s": number(above=0),
    "max_calls": number(1, whole=True),
    "max_total_tokens": number(1, whole=True),
    "min_quality": number(0, 1),
    "stakes": number(above=0),
    "verifier": verifier,
    "domain": domain,
    "tools": own_tools,
    "unit": filled,
    "conversation": filled,
    "progress": boolean,
}
"""The fields of the request's ``effortwise`` object."""
