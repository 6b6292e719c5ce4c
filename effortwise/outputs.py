"""Outputs: whether a command can write what it is asked for, told before the work and not after it."""

from __future__ import annotations

from pathlib import Path

from router.errors import ConfigurationError


def check_writable(*paths: Path | None) -> None:
    """``ConfigurationError`` where a file's folder is missing, or a folder stands in its place."""
    for path in paths:
        if path is None:
            continue
        if path.is_dir():
            raise ConfigurationError(f"{path} is a folder: name a file in it.")
        if not path.resolve().parent.is_dir():
            raise ConfigurationError(f"{path} cannot be written: there is no folder {path.parent}.")
