"""BundleWatch: follows a pointer file and swaps the allocator's bundle whole, while it serves.

The pointer is a text file with the path of the bundle to serve, replaced atomically by whoever
fetches bundles (``effortwise follow``). A bundle that fails validation is reported and the old one
stays. Where the pointer is taken away, the bundle that serving began with comes back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from router.allocator import Allocator
from router.bundle import Bundle, load_bundle

_log = logging.getLogger(__name__)

POINTER = "current"
"""Name of the pointer file in the folder of fetched bundles."""


@dataclass(slots=True)
class BundleWatch:
    """Looks at ``pointer`` every ``every_s`` seconds.

    options: of the features, by name. refused: why the newest bundle is not served; at first, why the
    configured one is not. first: what serves without a pointer.
    """

    allocator: Allocator
    pointer: Path
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    every_s: float = 0.5
    refused: str | None = None
    first: Bundle = field(init=False)
    _refused_first: str | None = field(init=False)
    _seen: str | None = None
    _readable: bool = True
    _task: asyncio.Task[None] | None = field(default=None)

    def __post_init__(self) -> None:
        self.first, self._refused_first = self.allocator.bundle, self.refused

    def start(self) -> None:
        """Start watching in the running loop."""
        self._task = asyncio.create_task(self._watch(), name="bundle watch")

    async def stop(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """Swap the bundle if the pointer names another one."""
        try:
            target = await asyncio.to_thread(_read, self.pointer)
        except (OSError, ValueError) as error:
            self.refused, self._readable = f"{self.pointer} cannot be read: {error}", False
            return
        if target == self._seen and self._readable:
            return
        self._seen, self._readable = target, True
        if target is None:
            self._swap(self.first)
            self.refused = self._refused_first
            return
        try:
            bundle = await asyncio.to_thread(load_bundle, Path(target), self.allocator.menu, self.options)
        except Exception as error:  # whatever is wrong with it, the old one serves on and /readyz tells
            self.refused = f"{target}: {error}"
            _log.error("the bundle is refused, the old one serves on: %s", self.refused)
            return
        self._swap(bundle)

    def _swap(self, bundle: Bundle) -> None:
        _log.info("bundle %s replaces %s", bundle.version, self.allocator.bundle.version)
        tell_newcomers(bundle)
        self.allocator.bundle = bundle
        self.refused = None

    async def _watch(self) -> None:
        while True:
            try:
                await self.look()
            except Exception:  # a fault in watching must not end it
                _log.exception("looking for a new bundle failed")
            await asyncio.sleep(self.every_s)


def tell_newcomers(bundle: Bundle) -> None:
    """Warn of arms that the bundle was not trained on."""
    if bundle.newcomers:
        _log.warning(
            "bundle %s was not trained on %s: guessed from the arms that it knows, and explored; train again "
            "once they have outcomes",
            bundle.version,
            ", ".join(bundle.newcomers),
        )


def _read(pointer: Path) -> str | None:
    """What it names; ``None`` without one. ``ValueError`` where it is no text, or empty."""
    try:
        named = pointer.read_text().strip()
    except FileNotFoundError:
        return None
    if not named:
        raise ValueError("it is empty")
    return named
