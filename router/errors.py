"""Every error of the project, one tree.

::

    EffortwiseError
    ├── ConfigurationError        the TOML, the menu or a price is wrong; raised at start
    ├── InvalidQuery              the caller's request is wrong
    │   ├── UnknownModel          a model, policy or arm that is not configured
    │   └── InfeasibleQuery       no arm can serve the request within its wishes
    ├── Unauthorized              no or an unknown API key
    ├── UnknownTrace              no such trace for this account
    ├── OutOfCompute              the plan's own limits ended the run
    │   ├── BudgetExceeded        the next call does not fit the plan's budget
    │   └── DeadlineExceeded      the plan's deadline has passed
    ├── AllowanceExhausted        the account's window has no money left for any plan
    ├── BackendError              an upstream failed
    │   ├── BackendTimeout        it did not answer in time
    │   ├── BackendUnreachable    no connection, or it broke off
    │   ├── BackendRefused        it answered with an error status
    │   └── MalformedReply        it answered something that is no completion
    ├── SandboxError              a program could not be run at all
    ├── StoreError                the trace store cannot take or give a record
    └── BundleError               a bundle is damaged or does not fit the menu

``serving.problems`` maps the tree to HTTP; nothing else does.
"""

from __future__ import annotations


class EffortwiseError(Exception):
    """Root of the tree."""


class ConfigurationError(EffortwiseError):
    """The configuration is wrong; the message names the key and the known choices."""


class InvalidQuery(EffortwiseError):
    """The request is wrong. ``param`` names the field, as in OpenAI's error object."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class UnknownModel(InvalidQuery):
    """The model, policy or arm asked for is not configured."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"The model {name!r} does not exist. Known: {', '.join(known)}.", "model")
        self.name = name


class InfeasibleQuery(InvalidQuery):
    """No arm can serve the request within its own wishes; the message says what would."""


class Unauthorized(EffortwiseError):
    """The API key is missing or unknown."""


class UnknownTrace(EffortwiseError):
    """No trace with this id belongs to the calling account."""

    def __init__(self, trace_id: str) -> None:
        super().__init__(f"No trace {trace_id!r} for this account.")
        self.trace_id = trace_id


class OutOfCompute(EffortwiseError):
    """A limit of the plan ended the run before an answer stood."""


class BudgetExceeded(OutOfCompute):
    """The next call's worst case does not fit what is left of the plan's budget."""


class DeadlineExceeded(OutOfCompute):
    """The plan's deadline passed."""


class AllowanceExhausted(EffortwiseError):
    """The account's allowance is used up. ``retry_after_s``: seconds until its window turns."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BackendError(EffortwiseError):
    """An upstream call failed. ``billed``: whether the upstream may charge for it."""

    billed = False


class BackendTimeout(BackendError):
    """The upstream did not answer in time; it may have generated and may charge, unless the call was never
    sent (it waited for a connection)."""

    def __init__(self, message: str, *, billed: bool = True) -> None:
        super().__init__(message)
        self.billed = billed


class BackendUnreachable(BackendError):
    """No connection, or it broke off. ``billed`` where the upstream may have begun to answer."""

    def __init__(self, message: str, *, billed: bool = False) -> None:
        super().__init__(message)
        self.billed = billed


class BackendRefused(BackendError):
    """The upstream answered with an error status (4xx, 5xx)."""

    def __init__(self, message: str, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class MalformedReply(BackendError):
    """The upstream's reply is no chat completion; its tokens are unknown."""

    billed = True


class SandboxError(EffortwiseError):
    """The sandbox could not run a program: it is missing, or it cannot work on this machine."""


class StoreError(EffortwiseError):
    """The store is locked, full or away."""


class BundleError(EffortwiseError):
    """A bundle is damaged, of another format, or does not fit the menu."""
