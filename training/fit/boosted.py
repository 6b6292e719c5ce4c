"""Fit of the boosted predictor: LightGBM, with the linear logit as its initial score."""

from __future__ import annotations

from typing import Any

import numpy as np

from router.estimate import FloatArray
from router.learnt.attributes import COLUMNS, CONSTRAINTS, Attributes
from router.predictors.boosted import Boosted
from training.calibrate import fit_platt
from training.families import Families
from training.fit.logistic import LinearFit, fit_linear, logistic_of
from training.folds import folds
from training.table import Table

MOST_TREES = 150
PATIENCE = 15
LEAST_ROUNDS_PER_LEAF = 20

PARAMETERS = {
    "objective": "cross_entropy",  # takes rewards between 0 and 1
    "learning_rate": 0.05,
    "num_leaves": 15,
    "lambda_l2": 5.0,
    "cat_l2": 10.0,
    "max_cat_threshold": 8,
    "boost_from_average": False,  # the initial score is the average
    "monotone_constraints_method": "basic",
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


def fit_boosted(fit: Table, calibrate: Table, seed: int = 0) -> Boosted:
    """The trees are grown on the linear logit out of fold, so that they correct what it gets wrong on
    questions it has not seen; their number is chosen on held-out groups, then all rounds are used."""
    fitted = fit_linear(fit, seed)
    attributes = _attributes(fitted.design.families)
    rows = _rows(fit, fitted, attributes)
    booster = _grow(rows, fitted.out_of_fold, fit, _number_of_trees(rows, fitted, fit, seed), seed)
    logits = fitted.logits(calibrate) + _raw(booster, _rows(calibrate, fitted, attributes))
    linear = logistic_of(fitted, fit, calibrate, fit_platt(logits, calibrate, fitted.design.families))
    return Boosted(linear, attributes, booster)


def _attributes(families: Families) -> Attributes:
    monotone = np.where(families.monotone, families.log_compute, 0.0)
    free = np.where(families.monotone, 0.0, families.log_compute)
    return Attributes(np.stack([families.of_arm, families.model, monotone, free]).astype(np.float64))


def _rows(table: Table, fitted: LinearFit, attributes: Attributes) -> FloatArray:
    return attributes.rows(fitted.design.scaling(table.features.dense)[table.query], table.arm)


def _raw(booster: Any, rows: FloatArray) -> FloatArray:
    if not len(rows):
        return np.zeros(0)
    return np.asarray(booster.predict(rows, raw_score=True, num_threads=1), np.float64)


def _number_of_trees(rows: FloatArray, fitted: LinearFit, table: Table, seed: int) -> int:
    import lightgbm

    held = folds(table.group, seed) == 0
    seen, unseen = np.flatnonzero(~held), np.flatnonzero(held)
    if not len(seen) or not len(unseen):
        return 1
    train = _dataset(rows, fitted.out_of_fold, table, seen)
    check = _dataset(rows, fitted.out_of_fold, table, unseen, reference=train)
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    grown = lightgbm.train(_parameters(rows, seed), train, MOST_TREES, valid_sets=[check], callbacks=[stop])
    return max(int(grown.best_iteration), 1)


def _grow(rows: FloatArray, initial: FloatArray, table: Table, trees: int, seed: int) -> Any:
    import lightgbm

    everything = _dataset(rows, initial, table, np.arange(len(table)))
    return lightgbm.train(_parameters(rows, seed), everything, trees)


def _dataset(rows: FloatArray, initial: FloatArray, table: Table, picked: Any, reference: Any = None) -> Any:
    import lightgbm

    columns = rows.shape[1]
    return lightgbm.Dataset(
        rows[picked],
        table.reward[picked],
        weight=table.weight[picked],
        init_score=initial[picked],
        reference=reference,
        categorical_feature=[columns - len(COLUMNS), columns - len(COLUMNS) + 1],
        params={"verbosity": -1},
    )


def _parameters(rows: FloatArray, seed: int) -> dict[str, Any]:
    free = rows.shape[1] - len(CONSTRAINTS)
    return {
        **PARAMETERS,
        "seed": seed,
        "min_data_in_leaf": max(LEAST_ROUNDS_PER_LEAF, len(rows) // 200),
        "monotone_constraints": [0] * free + list(CONSTRAINTS),
    }
