"""Success: what is told of a series' success by its question and arm, by the predictor that serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from router.arm import Arm
from router.estimate import FloatArray
from router.features import Extractor
from router.learnt.platt import Platt
from router.menu import Menu
from router.model_card import ModelCard
from router.query import Query
from router.strategies.direct import Direct
from router.tariff import Tariff
from training.calibrate import fit_platt
from training.evaluation.grid import IntArray
from training.fit.logistic import fit_linear
from training.rounds import Round
from training.sampling.samples import Samples
from training.table import Table, tabulate


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Logits of rows that were fitted on (by models that saw no near-duplicate of them; of very many rows,
    of a part of them) and of others, with the calibration that turns them into probabilities."""

    table: Table
    platt: Platt
    train: IntArray
    test: IntArray
    train_logit: FloatArray
    test_logit: FloatArray

    @property
    def train_probability(self) -> FloatArray:
        """Calibrated, shape (train,)."""
        return self._calibrated(self.train_logit, self.train)

    @property
    def test_probability(self) -> FloatArray:
        """Calibrated, shape (test,)."""
        return self._calibrated(self.test_logit, self.test)

    def _calibrated(self, logit: FloatArray, rows: IntArray) -> FloatArray:
        arm = self.table.arm[rows]
        probability: FloatArray = expit(self.platt.slope[arm] * logit + self.platt.shift[arm])
        return probability


def success_table(samples: Samples, reward: Sequence[float] | FloatArray) -> Table:
    """A round for each series; reward: the share of times that its arm succeeded."""
    arms = list(dict.fromkeys(each.arm for each in samples.series))
    menu = Menu(tuple(Arm(arm, Direct(arm), (_card(arm),), arm) for arm in arms))
    rounds = [
        Round(Query(({"role": "user", "content": each.text},), id=str(i)), each.arm, float(share), each.key)
        for i, (each, share) in enumerate(zip(samples.series, reward, strict=True))
    ]
    return tabulate(rounds, samples.group, Extractor.of(), menu)


def predict_success(table: Table, train: IntArray, test: IntArray, seed: int = 0) -> Predicted:
    """Fitted on the training rows alone."""
    fitted_on = table.take(train)
    fitted = fit_linear(fitted_on, seed)
    known = fitted.unseen.rounds
    platt = fit_platt(fitted.out_of_fold, fitted_on.take(known), fitted.design.families)
    others = fitted.logits(table.take(test)) if len(test) else np.zeros(0)
    return Predicted(table, platt, train[known], test, fitted.out_of_fold, others)


def _card(name: str) -> ModelCard:
    """Costs and limits play no part in success."""
    return ModelCard(name, Tariff(0.0, 0.0), 1024, 8192, False, False, False)
