"""Calibration of predicted chances: what chance alone shows is not held against a predictor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fakes_grid import planted_grid

from router.estimate import FloatArray
from training.evaluation.calibration import Predictions, calibrated, calibration, debiased
from training.evaluation.crossfit import Part
from training.evaluation.decisions import Decisions, Routed
from training.evaluation.resampling import Resamples
from training.evaluation.tested import Tested as Results  # no test class


def predicted(count: int, seed: int, shift: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """Predictions and what came of them: right but for a shift."""
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.2, 0.8, count)
    return chance + shift, (rng.random(count) < chance).astype(np.float64)


def measured(count: int, seed: int, shift: float = 0.0) -> tuple[float, float, float]:
    """Debiased error and interval of independent queries."""
    member = np.arange(count)
    return debiased([Predictions(*predicted(count, seed, shift), member)], Resamples.of(member, 0, 400))


def test_a_perfect_predictor_of_a_few_hundred_rows_is_not_blamed() -> None:
    """Its binned error is 0.05 and more by chance alone; the debiased one's square is zero on average,
    and in nineteen of twenty cases the interval begins at zero."""
    found = [measured(300, seed) for seed in range(60)]
    raw = [
        calibration(
            [Predictions(*predicted(300, seed), np.arange(300))], Resamples.of(np.arange(300), 0, 100)
        ).ece
        for seed in range(20)
    ]
    assert np.mean(raw) > 0.05
    assert np.median([each[0] for each in found]) < 0.03
    assert np.mean([each[1] == 0.0 for each in found]) >= 0.9


def test_a_real_error_is_found() -> None:
    """A predictor that says a tenth too much is seen to, and the interval holds the truth."""
    found = [measured(1500, seed, shift=0.1) for seed in range(20)]
    assert np.mean([each[0] for each in found]) == pytest.approx(0.1, abs=0.01)
    assert np.mean([each[1] <= 0.1 <= each[2] for each in found]) >= 0.85
    assert all(each[1] > 0.03 for each in found)


def test_repeats_of_a_question_are_no_new_evidence() -> None:
    """Five copies of each row leave the debiased error where it was: they are one question's."""
    quality, reward = predicted(400, 3)
    resamples = Resamples.of(np.arange(400), 0, 400)
    once = debiased([Predictions(quality, reward, np.arange(400))], resamples)
    copied = np.repeat(np.arange(400), 5)
    five = debiased([Predictions(quality[copied], reward[copied], copied)], resamples)
    assert five == pytest.approx(once, abs=0.02)


def test_an_arm_that_is_always_right_has_no_auroc() -> None:
    """Nothing to rank; the rest is measured."""
    quality, member = np.full(50, 0.9), np.arange(50)
    found = calibration([Predictions(quality, np.ones(50), member)], Resamples.of(member, 0, 100))
    assert found.auroc is None
    assert found.ece == pytest.approx(0.1)
    assert found.brier == pytest.approx(0.01)


def test_errors_of_different_passes_do_not_cancel() -> None:
    """One pass says a tenth too much and the other one too little: the error is a tenth."""
    member = np.arange(1500)
    passes = [Predictions(*predicted(1500, 5, shift), member) for shift in (0.1, -0.1)]
    found = calibration(passes, Resamples.of(member, 0, 400))
    assert found.ece_debiased == pytest.approx(0.1, abs=0.015)
    assert found.low > 0.07


def test_passes_are_told_apart_by_their_number(tmp_path: Path) -> None:
    """Of a report, too: two passes that err against each other, each of two parts."""
    grid = planted_grid(tmp_path, 600)
    half = [np.arange(0, 600, 2), np.arange(1, 600, 2)]
    rate = grid.reward.mean(axis=0)
    parts = [Part(half[1 - i], half[i], half[i], half[i], repeat) for repeat in (0, 1) for i in (0, 1)]
    nothing = Decisions(grid.reward, grid.cost_usd, lambda price: np.zeros(600, np.int64))
    routed = [
        Routed(each, nothing, nothing, np.tile(rate + (0.1 if each.repeat else -0.1), (300, 1)))
        for each in parts
    ]
    told = calibrated(Results.of(grid, parts, np.arange(600), 0), routed)
    assert told is not None
    assert told["pooled"]["ece_debiased"] > 0.08


def test_resampled_means_are_those_of_whole_questions() -> None:
    """A question's queries are drawn together, and the interval narrows with the number of questions."""
    group = np.repeat(np.arange(40), 3)
    values = np.repeat(np.random.default_rng(0).normal(size=40), 3)
    resamples = Resamples.of(group, 0)
    assert resamples.counts.sum(axis=1).tolist() == [40.0] * len(resamples.counts)
    found = resamples.interval(values)
    width = values.std() / np.sqrt(40) * 2 * 1.96
    assert found.high - found.low == pytest.approx(width, rel=0.15)
    two = resamples.means(np.column_stack((values, -values)))
    assert two[:, 0] == pytest.approx(resamples.means(values))
    assert two.sum(axis=1) == pytest.approx(np.zeros(len(two)), abs=1e-12)
