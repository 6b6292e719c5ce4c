"""Tools that a request brings along: its caller's own, by HTTP, where the operator lets them be reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from router.errors import ConfigurationError, InvalidQuery
from router.query import Query
from router.tools import Tool
from serving.tools.http import Http

FIELD = "effortwise.tools"


def require_allowed(query: Query, under: Sequence[str]) -> None:
    """``InvalidQuery`` where the request's tools stand elsewhere than the operator allows.

    under: the beginnings of URLs that a request may name (``server.caller_tools``). A service that calls
    whatever address a request names would be a way into the network that it stands in.
    """
    for i, tool in enumerate(query.wishes.tools or ()):
        if not any(_stands_under(tool["url"], base) for base in under):
            known = (
                f"must stand under {' or '.join(under)}"
                if under
                else "is not allowed: this service calls no tools of its callers (server.caller_tools)"
            )
            raise InvalidQuery(f"The url of the tool {tool['name']!r} {known}.", f"{FIELD}[{i}].url")


def caller_tools(query: Query) -> dict[str, Tool]:
    """The request's tools by the names that models call them."""
    return {tool["name"]: Http(**_options(tool)) for tool in query.wishes.tools or ()}


def _options(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tool[key] for key in ("url", "describe", "argument") if tool.get(key) is not None}


def check_bases(bases: Sequence[str]) -> None:
    """``ConfigurationError`` where a beginning would let in more than it says."""
    for base in bases:
        parts = _split(base)
        loose = parts is None or parts.query or parts.fragment or not parts.path.endswith("/")
        if loose or not _is_plain(parts.path if parts else ""):
            raise ConfigurationError(
                f"server.caller_tools: {base!r} must be a URL whose path is plain and ends with a slash, "
                "such as https://tools.example.com/ours/."
            )


def _stands_under(url: str, base: str) -> bool:
    """Whether a URL names the same server, and a path below the base's: written plainly, so that no dots and
    no escapes lead out of it."""
    parts, allowed = _split(url), _split(base)
    if parts is None or allowed is None:
        return False
    same = (parts.scheme, parts.hostname, parts.port) == (allowed.scheme, allowed.hostname, allowed.port)
    return same and _is_plain(parts.path) and parts.path.startswith(allowed.path)


def _is_plain(path: str) -> bool:
    """Whether every server reads the path as it stands: no escapes, no dots, and no parameters, behind which
    some look for dots."""
    return unquote(path) == path and ";" not in path and not {".", ".."} & set(path.split("/"))


def _split(url: str) -> SplitResult | None:
    """None where it is no plain address of a server: none named, a user in it, another scheme, signs that
    readers of URLs understand in different ways."""
    if not url.isascii() or any(not 0x20 < ord(sign) < 0x7F or sign == "\\" for sign in url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is none
    except ValueError:
        return None
    spelt = url.startswith(("http://", "https://"))
    named = spelt and parts.hostname and "@" not in parts.netloc
    return parts if named else None
