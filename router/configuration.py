"""Configuration: one TOML file, checked whole at start. Nothing else is configured anywhere.

Secrets never stand in it: upstream keys are read from the environment variables it names, callers'
keys are given as their SHA-256.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError, model_validator

from router.domains import DOMAINS
from router.errors import ConfigurationError, InvalidQuery
from router.sections import (
    AccountSection,
    BackendSection,
    DecisionSection,
    DomainSection,
    EffortSection,
    MenuSection,
    ModelSection,
    PolicySection,
    RegistrySection,
    ResilienceSection,
    SandboxSection,
    Section,
    ServerSection,
    StoreSection,
    ToolSection,
)
from router.verifiers import make_verifier

BUILTIN = "builtin"
"""The bundle that ships with the project."""


class Configuration(Section):
    """The whole file. ``hash`` stands on every trace."""

    server: ServerSection = ServerSection()
    store: StoreSection = StoreSection()
    registry: RegistrySection | None = None
    decision: DecisionSection = DecisionSection()
    resilience: ResilienceSection = ResilienceSection()
    backends: Mapping[str, BackendSection]
    models: Mapping[str, ModelSection]
    menu: tuple[MenuSection, ...] = Field(min_length=1)
    policies: Mapping[str, PolicySection] = Field(default_factory=dict)
    sandbox: SandboxSection = SandboxSection()
    tools: Mapping[str, ToolSection] = Field(default_factory=dict)
    accounts: tuple[AccountSection, ...] = ()
    domains: Mapping[str, DomainSection] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _domains_exist(self) -> Configuration:
        for name, section in self.domains.items():
            if name not in DOMAINS:
                raise ValueError(f"domains.{name}: no such domain; known: {', '.join(DOMAINS)}")
            try:
                make_verifier(section.verifier)
            except InvalidQuery as error:
                raise ValueError(f"domains.{name}.verifier: {str(error).removesuffix('.')}") from error
        return self

    @property
    def bindings(self) -> dict[str, Mapping[str, Any]]:
        """The verifiers that are bound to domains, by domain."""
        return {name: section.verifier for name, section in self.domains.items()}

    @model_validator(mode="after")
    def _names_exist(self) -> Configuration:
        for name, model in self.models.items():
            _known(f"models.{name}.backend", model.backend, self.backends)
        for i, entry in enumerate(self.menu):
            for model_name in entry.models:
                _known(f"menu.{i}.models", model_name, self.models)
        if self.policies or self.decision.policy != "auto":
            _known("decision.policy", self.decision.policy, self.policies)
        if taken := sorted(self.models.keys() & {"auto", *self.policies}):
            raise ValueError(f"models.{taken[0]}: a caller who asks for {taken[0]!r} gets a policy")
        accounts = [account.name for account in self.accounts]
        if twice := sorted({name for name in accounts if accounts.count(name) > 1}):
            raise ValueError(f"accounts: {twice[0]!r} stands twice; one account may have several keys")
        return self

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of all values."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


def _known(key: str, name: str, known: Mapping[str, object]) -> None:
    if name not in known:
        raise ValueError(f"{key} = {name!r} is not configured; known: {', '.join(sorted(known)) or 'none'}")


def load_configuration(path: Path) -> Configuration:
    """The checked configuration of a TOML file; ``ConfigurationError`` names key and known choices."""
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigurationError(f"No configuration file {path}; try config/local.toml.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} is no readable TOML: {error}.") from error
    return parse_configuration(content, str(path))


def parse_configuration(content: Mapping[str, Any], source: str = "configuration") -> Configuration:
    """The checked configuration of plain values."""
    try:
        return Configuration.model_validate(content)
    except ValidationError as error:
        lines = [_explain(dict(problem)) for problem in error.errors()]
        raise ConfigurationError(f"{source}: " + "; ".join(lines) + ".") from None


def _explain(problem: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = ", ".join(sorted(_section_at(problem["loc"][:-1]).model_fields))
        return f"unknown key {where!r} (known: {known})"
    if problem["type"] == "missing":
        return f"missing key {where!r}{_price_hint(where)}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _price_hint(where: str) -> str:
    return " (every model needs its price; 0 must be said)" if "usd_per_million" in where else ""


def _section_at(location: tuple[str | int, ...]) -> type[BaseModel]:
    """The section that a location in the file belongs to."""
    sections: dict[str, type[BaseModel]] = {
        "server": ServerSection,
        "store": StoreSection,
        "registry": RegistrySection,
        "decision": DecisionSection,
        "resilience": ResilienceSection,
        "models": ModelSection,
        "accounts": AccountSection,
        "domains": DomainSection,
        "sandbox": SandboxSection,
    }
    if location[2:] == ("effort",):
        return EffortSection
    return sections.get(str(location[0]), Configuration) if location else Configuration
