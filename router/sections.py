"""Sections: the tables of the configuration's file, each checked by itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from router.features import DEFAULT_FEATURES

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """One table of the file: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSection(Section):
    """``[server]``: where the service listens and what it accepts. caller_tools: the beginnings of URLs at
    which requests may have tools of their own."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    max_body_bytes: Positive = 4_000_000
    max_choices: Positive = 16
    caller_tools: tuple[str, ...] = ()


class StoreSection(Section):
    """``[store]``: traces, outcomes and the ledger.

    path is relative to the working directory. prompts: whole (needed to train on own traffic), their
    SHA-256, or nothing. queue_operations: how many writes may wait before requests do.
    """

    path: Path = Path("state/effortwise.db")
    synchronous: Literal["normal", "full"] = "normal"
    prompts: Literal["whole", "hashed", "none"] = "whole"
    queue_operations: Positive = 10_000


class RegistrySection(Section):
    """``[registry]``: the MLflow registry whose alias the service follows."""

    tracking_uri: str = "sqlite:///state/mlflow.db"
    model: str = "effortwise"
    alias: str = "champion"
    poll_s: float = Field(2.0, gt=0, allow_inf_nan=False)
    follow: bool = True


class DecisionSection(Section):
    """``[decision]``: how the arm is chosen when the caller does not name it."""

    policy: str = "auto"
    default_arm: str | None = None
    price_per_usd: NonNegative = 0.0
    price_per_s: NonNegative = 0.0
    features: tuple[str, ...] = DEFAULT_FEATURES
    embedding_model: Path | None = None
    bundle: str | None = None


class BackendSection(BaseModel):
    """``[backends.<name>]``: a way to reach models; ``type`` names it, the other keys are its own."""

    model_config = ConfigDict(extra="allow", frozen=True)
    type: str

    @property
    def options(self) -> dict[str, Any]:
        """The keys besides ``type``."""
        return dict(self.model_extra or {})


class EffortSection(Section):
    """``[models.<name>.effort]``: the native levels that a model takes (``router.effort.Effort``). probe:
    whether each is tried at the start; without it, where the model costs nothing."""

    style: str
    levels: tuple[str, ...]
    tokens: Mapping[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    also: Mapping[str, Any] = Field(default_factory=dict)
    probe: bool | None = None


class ModelSection(Section):
    """``[models.<name>]``: a model and what it costs. A model without its price is an error."""

    backend: str
    upstream_model: str | None = None
    usd_per_million_prompt_tokens: NonNegative
    usd_per_million_completion_tokens: NonNegative
    max_completion_tokens: Positive = 1024
    context_tokens: Positive = 8192
    tools: bool = False
    logprobs: bool = False
    response_format: bool = False
    continues: bool = False
    effort: EffortSection | None = None


class MenuSection(BaseModel):
    """``[[menu]]``: arms of one strategy. The other keys are the strategy's options; a list where it
    takes a number is a compute ladder, one arm per rung."""

    model_config = ConfigDict(extra="allow", frozen=True)
    strategy: str
    models: tuple[str, ...] = ()
    max_cost_usd: NonNegative | None = None
    max_s: float | None = Field(None, gt=0, allow_inf_nan=False)

    @property
    def options(self) -> dict[str, Any]:
        """The strategy's options."""
        return dict(self.model_extra or {})


class PolicySection(BaseModel):
    """``[policies.<name>]``: a policy under a name that a caller can ask for as its model."""

    model_config = ConfigDict(extra="allow", frozen=True)
    type: str

    @property
    def options(self) -> dict[str, Any]:
        """The policy's options."""
        return dict(self.model_extra or {})


class AccountSection(Section):
    """``[[accounts]]``: who may call, and what they may spend. Without any, everybody is ``default``."""

    name: str = Field(min_length=1)
    api_keys_sha256: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = ()
    allowance_usd: NonNegative | None = None
    window: Literal["day", "month", "total"] = "month"


class ResilienceSection(Section):
    """``[resilience]``: retries of failed upstream calls, within the plan's budget."""

    attempts: Positive = 3
    first_wait_s: NonNegative = 0.2
    max_wait_s: NonNegative = 5.0


class SandboxSection(Section):
    """``[sandbox]``: where programs that a model wrote are run.

    mode: ``auto`` is ``bubblewrap`` where it works, else ``off``; ``unconfined`` promises less and must be
    asked for. python: the interpreter of the programs, the service's own without it. parallel: programs at
    once. The limits are the most that any program gets, whatever a request asks for.
    """

    mode: Literal["auto", "bubblewrap", "unconfined", "off"] = "auto"
    python: Path | None = None
    parallel: Positive = 4
    seconds: float = Field(default=30.0, gt=0, allow_inf_nan=False)
    memory_bytes: int = Field(default=1 << 30, ge=64 << 20)
    output_bytes: Positive = 1 << 20
    processes: Positive = 32
    disk_bytes: int = Field(default=64 << 20, ge=1 << 20)


class ToolSection(BaseModel):
    """``[tools.<name>]``: a tool under the name by which models call it; ``type`` names its kind, the
    other keys are its own."""

    model_config = ConfigDict(extra="allow", frozen=True)
    type: str

    @property
    def options(self) -> dict[str, Any]:
        """The keys besides ``type``."""
        return dict(self.model_extra or {})


class DomainSection(Section):
    """``[domains.<name>]``: what is bound to a domain. verifier: a verifier specification, for queries that
    bring none."""

    verifier: Mapping[str, Any]
