"""From the tree of errors to HTTP: status, OpenAI's error object, headers. Nothing else maps errors.

What the caller did is told in full. What happened on our side or upstream is told as far as it helps
the caller: never a key, a path or a stack.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from router import errors

STORE_RETRY_S = 1.0
"""When to come back after the store could not take a record: its writer commits many times a second."""

_INVALID = "invalid_request_error"
_SERVER = "server_error"
_STAY_AWAY = {"x-should-retry": "false"}  # the official clients obey it


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as the caller sees it. status: of the HTTP reply; type, code, param: OpenAI's."""

    status: int
    type: str
    code: str | None
    message: str
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}

    @property
    def content(self) -> bytes:
        """The body as JSON."""
        return orjson.dumps(self.body)


@dataclass(frozen=True, slots=True)
class _Rule:
    """message: what is said instead of the error's own words; ``None`` where those may be told."""

    status: int
    type: str
    code: str | None = None
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


_INTERNAL = _Rule(
    500, _SERVER, "internal_error", "The service failed on this request; its operator's log says why."
)
_UPSTREAM_KEY = "The upstream does not accept the service's own credentials; only its operator can mend that."

_RULES: Mapping[type[BaseException], _Rule] = {
    errors.InvalidQuery: _Rule(400, _INVALID),
    errors.UnknownModel: _Rule(404, _INVALID, "model_not_found"),
    errors.InfeasibleQuery: _Rule(400, _INVALID, "infeasible"),
    errors.Unauthorized: _Rule(401, _INVALID, "invalid_api_key", headers={"www-authenticate": "Bearer"}),
    errors.UnknownTrace: _Rule(404, _INVALID, "trace_not_found"),
    # 400, because the cap is the request's own: the same request sent again fails again, and the
    # official clients do not repeat a 400. 402 is for the account's money, which is not short here.
    errors.OutOfCompute: _Rule(400, _INVALID, "budget_exceeded"),
    errors.BudgetExceeded: _Rule(400, _INVALID, "budget_exceeded"),
    errors.DeadlineExceeded: _Rule(504, "timeout", "deadline_exceeded", headers=_STAY_AWAY),
    errors.AllowanceExhausted: _Rule(429, "insufficient_quota", "insufficient_quota", headers=_STAY_AWAY),
    errors.BackendError: _Rule(502, _SERVER, "upstream_error"),
    errors.BackendTimeout: _Rule(504, "timeout", "upstream_timeout"),
    errors.BackendUnreachable: _Rule(502, _SERVER, "upstream_unreachable"),
    errors.BackendRefused: _Rule(502, _SERVER, "upstream_error"),
    errors.MalformedReply: _Rule(502, _SERVER, "upstream_malformed"),
    errors.StoreError: _Rule(
        503, _SERVER, "store_unavailable", "The trace store cannot take this request now."
    ),
    errors.ConfigurationError: _INTERNAL,
    errors.BundleError: _INTERNAL,
    errors.SandboxError: _INTERNAL,
    errors.EffortwiseError: _INTERNAL,
}

_REFUSALS: Mapping[int, _Rule] = {
    429: _Rule(429, "requests", "rate_limit_exceeded"),
    **dict.fromkeys((400, 404, 413, 422), _Rule(400, _INVALID, "upstream_refused")),
    **dict.fromkeys((401, 403), _Rule(502, _SERVER, "upstream_error", _UPSTREAM_KEY)),
}
"""By the upstream's status: what the caller's own request caused stays the caller's."""


def problem_of(error: BaseException) -> Problem:
    """How an error is told to the caller; one that is not of the tree is an internal one."""
    rule = _rule_of(error)
    return Problem(
        rule.status,
        rule.type,
        rule.code,
        str(error) if rule.message is None else rule.message,
        error.param if isinstance(error, errors.InvalidQuery) else None,
        {**rule.headers, **_retry_after(error)},
    )


def _rule_of(error: BaseException) -> _Rule:
    if isinstance(error, errors.BackendRefused) and error.status in _REFUSALS:
        return _REFUSALS[error.status]
    for kind in type(error).__mro__:
        if kind in _RULES:
            return _RULES[kind]
    return _INTERNAL


def _retry_after(error: BaseException) -> dict[str, str]:
    wait_s = STORE_RETRY_S if isinstance(error, errors.StoreError) else getattr(error, "retry_after_s", None)
    if wait_s is None or not math.isfinite(wait_s):  # an allowance for all time never comes back
        return {}
    return {"retry-after": str(max(0, math.ceil(wait_s)))}
