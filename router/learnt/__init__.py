"""The parts that learnt predictors are made of: plain arrays, read from and written to a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from router.errors import BundleError

P = TypeVar("P", bound="Part")


class Part:
    """A dataclass whose fields are all arrays; those that it works out itself are kept nowhere.

    per_arm: the fields with a value for each arm, the arms on the last axis.
    """

    per_arm: ClassVar[frozenset[str]] = frozenset()

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The fields under ``<prefix>.<field>``."""
        return {f"{prefix}.{name}": getattr(self, name) for name in self._given()}

    @classmethod
    def restore(cls: type[P], prefix: str, arrays: Mapping[str, NDArray[Any]], arms: NDArray[np.int64]) -> P:
        """The part with its arms picked and ordered by ``arms``; ``BundleError`` where an array lacks."""
        picked: dict[str, NDArray[Any]] = {}
        for field_name in cls._given():
            name = f"{prefix}.{field_name}"
            if name not in arrays:
                raise BundleError(f"The bundle lacks the array {name!r}.")
            picked[field_name] = arrays[name][..., arms] if field_name in cls.per_arm else arrays[name]
        return cls(**picked)

    @classmethod
    def _given(cls) -> list[str]:
        return [item.name for item in fields(cls) if item.init]  # type: ignore[arg-type]  # every part is a dataclass
