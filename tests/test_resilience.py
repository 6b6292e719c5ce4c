"""Retries: what is tried again, how soon, and what never is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.backend import DEAF, Backend, Listener
from router.budget import Budget
from router.call import Call, Completion, Delta
from router.errors import BackendError, BackendRefused, BackendTimeout, BackendUnreachable, MalformedReply
from router.metering import Meter, Metered
from router.model_card import ModelCard
from router.tariff import Tariff
from serving.backends.scripted import Scripted
from serving.resilience import Resilient, Retries, is_transient

CALL = Call("m", [{"role": "user", "content": "hi"}], 10)
CARD = ModelCard("m", Tariff(1, 1), 10, 1000)
SOON = Retries(attempts=3, first_wait_s=0.0)


class Ear:
    """A listener that keeps what it hears."""

    wants_deltas = True

    def __init__(self) -> None:
        self.deltas: list[Delta] = []

    def hear(self, delta: Delta) -> None:
        self.deltas.append(delta)


@dataclass
class Counted:
    """A backend that counts its calls and its closings."""

    name: ClassVar[str] = "counted"
    backend: Backend
    calls: int = 0
    closed: int = 0
    listeners: list[Listener] = field(default_factory=list)

    async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
        self.calls += 1
        self.listeners.append(listener)
        return await self.backend.complete(call, listener)

    async def aclose(self) -> None:
        self.closed += 1


def failing(times: int | None = None, **fault: Any) -> Counted:
    """An upstream that fails some times, or always."""
    return Counted(Scripted([{"reply": "a b", **fault, "times": times}, {"reply": "fine"}]))


TRANSIENT = [{"error": "refused", "status": status} for status in (408, 409, 429, 500, 502, 503, 529)]
TRANSIENT += [{"error": "timeout"}, {"error": "unreachable"}, {"error": "broken_off"}]
LASTING = [{"error": "refused", "status": status} for status in (400, 401, 403, 404, 413, 422)]
LASTING += [{"error": "malformed"}]


@pytest.mark.parametrize("fault", TRANSIENT, ids=str)
async def test_what_may_pass_is_tried_again(fault: dict[str, Any]) -> None:
    """Busy, broken and silent upstreams are asked again until they answer."""
    backend = failing(2, **fault)
    assert (await Resilient(backend, SOON).complete(CALL)).text == "fine"
    assert backend.calls == 3


@pytest.mark.parametrize("fault", LASTING, ids=str)
async def test_what_cannot_pass_is_not(fault: dict[str, Any]) -> None:
    """A request that the upstream rejects is made once."""
    backend = failing(**fault)
    with pytest.raises(BackendError):
        await Resilient(backend, SOON).complete(CALL)
    assert backend.calls == 1


@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_attempts_are_bounded(attempts: int) -> None:
    """No more calls are made than configured, and the last error is raised."""
    backend = failing(error="refused", status=503)
    with pytest.raises(BackendRefused):
        await Resilient(backend, Retries(attempts, 0.0)).complete(CALL)
    assert backend.calls == attempts


async def test_never_after_a_piece_was_heard() -> None:
    """A stream that breaks after its first word is not begun anew: the caller has read that word."""
    backend = failing(1, error="broken_off")
    ear = Ear()
    with pytest.raises(BackendUnreachable):
        await Resilient(backend, SOON).complete(CALL, ear)
    assert backend.calls == 1
    assert ear.deltas


async def test_a_stream_that_has_not_begun_is_tried_again() -> None:
    """A listener that has heard nothing does not stand in the way of a retry."""
    ear = Ear()
    assert (await Resilient(failing(2, error="timeout"), SOON).complete(CALL, ear)).text == "fine"
    assert "".join(delta.delta.get("content", "") for delta in ear.deltas) == "fine"


async def test_every_attempt_is_counted() -> None:
    """The plan's meter has a record of each attempt, and its calls in the usage."""
    meter = Meter(Budget())
    backend = Resilient(Metered(failing(2, error="timeout"), CARD, meter), SOON)
    await backend.complete(CALL)
    assert [record.status for record in meter.records] == ["error", "error", "ok"]
    assert meter.usage.calls == 3


async def test_a_retry_that_does_not_fit_ends_with_the_first_error() -> None:
    """Where the budget has no room for another attempt, the upstream's error is what is told."""
    meter = Meter(Budget(calls=1))
    upstream = failing(error="refused", status=503)
    with pytest.raises(BackendRefused):
        await Resilient(Metered(upstream, CARD, meter), SOON).complete(CALL)
    assert upstream.calls == 1
    assert meter.usage.calls == 1


async def test_the_named_time_is_waited_for() -> None:
    """Retry-After within the bound is waited for; beyond it the error goes to the caller at once."""
    backend = failing(1, error="refused", status=429, retry_after_s=0.1)
    started = time.perf_counter()
    await Resilient(backend, SOON).complete(CALL)
    assert time.perf_counter() - started >= 0.09
    patient = failing(1, error="refused", status=429, retry_after_s=60.0)
    with pytest.raises(BackendRefused):
        await Resilient(patient, SOON).complete(CALL)
    assert patient.calls == 1


@given(st.integers(1, 8), st.floats(0, 1, exclude_max=True), st.floats(0, 2), st.floats(0, 10))
def test_backoff_doubles_up_to_its_bound(retry: int, draw: float, first_s: float, most_s: float) -> None:
    """The wait is a draw below the bound, which doubles with every retry up to the longest wait."""
    wait_s = Retries(10, first_s, most_s).wait_s(BackendTimeout("late"), retry, draw)
    assert wait_s == draw * min(most_s, first_s * 2 ** (retry - 1))
    assert wait_s <= most_s


def test_malformed_replies_are_lasting() -> None:
    """A reply that is no completion was paid for and would be again."""
    assert not is_transient(MalformedReply("x"))


async def test_it_closes_what_it_wraps() -> None:
    """Closing reaches the wrapped backend."""
    backend = failing()
    await Resilient(backend).aclose()
    assert backend.closed == 1


async def test_the_wish_for_deltas_is_passed_on() -> None:
    """A backend below knows whether to stream."""
    backend = failing(0, error="timeout")
    await Resilient(backend).complete(CALL)
    await Resilient(backend).complete(CALL, Ear())
    assert [listener.wants_deltas for listener in backend.listeners] == [False, True]
