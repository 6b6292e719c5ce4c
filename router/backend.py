"""Backend: what answers one call."""

from __future__ import annotations

from typing import ClassVar, Protocol

from router.call import Call, Completion, Delta


class Listener(Protocol):
    """Hears one call's tokens as they come."""

    wants_deltas: bool
    """Whether the backend should stream; one that streams anyway reports every delta regardless."""

    def hear(self, delta: Delta) -> None:
        """Take one piece. Never blocks."""


class Deaf:
    """The listener that wants nothing."""

    wants_deltas = False

    def hear(self, delta: Delta) -> None:
        """Drop it."""


DEAF = Deaf()


class Backend(Protocol):
    """Reaches the models of one kind of upstream.

    ``complete`` returns the whole reply, streamed or not, and tells the listener each piece on the
    way when it wants them. Cancelling the awaiting task cancels the call upstream. Errors: the
    ``BackendError`` branch of the tree, nothing else.
    """

    name: ClassVar[str]

    async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
        """Answer one call."""
        ...

    async def aclose(self) -> None:
        """Let go of connections, threads and weights."""
        ...
