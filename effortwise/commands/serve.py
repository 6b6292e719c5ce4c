"""``effortwise serve``."""

from __future__ import annotations

import gc
import importlib.util
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn

from effortwise.bundled import starting_bundle
from effortwise.companion import companion
from router.configuration import Configuration, load_configuration
from router.errors import ConfigurationError
from serving.app import create_app
from serving.service import Service, compose
from serving.single import only_server

_COLLECT_AFTER = 10_000, 50, 50
"""Thresholds of the garbage collector: a request makes a few hundred objects and hardly a cycle, so that
looking for cycles as often as Python does by default costs four requests in a hundred."""
_SWITCH_INTERVAL_S = 0.02
"""How long the event loop may keep the interpreter's lock from the writer thread: at 0.5 ms the two
trade it so often that a fixed arm serves a third fewer requests."""
_GRACE_S = 30
"""How long requests under way may take when the service is told to stop."""


def serve(config: Path, host: str | None, port: int | None) -> None:
    """Run the service until it is told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _end)  # uvicorn ends in good order, then raises the signal once more
    configuration = load_configuration(config)
    server = configuration.server
    with (
        _bound(host or server.host, server.port if port is None else port) as listener,
        only_server(configuration.store.path),
    ):
        service = compose(configuration, os.environ, starting_bundle(configuration))
        _announce(service, listener)
        with _follower(configuration, config):
            _run(service, listener)


def _end(*_: object) -> None:
    """Leave by way of every ``finally``, so that the follower ends with the service."""
    sys.exit(0)


def _bound(host: str, port: int) -> socket.socket:
    """The address is taken before the work of the start: who cannot have it hears so at once."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        why = str(error).rstrip(".")
        raise ConfigurationError(f"Cannot listen on {host}:{port}: {why}.") from error
    return listener


def _run(service: Service, listener: socket.socket) -> None:
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    application = create_app(service)
    gc.collect()
    gc.set_threshold(*_COLLECT_AFTER)
    gc.freeze()  # what was loaded at start never dies: collections need not look at it
    config = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = uvicorn.Server(config)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listener])
    if not server.started:
        sys.exit(1)


def _announce(service: Service, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    allocator = service.allocator
    models = ", ".join(service.configuration.models)
    print(
        f"Effortwise listens on http://{host}:{port}/v1 (models: {models}; {len(allocator.menu)} arms; "
        f"bundle {allocator.bundle.version}; configuration {allocator.configuration_hash})",
        flush=True,
    )


@contextmanager
def _follower(configuration: Configuration, config: Path) -> Iterator[None]:
    """The process that follows the registry, as long as this serves: MLflow is heavy and never loaded into
    the server."""
    registry = configuration.registry
    if registry is None or not registry.follow:
        yield
        return
    if importlib.util.find_spec("mlflow") is None:
        raise ConfigurationError(
            "registry: MLflow is not installed. Install 'effortwise[train]' or drop [registry]."
        )
    command = [sys.executable, "-m", "effortwise", "follow", "--config", str(config)]
    with companion(command):
        yield
