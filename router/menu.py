"""Menu: the ordered arms a policy may choose from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from router.arm import Arm
from router.errors import ConfigurationError
from router.model_card import ModelCard


@dataclass(frozen=True)
class Menu:
    """Arms in a fixed order; every array of an ``Estimate`` and of a propensity vector follows it."""

    arms: tuple[Arm, ...]
    position: Mapping[str, int] = field(init=False, repr=False, compare=False)
    hash: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if not self.arms:
            raise ConfigurationError("The menu has no arms: add a [[menu]] entry.")
        position = {arm.id: i for i, arm in enumerate(self.arms)}
        if len(position) < len(self.arms):
            twice = sorted({arm.id for arm in self.arms if sum(a.id == arm.id for a in self.arms) > 1})
            raise ConfigurationError(f"The menu has arms twice: {', '.join(twice)}.")
        digest = hashlib.sha256("\n".join(arm.description for arm in self.arms).encode()).hexdigest()
        object.__setattr__(self, "position", position)
        object.__setattr__(self, "hash", digest[:16])

    def __len__(self) -> int:
        return len(self.arms)

    def __iter__(self) -> Iterator[Arm]:
        return iter(self.arms)

    def __getitem__(self, arm_id: str) -> Arm:
        return self.arms[self.position[arm_id]]

    def __contains__(self, arm_id: object) -> bool:
        return arm_id in self.position

    @property
    def ids(self) -> list[str]:
        """The arms' ids in order."""
        return list(self.position)

    @property
    def models(self) -> dict[str, ModelCard]:
        """The models that any arm uses, by name."""
        return {card.name: card for arm in self.arms for card in arm.models}
