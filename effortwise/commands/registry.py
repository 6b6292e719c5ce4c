"""``effortwise promote``, ``rollback`` and ``follow``: which bundle is the champion."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from pathlib import Path

from effortwise.commands.train import configured_registry
from router.configuration import load_configuration
from serving.bundles import POINTER
from serving.service import bundles_folder
from training.registry import CHAMPION, BundleRegistry

_log = logging.getLogger(__name__)


def promote(config: Path, version: int | None, anyway: bool) -> None:
    """The challenger, or that version, becomes the champion."""
    registry = configured_registry(load_configuration(config))
    number = registry.promote(version, anyway=anyway)
    gain = registry.gain(number)
    if gain is None:
        told = "it was not compared with what served before"
    else:
        told = "against what served before, log loss saved {:+.4f} ({:+.4f} to {:+.4f})".format(*gain)
    print(f"version {number} is the champion; {told}")


def rollback(config: Path) -> None:
    """The previous champion becomes the champion again; without one, the bundle that serving begins with."""
    number = configured_registry(load_configuration(config)).rollback()
    if number is None:
        print("no version is the champion: the service goes back to the bundle of its configuration")
    else:
        print(f"version {number} is the champion again")


def follow(config: Path) -> None:
    """Fetch the alias's bundle whenever it moves and point the service at it; ends with its parent.

    The registry may be away: the service serves on with what it has, and this tries again.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then ends this
    configuration = load_configuration(config)
    registry = configured_registry(configuration)
    section = configuration.registry
    assert section is not None  # noqa: S101  # configured_registry has refused that
    folder = bundles_folder(configuration).resolve()
    parent = os.getppid()
    while os.getppid() == parent:
        fetch_for(registry, section.alias, folder)
        time.sleep(section.poll_s)


def fetch_for(registry: BundleRegistry, alias: str, folder: Path) -> None:
    """One look: fetch what the alias stands for and point the service at it, or at nothing any more."""
    try:
        fetched = registry.fetch(alias, folder)
        withdrawn = fetched is None and alias == CHAMPION and registry.withdrawn()
    except Exception as error:  # whatever fails there, following goes on
        _log.warning("the registry cannot be read, the service keeps its bundle: %s", error)
        return
    if fetched is not None:
        point_at(folder / POINTER, fetched)
    if withdrawn:
        (folder / POINTER).unlink(missing_ok=True)


def point_at(pointer: Path, bundle: Path) -> None:
    """Make the pointer name a bundle's folder, atomically, where it does not yet."""
    if pointer.exists() and pointer.read_text() == str(bundle):
        return
    unfinished = pointer.with_suffix(".unfinished")
    unfinished.write_text(str(bundle))
    unfinished.replace(pointer)
    _log.info("the service is pointed at %s", bundle)
