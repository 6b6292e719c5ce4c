"""The FastAPI application: every endpoint but the hot one is declared here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.exceptions import HTTPException
from starlette.routing import Route

from router.domains import bound
from router.errors import EffortwiseError, InvalidQuery, StoreError, UnknownTrace
from router.ledger import Allowance
from router.outcome import Outcome
from router.stores import Judge, Store
from serving.chat import ChatEndpoint, read_body
from serving.decision_card import card_values
from serving.problems import Problem, problem_of
from serving.reply_wire import model_list, model_object
from serving.request_wire import parse_chat
from serving.service import Service
from serving.spending import spending_values
from serving.trace_view import trace_values
from serving.weighing import weighed

_COMMIT_WITHIN_S = 5.0
_CHAT = "/v1/chat/completions"


class OutcomeBody(BaseModel):
    """The body of ``POST /v1/outcomes``: a reward in [0, 1], or a verdict as its short form."""

    model_config = ConfigDict(extra="forbid")
    trace_id: str = Field(min_length=1, max_length=64)
    reward: float | None = Field(None, ge=0, le=1)
    verdict: bool | None = None
    source: str = Field("feedback", min_length=1, max_length=100)
    outcome_id: str = Field("", max_length=100)

    @model_validator(mode="after")
    def _one_of_two(self) -> OutcomeBody:
        if (self.reward is None) == (self.verdict is None):
            raise ValueError("give either reward (0 to 1) or verdict (true or false)")
        return self

    @classmethod
    def of(cls, body: bytes) -> OutcomeBody:
        """The checked body; ``InvalidQuery`` names the first field that is wrong."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            problems = [(".".join(map(str, problem["loc"])), problem["msg"]) for problem in error.errors()]
            message = "; ".join(f"{where}: {why}" if where else why for where, why in problems)
            raise InvalidQuery(f"{message}.", problems[0][0] or None) from None

    @property
    def outcome(self) -> Outcome:
        """As the noun."""
        reward = float(bool(self.verdict)) if self.reward is None else self.reward
        return Outcome(self.trace_id, reward, self.source, self.outcome_id)


@dataclass(frozen=True, slots=True)
class Application:
    """The whole service as an ASGI application. Chat completions go past FastAPI's layers, which would
    cost as much as the decision."""

    app: FastAPI
    chat: ChatEndpoint

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Chat completions to their endpoint, all else on."""
        if scope["type"] == "http" and scope["path"] == _CHAT and scope["method"] == "POST":
            await self.chat(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def create_app(service: Service) -> Application:
    """The application of a service; its lifespan starts and stops the service."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()

    app = FastAPI(title="Effortwise", lifespan=lifespan, docs_url="/docs", redoc_url=None)
    chat = ChatEndpoint(service)
    app.router.routes.insert(0, Route(_CHAT, chat, methods=["POST"]))
    app.add_exception_handler(EffortwiseError, _told)
    app.add_exception_handler(HTTPException, _told_by_status)
    app.add_exception_handler(Exception, _told)
    _add_model_endpoints(app, service)
    _add_trace_endpoints(app, service)
    _add_spending_endpoint(app, service)
    _add_health_endpoints(app, service)
    return Application(app, chat)


def _add_model_endpoints(app: FastAPI, service: Service) -> None:
    caller = Depends(_caller_of(service))
    created = int(time.time())

    @app.get("/v1/models")
    async def models(_: Allowance = caller) -> dict[str, Any]:
        """All that a caller may name as its model: auto, policies, models, arms."""
        return model_list(service.allocator.targets, created)

    @app.get("/v1/models/{name:path}")
    async def model(name: str, _: Allowance = caller) -> dict[str, Any]:
        """One of them."""
        service.allocator.require(name)
        return model_object(name, created)

    @app.post("/v1/plan")
    async def plan(request: Request, allowance: Allowance = caller) -> dict[str, Any]:
        """The decision for a chat completion body, without its execution: the decision card."""
        body = await _body(service, request)
        accepted = service.configuration.server
        parsed = parse_chat(
            body,
            account=allowance.account,
            max_choices=accepted.max_choices,
            tools_under=accepted.caller_tools,
        )
        query = weighed(parsed.query, service.execution.cards)
        query = bound(query, service.execution.bindings)
        card = service.allocator.card(query, await _spendable(service, allowance, query.received_at))
        return card_values(card, service.allocator.menu)


def _add_trace_endpoints(app: FastAPI, service: Service) -> None:
    caller = Depends(_caller_of(service))
    schema = {"requestBody": {"content": {"application/json": {"schema": OutcomeBody.model_json_schema()}}}}

    @app.post("/v1/outcomes", openapi_extra=schema)
    async def outcomes(request: Request, allowance: Allowance = caller) -> dict[str, Any]:
        """Judge a trace. A repeat (same trace, source and outcome_id) is accepted and changes nothing; the
        reply tells the reward that stands."""
        body = OutcomeBody.of(await _body(service, request))
        await _require_trace(service, body.trace_id, allowance)
        try:
            async with asyncio.timeout(_COMMIT_WITHIN_S):
                await service.recorder.write(Judge(body.outcome))
        except TimeoutError:
            raise StoreError("The outcome is not on record yet; send it again.") from None
        stands = await asyncio.to_thread(_standing, service.store, body.outcome)
        recorded = stands == body.outcome.reward
        return {"object": "outcome", "trace_id": body.trace_id, "recorded": recorded, "reward": stands}

    @app.get("/v1/traces/{trace_id}")
    async def trace(trace_id: str, allowance: Allowance = caller) -> dict[str, Any]:
        """One trace with its plan, steps, calls and outcomes, once it is committed."""
        await _require_trace(service, trace_id, allowance)
        await service.recorder.committed(trace_id, _COMMIT_WITHIN_S)
        found = await asyncio.to_thread(service.store.trace, trace_id)
        if found is None:
            raise _not_found(service, trace_id)
        return trace_values(found, await asyncio.to_thread(lambda: list(service.store.outcomes(trace_id))))


def _add_spending_endpoint(app: FastAPI, service: Service) -> None:
    caller = Depends(_caller_of(service))

    @app.get("/v1/spending")
    async def spending(allowance: Allowance = caller) -> dict[str, Any]:
        """What the caller's account has spent in its present window, and what it has left."""
        at = time.time()
        balance = await asyncio.to_thread(service.store.balance, allowance.account, allowance.key(at))
        return spending_values(allowance, balance, at)


def _add_health_endpoints(app: FastAPI, service: Service) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """Whether the process lives."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, Any]:
        """Whether it can serve; 503 while the store cannot write."""
        path = service.configuration.store.path  # no caller needs to know where files lie
        failing = (service.recorder.failing or "").replace(str(path), path.name)
        response.status_code = 503 if failing else 200
        return {
            "status": "not ready" if failing else "ready",
            "store": failing or "ok",
            "bundle": service.allocator.bundle.version,
            "newcomers": list(service.allocator.bundle.newcomers),
            "bundle_refused": service.watch.refused,
            "unfinished_at_start": service.recovered,
            "effort": service.probes.as_values(),
        }


def _standing(store: Store, outcome: Outcome) -> float:
    """The reward on record under an outcome's key: that of the first who used it."""
    key = outcome.source, outcome.outcome_id
    found = store.outcomes(outcome.trace_id)
    return next((each.reward for each in found if (each.source, each.outcome_id) == key), outcome.reward)


def _caller_of(service: Service) -> Any:
    async def caller(request: Request) -> Allowance:
        header = request.headers.get("authorization")
        return service.accounts.of_header(header.encode("latin-1") if header else None)

    return caller


async def _body(service: Service, request: Request) -> bytes:
    return await read_body(request.receive, service.configuration.server.max_body_bytes)


async def _spendable(service: Service, allowance: Allowance, at: float) -> int | None:
    if allowance.amount_nano is None:
        return None
    balance = await asyncio.to_thread(service.store.balance, allowance.account, allowance.key(at))
    return balance.left_nano(allowance.amount_nano)


async def _require_trace(service: Service, trace_id: str, allowance: Allowance) -> None:
    """``UnknownTrace`` where it is nobody's or somebody else's: which of the two is not told."""
    owner = service.execution.in_flight.get(trace_id) or service.recorder.account_of(trace_id)
    owner = owner or await asyncio.to_thread(service.store.account_of, trace_id)
    if owner != allowance.account:
        raise UnknownTrace(trace_id)


def _not_found(service: Service, trace_id: str) -> EffortwiseError:
    if service.recorder.account_of(trace_id) is None:
        return UnknownTrace(trace_id)
    return StoreError("The trace is not on record yet; ask again.")


async def _told(_: Request, error: Exception) -> Response:
    return _response(problem_of(error))


async def _told_by_status(_: Request, error: Exception) -> Response:
    """A path or method that there is not."""
    assert isinstance(error, HTTPException)  # noqa: S101  # the handler is registered for nothing else
    headers = error.headers or {}
    return _response(Problem(error.status_code, "invalid_request_error", None, error.detail, headers=headers))


def _response(problem: Problem) -> Response:
    return Response(problem.content, problem.status, dict(problem.headers), "application/json")
