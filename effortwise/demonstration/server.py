"""The demonstration's own service: the ordinary command, in a folder of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from router.errors import EffortwiseError

_START_WITHIN_S = 120.0
_SWAP_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running service. url: with ``/v1``'s parent, e.g. ``http://127.0.0.1:41234``."""

    folder: Path
    config: Path
    url: str

    def ready(self) -> dict[str, Any] | None:
        """What ``/readyz`` says; ``None`` where it does not answer yet."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=5) as reply:  # noqa: S310  # our own address
                return dict(orjson.loads(reply.read()))
        except (urllib.error.URLError, OSError):
            return None

    def command(self, *arguments: str) -> None:
        """Run an ``effortwise`` command on this service's configuration, as its operator would."""
        command = [sys.executable, "-m", "effortwise", *arguments, "--config", str(self.config)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EffortwiseError(f"effortwise {' '.join(arguments)} failed: {done.stderr.strip()[-2000:]}")

    def await_bundle(self, other_than: str) -> str:
        """Wait until the service has swapped its bundle; the new one's version."""
        deadline = time.monotonic() + _SWAP_WITHIN_S
        while time.monotonic() < deadline:
            state = self.ready() or {}
            if state.get("bundle_refused"):
                raise EffortwiseError(f"The service refused the bundle: {state['bundle_refused']}")
            if state.get("bundle") not in (None, other_than):
                return str(state["bundle"])
            time.sleep(0.2)
        raise EffortwiseError("The service did not swap to the new bundle in time.")


@contextmanager
def running_server(folder: Path, config: Path) -> Iterator[Server]:
    """A service on a free port of 127.0.0.1, stopped at the end. Its log lies in ``folder/serve.log``."""
    port = _free_port()
    command = [sys.executable, "-m", "effortwise", "serve", "--config", str(config), "--port", str(port)]
    with (folder / "serve.log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            server = Server(folder, config, f"http://127.0.0.1:{port}")
            _await_start(server, process, folder / "serve.log")
            yield server
        finally:
            process.terminate()
            process.wait(timeout=60)


def _await_start(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_WITHIN_S
    while server.ready() is None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise EffortwiseError(f"The service did not start: {log.read_text()[-2000:]}")
        time.sleep(0.2)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
