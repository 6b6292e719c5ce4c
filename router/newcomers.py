"""Newcomers: arms that a bundle has never seen, estimated from those that it has, until they are learnt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from router.arm import Arm
from router.errors import BundleError
from router.estimate import Estimate, FloatArray
from router.features import FeatureRow
from router.menu import Menu
from router.predictors import Estimator, FeatureRows
from router.predictors.constant import Constant

BoolArray: TypeAlias = NDArray[np.bool_]
Pairs: TypeAlias = Sequence[Sequence[tuple[Arm, Arm]]]
"""Every known arm, and with it every newcomer."""

AMOUNTS = tuple(item.name for item in fields(Estimate) if not item.name.startswith("quality"))


@dataclass(frozen=True, slots=True, eq=False)
class Widened:
    """A predictor for more arms than it was trained on.

    Of each query, a newcomer's log odds of success are guessed to lie as far above its relatives' as the
    documented prior (``Constant.prior``) has it; its cost and latency are the prior's times what its
    relatives take more than theirs. Its relatives are the known arms of its family; without any, those that
    share a model with it; without any, all of them. Nobody has seen it answer yet, so its ``quality_sd`` is
    the prior's, and policies explore it without preferring it (``Choice``). Where more compute cannot hurt,
    it is guessed no worse than known arms of its family with less compute, and no better than those with
    more.

    known: estimates the known arms, in their order. place, shape (known,): where they stand in the menu; new,
    shape (new,): where the others do. relatives, shape (known, new): each column sums to one. not_below,
    not_above, shape (known, new): which known arms bound a newcomer. prior: of the whole menu.
    """

    known: Estimator
    place: NDArray[np.int64]
    new: NDArray[np.int64]
    relatives: FloatArray
    not_below: BoolArray
    not_above: BoolArray
    prior: Estimate

    @classmethod
    def of(cls, known: Estimator, familiar: Menu, menu: Menu) -> Widened:
        """familiar: the arms that ``known`` estimates, in its order; all of them on the menu."""
        place = np.array([menu.position[arm.id] for arm in familiar])
        new = np.setdiff1d(np.arange(len(menu)), place)
        pairs = [[(menu.arms[i], menu.arms[j]) for j in new] for i in place]
        bounding = _table(pairs, lambda one, other: one.family == other.family and other.monotone)
        smaller = _table(pairs, lambda one, other: one.compute <= other.compute)
        larger = _table(pairs, lambda one, other: one.compute >= other.compute)
        return cls(
            known,
            place,
            new,
            _relatives(pairs),
            bounding & smaller,
            bounding & larger,
            Constant.prior(menu).constants,
        )

    def estimate(self, row: FeatureRow) -> Estimate:
        """See the contract."""
        return self._widened(self.known.estimate(row))

    def estimates(self, rows: FeatureRows) -> Estimate:
        """See the contract."""
        return self._widened(self.known.estimates(rows))

    def _widened(self, learnt: Estimate) -> Estimate:
        wide = self.prior.quality_sd[self.new]
        guess = self._guess(learnt.quality)
        return Estimate(
            self._joined(learnt.quality, self._bounded(guess, learnt.quality)),
            self._joined(learnt.quality_sd, np.broadcast_to(wide, guess.shape)),
            *(self._amounts(getattr(learnt, name), getattr(self.prior, name)) for name in AMOUNTS),
        )

    def _guess(self, learnt: FloatArray) -> FloatArray:
        """P(success) of the newcomers, shape (..., new)."""
        before = _logit(self.prior.quality)
        above = _logit(learnt) - before[self.place]
        guess: FloatArray = 1 / (1 + np.exp(-(before[self.new] + above @ self.relatives)))
        return guess

    def _bounded(self, guess: FloatArray, learnt: FloatArray) -> FloatArray:
        known = learnt[..., :, None]
        least = np.where(self.not_below, known, -np.inf).max(axis=-2)
        most = np.where(self.not_above, known, np.inf).min(axis=-2)
        bounded: FloatArray = np.minimum(np.maximum(guess, least), most)
        return bounded

    def _amounts(self, learnt: FloatArray, before: FloatArray) -> FloatArray:
        expected = before[self.place] @ self.relatives
        ratio = np.where(expected > 0, (learnt @ self.relatives) / np.where(expected > 0, expected, 1.0), 1.0)
        return self._joined(learnt, before[self.new] * ratio)

    def _joined(self, learnt: FloatArray, guessed: FloatArray) -> FloatArray:
        whole = np.empty((*learnt.shape[:-1], len(self.place) + len(self.new)))
        whole[..., self.place], whole[..., self.new] = learnt, guessed
        return whole


def split(known: Sequence[str], menu: Menu) -> tuple[Menu, tuple[str, ...]]:
    """The part of a menu that is known, in the menu's order, and the ids of the others; ``BundleError``
    where nothing is known."""
    familiar = tuple(arm for arm in menu if arm.id in known)
    if not familiar:
        raise BundleError(
            f"The bundle does not know any arm of the menu. It knows: {', '.join(known)}. Train on traces of "
            "this menu, or serve the menu it was trained on."
        )
    return Menu(familiar), tuple(arm.id for arm in menu if arm.id not in known)


def _logit(probability: FloatArray) -> FloatArray:
    clipped = np.clip(probability, 1e-4, 1 - 1e-4)
    odds: FloatArray = np.log(clipped / (1 - clipped))
    return odds


def _relatives(pairs: Pairs) -> FloatArray:
    family = _table(pairs, lambda one, other: one.family == other.family)
    model = _table(pairs, lambda one, other: not _models(one).isdisjoint(_models(other)))
    shares = np.where(family.any(axis=0), family, np.where(model.any(axis=0), model, True)).astype(np.float64)
    found: FloatArray = shares / shares.sum(axis=0)
    return found


def _models(arm: Arm) -> set[str]:
    return {card.name for card in arm.models}


def _table(pairs: Pairs, holds: Callable[[Arm, Arm], bool]) -> BoolArray:
    """Of every known arm and newcomer, shape (known, new)."""
    return np.array([[holds(one, other) for one, other in row] for row in pairs], np.bool_)
