"""Beam search: who stays in the beam, what runs together, and when it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from fakes import Said, Upstream
from fakes_search import path_in, searched, steps_of, unending, writer

from router.budget import Budget
from router.call import Call
from router.errors import ConfigurationError
from router.strategies.beam_search import BeamSearch


def test_a_level_takes_one_step_and_one_value_however_wide_it_is() -> None:
    """Width 4 and depth 3: two latencies a level and one for the forced end, not one for each call."""
    upstream = Upstream(writer(unending))
    _, run, seconds = searched(BeamSearch("small", 24, width=4, depth=3), upstream, verifier=None)
    assert seconds == pytest.approx(2 * 3 + 1)
    assert run.meter.usage.calls == 1 + 1 + 3 * 8 * 2 + 1


def test_the_best_go_on_and_the_others_do_not() -> None:
    """Each of them by ``branch`` steps."""

    def rating(prompt: str) -> str:
        return "9" if "step 2" in prompt or "step 5" in prompt else "4"

    upstream = Upstream(writer(unending, rating))
    searched(BeamSearch("small", 12, width=2, depth=2, branch=3), upstream)
    gone_on = Counter(path_in(call) for call in steps_of(upstream))
    assert gone_on == {"": 6, "step 2": 3, "step 5": 3}


def test_a_complete_path_keeps_its_place_while_others_go_on() -> None:
    """It is not written on; a better one that comes later takes its place."""

    def step(path: str, number: int) -> str:
        return "Answer: 7" if number == 1 else "Answer: 8" if path else f"step {number}"

    def rating(prompt: str) -> str:
        return (
            "9"
            if "Answer: 8" in prompt
            else "7"
            if "Answer: 7" in prompt
            else "6"
            if "step 2" in prompt
            else "5"
        )

    upstream = Upstream(writer(step, rating))
    answer, run, _ = searched(BeamSearch("small", 12, width=2, depth=3), upstream, verifier=None)
    assert "Answer: 7" not in {path_in(call) for call in steps_of(upstream)}
    assert answer.candidate.text == "step 2\nAnswer: 8"
    assert len(answer.weighed) == 3
    assert run.steps[-1].numbers["steps"] == 2


def test_a_beam_of_complete_paths_ends_it() -> None:
    """Depth is a bound, not a duty."""
    upstream = Upstream(writer(lambda path, number: f"Answer: {number}"))
    answer, _, seconds = searched(BeamSearch("small", 36, width=2, depth=9), upstream, verifier=None)
    assert seconds == pytest.approx(2.0)
    assert answer.complete


def test_values_do_not_wait_for_the_slowest_step() -> None:
    """A step is valued as soon as it stands."""

    def slowing(call: Call, number: int) -> Said:
        slow = call.template == "step" and number == 1
        return Said("5" if call.template == "judge" else f"Answer: {number}", latency_s=3.0 if slow else 1.0)

    _, run, seconds = searched(BeamSearch("small", 12, width=2, depth=3), Upstream(slowing), verifier=None)
    assert seconds == pytest.approx(4.0)
    judged = [record for record in run.meter.records if record.purpose == "judge"]
    assert sorted(record.started_s for record in judged) == pytest.approx([1, 1, 1, 1, 3])


@pytest.mark.parametrize(
    ("steps", "calls", "levels"),
    [
        (2, None, [2]),
        (8, None, [4, 4]),
        (9, None, [5, 4]),
        (31, None, [13, 6, 6, 6]),
        (32, None, [8, 8, 8, 8]),
        (32, 19, [4, 4]),
        (32, 2, [1]),
    ],
)
def test_width_and_depth_come_from_the_budget(steps: int, calls: int | None, levels: list[int]) -> None:
    """The arm's steps, or what the plan's calls leave of them: 19 pay for 8 valued steps, a valued plain draw
    and the forced end. Where they pay for none, one is tried all the same."""
    upstream = Upstream(writer(unending))
    searched(BeamSearch("small", steps), upstream, Budget(calls=calls), verifier=None)
    depths = Counter(path_in(call).count("step") for call in steps_of(upstream))
    assert [depths[level] for level in sorted(depths)] == levels


@pytest.mark.parametrize(
    ("strategy", "calls", "whole"),
    [
        (BeamSearch("small", 8), 19, True),
        (BeamSearch("small", 8), 17, False),
        (BeamSearch("small", 100, width=2, depth=2), 40, True),
        (BeamSearch("small", 100, width=2, depth=2), 17, False),
    ],
)
def test_a_smaller_beam_than_the_arms_is_a_partial_search(
    strategy: BeamSearch, calls: int, whole: bool
) -> None:
    """And one that the budget left as it was is none."""
    answer, run, _ = searched(strategy, Upstream(writer(unending)), Budget(calls=calls), verifier=None)
    assert answer.complete is whole
    assert run.meter.usage.calls <= calls


def test_choices_share_the_calls() -> None:
    """Of four choices each takes the beam that a quarter of the calls pays for."""
    upstream = Upstream(writer(unending))
    searched(BeamSearch("small", 32), upstream, Budget(calls=76), verifier=None, n=4)
    assert len(steps_of(upstream)) == 8


@pytest.mark.parametrize(
    "options", [{"n": 0}, {"n": 4, "width": 0}, {"n": 4, "depth": 0}, {"n": 4, "branch": 0}]
)
def test_wrong_options_are_refused(options: Mapping[str, int]) -> None:
    """At the start."""
    with pytest.raises(ConfigurationError, match=">= 1, not 0"):
        BeamSearch("small", **options)
