"""APGR and CPT against RouteLLM's definition, worked out step by step in plain Python."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from router.estimate import FloatArray
from training.evaluation.apgr import Thresholds, apgr, cpt


def measured(gap: FloatArray, weak: FloatArray, strong: FloatArray) -> tuple[float, dict[str, float]]:
    """Both measures of one set of scores."""
    thresholds = Thresholds.of(gap)
    share = thresholds.strong.mean(axis=0)
    quality = thresholds.got(weak, strong).mean(axis=0)
    whole = apgr(share, quality, weak.mean(), strong.mean())
    return float(whole), cpt(share, quality, float(weak.mean()), float(strong.mean()))


def by_definition(gap: FloatArray, weak: FloatArray, strong: FloatArray) -> tuple[float, dict[str, float]]:
    """Ten quantile bins; at least the threshold, at the last one above it; trapezoids over the share."""
    cuts = sorted({float(np.quantile(gap, k / 10)) for k in range(11)})
    curve = []
    for k, cut in enumerate(cuts):
        goes = [score >= cut if k < len(cuts) - 1 else score > cut for score in gap]
        right = [s if up else w for up, s, w in zip(goes, strong, weak, strict=True)]
        curve.append((sum(goes) / len(gap), sum(right) / len(gap)))
    curve.sort()
    low, high = weak.mean(), strong.mean()
    area = sum((x2 - x1) * (y1 + y2) / 2 for (x1, y1), (x2, y2) in itertools.pairwise(curve))
    width = curve[-1][0] - curve[0][0]
    shares, qualities = [x for x, _ in curve], [y for _, y in curve]
    calls = {
        str(level): float(np.interp(low + level / 100 * (high - low), qualities, shares))
        for level in (20, 50, 80)
    }
    return (area - low * width) / ((high - low) * width), calls


@pytest.mark.parametrize("decimals", [1, 6])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_is_routellm_s_definition(seed: int, decimals: int) -> None:
    """With and without ties among the scores."""
    rng = np.random.default_rng(seed)
    gap = np.round(rng.random(137), decimals)
    weak, strong = (rng.random((2, 137)) < [[0.6], [0.85]]).astype(np.float64)
    found, calls = measured(gap, weak, strong)
    expected, expected_calls = by_definition(gap, weak, strong)
    assert found == pytest.approx(expected, abs=1e-12)
    assert calls == pytest.approx(expected_calls, abs=1e-12)


def test_a_perfect_score_recovers_the_gap_at_once_and_an_ignorant_one_half_of_it() -> None:
    """The strong model where it alone is right comes first: nearly 1; a random order: about 0.5."""
    rng = np.random.default_rng(0)
    weak = (rng.random(20_000) < 0.6).astype(np.float64)
    strong = np.maximum(weak, rng.random(20_000) < 0.5)
    perfect, calls = measured(strong - weak + 1e-6 * rng.random(20_000), weak, strong)
    assert perfect > 0.85
    assert calls["80"] < 0.25
    assert measured(rng.random(20_000), weak, strong)[0] == pytest.approx(0.5, abs=0.02)


def test_resamples_are_measured_side_by_side() -> None:
    """A leading axis gives one APGR for each resample."""
    share = np.array([[1.0, 0.5, 0.0], [1.0, 0.4, 0.0]])
    quality = np.array([[0.8, 0.75, 0.6], [0.8, 0.7, 0.6]])
    found = apgr(share, quality, np.array([0.6, 0.6]), np.array([0.8, 0.8]))
    one = apgr(share[1], quality[1], np.float64(0.6), np.float64(0.8))
    assert found.shape == (2,)
    assert found[1] == one
