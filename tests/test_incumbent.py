"""The bundle that serves, beside the one that was trained after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes_learning import planted_rounds, small_menu

from router.bundle import Bundle, cold_bundle, load_bundle
from router.features import Extractor
from training.incumbent import LEAST_QUESTIONS, Incumbent, newest_questions
from training.rounds import Round
from training.train import train

MENU = small_menu()
EXTRACTOR = Extractor.of()
ROUNDS = planted_rounds(MENU, 900)
UNTIL = 1_000_449.0
"""When the last of the first 450 rounds was made."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Learnt from the first half of the rounds, as it serves."""
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    train(ROUNDS[:450], MENU, EXTRACTOR).save(folder)
    return load_bundle(folder, MENU)


def compared(rounds: Sequence[Round], incumbent: Incumbent) -> Any:
    return train(rounds, MENU, EXTRACTOR, incumbent=incumbent).metrics["incumbent"]


def test_more_rounds_beat_the_bundle_that_serves(bundle: Bundle) -> None:
    """Compared on the later half of what is new; what was learnt from nothing is beaten with the whole
    interval."""
    assert bundle.manifest["summary"]["last_at"] == UNTIL
    assert compared(ROUNDS, Incumbent(cold_bundle(MENU), -inf))["gain"]["low"] > 0
    told = compared(ROUNDS, Incumbent(bundle, UNTIL))
    assert told["version"] == bundle.version
    assert told["rounds"] == told["questions"] == 225
    assert told["gain"]["low"] < told["gain"]["mean"] < told["gain"]["high"]
    assert told["gain"]["mean"] == pytest.approx(told["log_loss"] - told["log_loss_of_this"])
    assert told["gain"]["high"] > 0


def test_a_worse_one_is_told(bundle: Bundle, tmp_path: Path) -> None:
    """Where most of what is new is judged the wrong way round, it is worse with its whole interval."""
    wrong = [replace(r, reward=1 - r.reward) for r in ROUNDS[450:675]]
    assert compared([*wrong, *ROUNDS[675:]], Incumbent(bundle, UNTIL))["gain"]["high"] < 0


def test_a_log_that_hardly_grew_does_not_speak_against_what_was_learnt_from_it(tmp_path: Path) -> None:
    """The new one has seen all that the incumbent has: it is not compared by what the older part alone
    teaches."""
    lost = 0
    for seed in range(4):
        rounds = planted_rounds(MENU, 1000, seed)
        drifted = [replace(r, reward=1 - r.reward) for r in rounds[:650]] + rounds[650:]
        train(drifted[:850], MENU, EXTRACTOR).save(tmp_path / str(seed))
        serving = Incumbent(load_bundle(tmp_path / str(seed), MENU), rounds[849].created_at)
        told = train(drifted, MENU, EXTRACTOR, incumbent=serving).metrics["incumbent"]
        lost += told["gain"]["high"] < 0
    assert lost == 0


def test_only_what_the_incumbent_has_not_seen_is_compared(bundle: Bundle) -> None:
    """Neither rounds before its last one nor near-duplicates of such, though asked again later, whatever arm
    answered them, nor rounds of unknown time; and nothing where it is not known what it has seen."""
    serving = Incumbent(bundle, UNTIL)
    group = np.arange(900)
    assert newest_questions(serving, ROUNDS, group).tolist() == list(range(675, 900))
    again = np.where(group == 800, 3, group)  # asked early, and again
    assert 800 not in newest_questions(serving, ROUNDS, again)
    assert 3 not in newest_questions(serving, ROUNDS, again)
    timeless = [*ROUNDS[:899], replace(ROUNDS[899], created_at=None)]
    assert 899 not in newest_questions(serving, timeless, group)
    assert not len(newest_questions(Incumbent(bundle, None), ROUNDS, group))
    assert len(newest_questions(Incumbent(bundle, -inf), ROUNDS, group)) == 450


def test_few_questions_tell_nothing(bundle: Bundle) -> None:
    """An interval of a handful would say more than it knows."""
    enough = 450 + 2 * LEAST_QUESTIONS
    assert compared(ROUNDS[:enough], Incumbent(bundle, UNTIL)) is not None
    assert compared(ROUNDS[: enough - 2], Incumbent(bundle, UNTIL)) is None
    assert compared(ROUNDS, Incumbent(bundle, None)) is None


def test_times_are_those_of_all_that_was_learnt_from() -> None:
    """An arm that only teaches counts, too; where one time is unknown, so is the last."""
    gone = [replace(r, arm="old/direct", created_at=2_000_000.0, propensities=None) for r in ROUNDS[:5]]
    assert train([*ROUNDS[:100], *gone], MENU, EXTRACTOR).summary["last_at"] == 2_000_000.0
    timeless = [replace(ROUNDS[0], created_at=None), *ROUNDS[1:100]]
    assert train(timeless, MENU, EXTRACTOR).summary["last_at"] is None
