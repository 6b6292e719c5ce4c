"""Service: the parts of one running gateway, composed from its configuration."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router.allocator import Allocator
from router.backend import Backend
from router.behaviour import Behaviour
from router.bundle import PRIOR_VERSION, Bundle, cold_bundle, load_bundle
from router.configuration import Configuration
from router.configured import configured_allocator, configured_menu, feature_options
from router.errors import BundleError, ConfigurationError
from router.menu import Menu
from router.stores import KnowMenu, Store
from router.stores.sqlite import Sqlite
from serving.accounts import Accounts
from serving.backends import BACKENDS
from serving.bundles import POINTER, BundleWatch, tell_newcomers
from serving.caller_tools import check_bases
from serving.effort_probe import EffortProbes
from serving.effort_watch import watched
from serving.execution import Execution
from serving.recorder import Recorder
from serving.resilience import Retries
from serving.sandbox import configured_sandbox
from serving.tools import configured_tools

_SETTLE_WITHIN_S = 5.0
"""How long requests that were cut off may take to settle when the service stops."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Service:
    """One gateway. ``start`` before the first request, ``stop`` after the last."""

    configuration: Configuration
    allocator: Allocator
    execution: Execution
    recorder: Recorder
    store: Store
    accounts: Accounts
    watch: BundleWatch
    backends: Mapping[str, Backend]
    probes: EffortProbes
    recovered: int = 0

    async def start(self) -> None:
        """Account for what an earlier process left, then start writing and watching."""
        self.recovered = self.store.recover()
        if self.recovered:
            _log.warning("%d unfinished queries of an earlier process are on record", self.recovered)
        self.recorder.start()
        menu = self.allocator.menu
        await self.recorder.write(KnowMenu(menu.hash, {arm.id: arm.description for arm in menu}))
        await self.watch.look()
        self.watch.start()
        self.probes.start()

    async def stop(self) -> None:
        """Write what waits, then let go of everything."""
        await self.watch.stop()
        await self.probes.stop()
        await self.execution.idle(_SETTLE_WITHIN_S)
        await self.recorder.stop()
        for backend in self.backends.values():
            await backend.aclose()
        self.store.close()


def compose(
    configuration: Configuration, environment: Mapping[str, str], bundle: Path | None = None
) -> Service:
    """The service of a configuration.

    environment: where upstream keys are looked up. bundle: the folder of the bundle to begin with;
    without it, or where it does not fit, the documented prior decides until one arrives.
    """
    check_bases(configuration.server.caller_tools)
    menu = configured_menu(configuration)
    first = first_bundle(bundle, menu, configuration)
    allocator = configured_allocator(configuration, first, menu)
    accounts = Accounts.of(configuration)
    backends = configured_backends(configuration, environment)
    by_model = {name: backends[model.backend] for name, model in configuration.models.items()}
    by_model = watched(by_model, allocator.cards)
    store = Sqlite(configuration.store.path, configuration.store.synchronous)
    recorder = Recorder(store, configuration.store.queue_operations)
    retries = Retries(
        configuration.resilience.attempts,
        configuration.resilience.first_wait_s,
        configuration.resilience.max_wait_s,
    )
    sandbox = configured_sandbox(configuration.sandbox)
    if sandbox is None:
        _bar_programs(allocator)
    execution = Execution(
        allocator,
        recorder,
        by_model,
        allocator.cards,
        retries,
        configuration.store.prompts,
        bindings=configuration.bindings,
        sandbox=sandbox,
        likeness=None if sandbox is None else Behaviour(sandbox),
        tools=configured_tools(configuration.tools, environment, sandbox),
    )
    refused = None
    if bundle is not None and first.version == PRIOR_VERSION:
        refused = f"{bundle}: refused at the start, the log says why"
    pointer = bundles_folder(configuration) / POINTER
    watch = BundleWatch(allocator, pointer, feature_options(configuration), refused=refused)
    probes = EffortProbes.of(configuration, allocator, execution)
    return Service(configuration, allocator, execution, recorder, store, accounts, watch, backends, probes)


def _bar_programs(allocator: Allocator) -> None:
    """Arms that would run code may serve no query without a sandbox."""
    for arm in allocator.menu:
        if arm.strategy.traits.needs_sandbox:
            allocator.bar(arm.id, "needs a sandbox ([sandbox])")


def bundles_folder(configuration: Configuration) -> Path:
    """Where fetched bundles lie: beside the store, under its name, so that no two services share them."""
    path = configuration.store.path
    return path.with_name(f"{path.name}.bundles")


def first_bundle(folder: Path | None, menu: Menu, configuration: Configuration) -> Bundle:
    """The bundle of a folder, or the cold-start prior where there is none or it does not fit."""
    options = feature_options(configuration)
    if folder is not None:
        try:
            bundle = load_bundle(folder, menu, options)
            tell_newcomers(bundle)
            return bundle
        except BundleError as error:
            _log.error("the bundle %s is refused; the cold-start prior decides: %s", folder, error)
    return cold_bundle(menu, configuration.decision.features, options)


def configured_backends(configuration: Configuration, environment: Mapping[str, str]) -> dict[str, Backend]:
    """The backends by name, each with the upstream names of its models."""
    backends = {}
    for name, section in configuration.backends.items():
        options = dict(section.options)
        key_variable = options.pop("api_key_env", None)
        if key_variable is not None:
            options["api_key"] = _secret(name, key_variable, environment)
        upstream = {
            model: entry.upstream_model
            for model, entry in configuration.models.items()
            if entry.backend == name and entry.upstream_model
        }
        backends[name] = _backend(name, section.type, options, upstream)
    return backends


def _secret(name: str, variable: str, environment: Mapping[str, str]) -> str:
    value = environment.get(variable)
    if not value:
        raise ConfigurationError(
            f"backends.{name}.api_key_env: the environment variable {variable} is not set."
        )
    return value


def _backend(name: str, kind: str, options: dict[str, Any], upstream: Mapping[str, str]) -> Backend:
    constructor = BACKENDS[kind]
    known = [key for key in inspect.signature(constructor).parameters if key not in ("api_key", "upstream")]
    unknown = [key for key in options if key not in (*known, "api_key")]
    if unknown:
        raise ConfigurationError(
            f"backends.{name}: unknown key {unknown[0]!r} (known: {', '.join(known)}, api_key_env)."
        )
    takes_upstream = "upstream" in inspect.signature(constructor).parameters
    try:
        return constructor(**options, **({"upstream": upstream} if takes_upstream else {}))
    except TypeError as error:
        raise ConfigurationError(f"backends.{name}: {error}.") from error
