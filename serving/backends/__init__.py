"""Backends that reach a model. ``BACKENDS`` finds the modules of this package.

A backend's constructor takes its options in ``[backends.<name>]`` by keyword and raises
``ConfigurationError`` where they are wrong. To add one: a module with a class whose ``name`` is the
module's. Metering and retries are built around it: a backend makes one call, once.
"""

from __future__ import annotations

from router.backend import Backend
from router.registry import Registry

BACKENDS: Registry[Backend] = Registry("backend", "serving.backends")
