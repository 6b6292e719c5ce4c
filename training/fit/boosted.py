"""Fit of the boosted predictor: LightGBM, with the linear logit as its initial score."""

from __future__ import annotations

from typing import Any

import numpy as np

from router.estimate import FloatArray
from router.learnt.attributes import COLUMNS, CONSTRAINTS, Attributes
from router.predictors.boosted import Boosted
from router.predictors.logistic import Logistic
from training.calibrate import fit_platt
from training.design import IntArray
from training.families import Families
from training.fit.logistic import (
    LinearFit,
    Scores,
    calibrated,
    fit_linear,
    logistic_of,
    nested_scores,
)
from training.spending import fit_spending
from training.table import Table

TREES = (10, 20, 40, 70, 110, 150)
"""How many trees there may be."""
LEAST_ROUNDS_PER_LEAF = 20
LEADING = 16
"""How many of the questions' components the trees see."""

PARAMETERS = {
    "objective": "cross_entropy",  # takes rewards between 0 and 1
    "learning_rate": 0.1,
    "num_leaves": 15,
    "lambda_l2": 5.0,
    "cat_l2": 10.0,
    "max_cat_threshold": 8,
    "feature_fraction": 0.5,
    "extra_trees": True,  # thresholds drawn at random [Geurts et al. 2006]: sums of trees vary less
    "boost_from_average": False,  # the initial score is the average
    "monotone_constraints_method": "basic",
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


def fit_boosted(table: Table, seed: int = 0) -> Boosted:
    """The trees are grown on the linear logit out of fold (of a large table, on the part held out), so that
    they correct what it gets wrong on questions it has not seen. Their number is that of the least log loss
    out of fold, and the calibration is learnt from those same sums; both from models, linear and trees,
    that saw nothing of a round's fold."""
    fitted = fit_linear(table, seed)
    return _boosted(fitted, table, _logits_out_of_fold(fitted, table, seed), seed)


def fit_boosted_if_better(table: Table, seed: int = 0) -> Boosted | Logistic:
    """Likewise; the logistic predictor where no number of trees lowers its log loss out of fold."""
    fitted = fit_linear(table, seed)
    logits = _logits_out_of_fold(fitted, table, seed)
    judged = table.take(fitted.unseen.rounds)
    if _log_loss(fitted.out_of_fold, judged) <= min(_log_loss(each, judged) for each in logits):
        return calibrated(fitted, table, seed)
    return _boosted(fitted, table, logits, seed)


def _boosted(fitted: LinearFit, table: Table, logits: FloatArray, seed: int) -> Boosted:
    judged = table.take(fitted.unseen.rounds)
    best = int(np.argmin([_log_loss(each, judged) for each in logits]))
    platt = fit_platt(logits[best], judged, fitted.design.families)
    linear = logistic_of(fitted, fit_spending(fitted.seen, table, seed), platt, table, LEADING)
    attributes = _attributes(fitted.design.families)
    scores = fitted.scores_out_of_fold()
    rows = _rows(judged, fitted, scores, attributes)
    grown = _grow(rows, scores, judged, np.arange(len(judged)), TREES[best], seed)
    return Boosted(linear, attributes, grown)


def _attributes(families: Families) -> Attributes:
    monotone = np.where(families.monotone, families.log_compute, 0.0)
    free = np.where(families.monotone, 0.0, families.log_compute)
    return Attributes(np.stack([families.of_arm, families.model, monotone, free]).astype(np.float64))


def _rows(judged: Table, fitted: LinearFit, scores: Scores, attributes: Attributes) -> FloatArray:
    """Of the unseen rounds."""
    seen, design = fitted.seen, fitted.design
    place = seen.place[fitted.unseen.rounds]
    components = seen.inputs[place, : min(LEADING, len(design.components))]
    z = design.scaling(judged.features.dense[judged.query])
    x = np.concatenate((z, components, scores.shared[:, None]), axis=1, dtype=np.float64)
    return attributes.rows(x, scores.own, judged.arm)


def _logits_out_of_fold(fitted: LinearFit, table: Table, seed: int) -> FloatArray:
    """The linear logit of each unseen round plus that of so many trees, shape (len(TREES), unseen)."""
    attributes, judged = _attributes(fitted.design.families), table.take(fitted.unseen.rounds)
    logits = np.tile(fitted.out_of_fold, (len(TREES), 1))
    for fold, scores in enumerate(nested_scores(fitted, table)):
        tested = fitted.unseen.fold == fold
        if tested.all():
            continue
        rows = _rows(judged, fitted, scores, attributes)
        grown = _grow(rows, scores, judged, np.flatnonzero(~tested), TREES[-1], seed)
        for i, count in enumerate(TREES):
            logits[i, tested] += grown.predict(
                rows[tested], raw_score=True, num_iteration=count, num_threads=1
            )
    return logits


def _log_loss(logits: FloatArray, table: Table) -> float:
    losses = np.logaddexp(0.0, logits) - table.reward * logits
    return float(table.judging @ losses)


def _grow(rows: FloatArray, scores: Scores, table: Table, picked: IntArray, trees: int, seed: int) -> Any:
    import lightgbm

    columns = rows.shape[1]
    known = lightgbm.Dataset(
        rows[picked],
        table.reward[picked],
        weight=table.weight[picked],
        init_score=scores.logit[picked],
        categorical_feature=[columns - len(COLUMNS), columns - len(COLUMNS) + 1],
        params={"verbosity": -1},
    )
    free = columns - len(CONSTRAINTS)
    parameters = {
        **PARAMETERS,
        "seed": seed,
        "min_data_in_leaf": max(LEAST_ROUNDS_PER_LEAF, len(picked) // 200),
        "monotone_constraints": [0] * free + list(CONSTRAINTS),
    }
    return lightgbm.train(parameters, known, trees)
