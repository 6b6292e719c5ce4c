"""One file adds one thing: a registry finds the modules of a package, and entry points of others."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

from router.errors import ConfigurationError

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Mapping[str, type[T]], Generic[T]):
    """The named classes of one kind.

    A module ``<package>/<name>.py`` registers the class in it whose ``name`` attribute is ``<name>``;
    one with a leading underscore is a part of others.
    Another distribution registers one through the entry point group ``effortwise.<package's last part>``.
    Listing names imports nothing; getting a class imports its module only.

    kind: singular noun for messages, e.g. ``"strategy"``.
    package: dotted package that is searched, e.g. ``"router.strategies"``.
    """

    kind: str
    package: str
    _loaded: dict[str, type[T]] = field(default_factory=dict, repr=False)

    def names(self) -> list[str]:
        """The known names, sorted."""
        return sorted({*self._modules(), *self._entry_points()})

    def __getitem__(self, name: str) -> type[T]:
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._loaded or name in self.names())

    def _modules(self) -> list[str]:
        package = importlib.import_module(self.package)
        return [m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")]

    def _entry_points(self) -> list[str]:
        return [point.name for point in entry_points(group=self._group)]

    @property
    def _group(self) -> str:
        return f"effortwise.{self.package.rsplit('.', 1)[-1]}"

    def _load(self, name: str) -> type[T]:
        if name in self._modules():
            return self._class_in(importlib.import_module(f"{self.package}.{name}"), name)
        for point in entry_points(group=self._group, name=name):
            return cast("type[T]", point.load())
        raise ConfigurationError(f"Unknown {self.kind} {name!r}. Known: {', '.join(self.names())}.")

    def _class_in(self, module: object, name: str) -> type[T]:
        for value in vars(module).values():
            if isinstance(value, type) and vars(value).get("name") == name:
                return cast("type[T]", value)
        raise ConfigurationError(f"{self.package}.{name} holds no class with name = {name!r}.")
