"""A JSONL file of prompts and references, as a workload to collect."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from effortwise.collection.checkable import Checkable, judged_by, told_by_service
from router.domains import domain_of, named_domain
from router.errors import ConfigurationError, InvalidQuery
from router.query import Query
from serving.request_checks import FIELDS

JUDGED_BY_THE_SERVICE = frozenset(("unit_tests", "program_output", "judge", "reward_model"))
"""Verifiers that need its sandbox or its models."""
_KEYS = ("prompt", "messages", "reference", "verifier", "id", "domain")


def file_tasks(path: Path, count: int | None) -> list[Checkable]:
    """The tasks of a file, one JSON object a line, at most ``count``; empty lines are passed over.

    Each has a ``prompt`` or ``messages``, and a ``reference`` (a number or a text) or a ``verifier``
    specification; where it has both, the reference judges and the verifier is sent with the request. A
    verifier that only the service can run is sent, too, and its verdict recorded there.
    ``ConfigurationError`` names the line.
    """
    tasks: dict[str, Checkable] = {}
    for number, line in islice(_lines(path), count):
        try:
            task = _task(number, line)
            if task.id in tasks:
                raise InvalidQuery(f"the id {task.id!r} stands twice")
        except InvalidQuery as error:
            raise ConfigurationError(f"{path}, line {number}: {str(error).removesuffix('.')}.") from error
        tasks[task.id] = task
    if not tasks:
        raise ConfigurationError(f"{path} holds no task.")
    return list(tasks.values())


def _lines(path: Path) -> list[tuple[int, bytes]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"Cannot read the workload {path}: {error.strerror}.") from error
    return [(i, line) for i, line in enumerate(content.splitlines(), start=1) if line.strip()]


def _task(number: int, line: bytes) -> Checkable:
    fields = _fields(line)
    messages = _messages(fields)
    domain = fields.get("domain")
    if domain is not None:
        named_domain(domain)
    check = _check(fields)
    judge = judged_by(check, messages, domain)
    if by_service := check["type"] in JUDGED_BY_THE_SERVICE:
        judge = told_by_service
    is_sent = "verifier" in fields and (by_service or "reference" in fields)
    sent = {"verifier": fields["verifier"]} if is_sent else {}
    return Checkable(
        str(fields.get("id") or f"line-{number}-{hashlib.sha256(line).hexdigest()[:8]}"),
        domain or domain_of(Query(messages)).name,
        messages,
        judge,
        {**sent, **({"domain": domain} if domain else {})},
    )


def _fields(line: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise InvalidQuery(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise InvalidQuery("not a JSON object")
    if unknown := sorted(fields.keys() - set(_KEYS)):
        raise InvalidQuery(f"unknown key {unknown[0]!r} (known: {', '.join(_KEYS)})")
    return {key: value for key, value in fields.items() if value is not None}


def _messages(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    if ("prompt" in fields) == ("messages" in fields):
        raise InvalidQuery("needs a prompt or messages, one of the two")
    messages = fields.get("messages", [{"role": "user", "content": fields.get("prompt")}])
    FIELDS["messages"](messages, "messages")
    return list(messages)


def _check(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The specification of the verifier that judges."""
    reference = fields.get("reference")
    if reference is None:
        verifier = fields.get("verifier")
        if not isinstance(verifier, dict):
            raise InvalidQuery("needs a reference, or a verifier as an object with its type")
        return verifier
    if isinstance(reference, int | float) and not isinstance(reference, bool):
        return {"type": "numeric", "reference": reference}
    return {"type": "exact", "reference": reference}
