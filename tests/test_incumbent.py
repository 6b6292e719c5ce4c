"""The bundle that serves, beside the one that was trained after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes_learning import planted_rounds, small_menu

from router.bundle import Bundle, cold_bundle, load_bundle
from router.features import Extractor
from training.incumbent import LEAST_QUESTIONS, against_incumbent
from training.rounds import Round
from training.train import train

MENU = small_menu()
EXTRACTOR = Extractor.of()
ROUNDS = planted_rounds(MENU, 900)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Learnt from the first half of the rounds, as it serves."""
    return served(ROUNDS[:450], tmp_path_factory.mktemp("bundle"))


def served(rounds: Sequence[Round], folder: Path) -> Bundle:
    """What was learnt from some rounds, saved and loaded."""
    train(rounds, MENU, EXTRACTOR).save(folder / "bundle")
    return load_bundle(folder / "bundle", MENU)


def test_more_rounds_beat_the_bundle_that_serves(bundle: Bundle) -> None:
    """Compared on the latest part alone, all of which is later than what the incumbent learnt from; what
    was learnt without knowing anything is beaten with the whole interval."""
    metrics = train(ROUNDS, MENU, EXTRACTOR, incumbent=cold_bundle(MENU)).metrics
    assert metrics["incumbent"]["gain"]["low"] > 0
    both = train(ROUNDS, MENU, EXTRACTOR, incumbent=bundle).metrics
    told = both["incumbent"]
    assert told["version"] == bundle.version
    assert told["rounds"] == both["rounds"]
    assert told["log_loss_of_this"] == pytest.approx(both["pooled"]["log_loss"])
    assert told["gain"]["low"] < told["gain"]["mean"] < told["gain"]["high"]
    assert told["gain"]["mean"] == pytest.approx(told["log_loss"] - told["log_loss_of_this"])


def test_a_worse_one_is_told(bundle: Bundle) -> None:
    """From few rounds whose rewards are wrong, what is learnt is worse with its whole interval."""
    wrong = [replace(r, reward=1 - r.reward) for r in ROUNDS[450:810]] + list(ROUNDS[810:])
    told = train(wrong, MENU, EXTRACTOR, incumbent=bundle).metrics["incumbent"]
    assert told["gain"]["high"] < 0


def test_only_what_the_incumbent_has_not_seen_is_compared(bundle: Bundle) -> None:
    """Neither rounds before its last one nor near-duplicates of such, though asked again later, nor rounds
    of unknown time."""
    later, quality = ROUNDS[450:], np.full(len(ROUNDS[450:]), 0.5)
    group = np.arange(len(later))
    told = against_incumbent(bundle, MENU, later, quality, group)
    assert told is not None
    assert told["questions"] == len(later)
    assert told["log_loss_of_this"] == pytest.approx(np.log(2))
    asked_before = [ROUNDS[0], *later[1:]]
    again = np.concatenate(([1], group[1:]))  # the second round repeats what the first asked
    fewer = against_incumbent(bundle, MENU, asked_before, quality, again)
    assert fewer is not None
    assert fewer["rounds"] == len(later) - 2
    assert against_incumbent(bundle, MENU, ROUNDS[:450], quality, group) is None
    timeless = [replace(r, created_at=None) for r in later]
    assert against_incumbent(bundle, MENU, timeless, quality, group) is None


def test_few_questions_tell_nothing(bundle: Bundle) -> None:
    """An interval of a handful would say more than it knows."""
    some = ROUNDS[450 : 450 + LEAST_QUESTIONS]
    quality = np.full(LEAST_QUESTIONS, 0.5)
    assert against_incumbent(bundle, MENU, some, quality, np.arange(LEAST_QUESTIONS)) is not None
    few, fewer = some[:-1], quality[:-1]
    assert against_incumbent(bundle, MENU, few, fewer, np.arange(LEAST_QUESTIONS - 1)) is None
