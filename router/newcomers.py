"""Newcomers: arms that a bundle has never seen, estimated from those that it has, until they are learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from router.errors import BundleError
from router.estimate import Estimate, FloatArray
from router.features import FeatureRow
from router.menu import Menu
from router.predictors import Estimator, FeatureRows
from router.predictors.constant import Constant

LEAST_QUALITY = 0.01
AMOUNTS = tuple(item.name for item in fields(Estimate) if not item.name.startswith("quality"))


@dataclass(frozen=True, slots=True, eq=False)
class Widened:
    """A predictor for more arms than it was trained on.

    Of each query, a newcomer's log odds of success are guessed to lie as far above its relatives' as the
    documented prior (``Constant.prior``) has it; its cost and latency are the prior's times what its
    relatives take more than theirs. Its relatives are the known arms that share a model with it; without
    any, all of them. Nobody has seen it answer yet, so its ``quality_sd`` is the prior's, and its quality is
    told one such deviation below the guess: it is explored, and takes over no traffic before it earned it.

    known: estimates the known arms, in their order. place, shape (known,): where they stand in the menu; new,
    shape (new,): where the others do. relatives, shape (known, new): each column sums to one. prior: of
    the whole menu.
    """

    known: Estimator
    place: NDArray[np.int64]
    new: NDArray[np.int64]
    relatives: FloatArray
    prior: Estimate

    @classmethod
    def of(cls, known: Estimator, familiar: Menu, menu: Menu) -> Widened:
        """familiar: the arms that ``known`` estimates, in its order; all of them on the menu."""
        place = np.array([menu.position[arm.id] for arm in familiar])
        new = np.setdiff1d(np.arange(len(menu)), place)
        return cls(known, place, new, _relatives(menu, place, new), Constant.prior(menu).constants)

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
            self._joined(learnt.quality, np.maximum(guess - wide, LEAST_QUALITY)),
            self._joined(learnt.quality_sd, np.broadcast_to(wide, guess.shape)),
            *(self._amounts(getattr(learnt, name), getattr(self.prior, name)) for name in AMOUNTS),
        )

    def _guess(self, learnt: FloatArray) -> FloatArray:
        """P(success) of the newcomers, shape (..., new)."""
        before = _logit(self.prior.quality)
        above = _logit(learnt) - before[self.place]
        guess: FloatArray = 1 / (1 + np.exp(-(before[self.new] + above @ self.relatives)))
        return guess

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


def _relatives(menu: Menu, place: NDArray[np.int64], new: NDArray[np.int64]) -> FloatArray:
    arms = list(menu)
    models = [{card.name for card in arm.models} for arm in arms]
    shares = np.array([[float(bool(models[i] & models[j])) for j in new] for i in place])
    shares = np.where(shares.sum(axis=0) > 0, shares, 1.0)
    found: FloatArray = shares / shares.sum(axis=0)
    return found
