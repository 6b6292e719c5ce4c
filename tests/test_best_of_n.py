"""Best of n: batches, the first pass, and the judge."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import RIGHT, Said, Upstream, always, ask, in_turn, run_of, virtually

from router.call import Call
from router.candidate import Answer
from router.errors import BackendRefused, ConfigurationError
from router.judge import JUDGE_COMPLETION_TOKENS
from router.run import Run
from router.strategies.best_of_n import BestOfN


def picked(strategy: BestOfN, upstream: Upstream, verifier: Any = RIGHT) -> tuple[Answer, Run, float]:
    async def work() -> tuple[Answer, Run]:
        run = run_of(upstream, ask(verifier=verifier) if verifier else ask())
        return await strategy.answer(run), run

    (answer, run), seconds = virtually(work)
    return answer, run, seconds


def test_the_first_pass_ends_it() -> None:
    """An easy query costs one draw of eight."""
    upstream = Upstream(in_turn("5"))
    answer, _, _ = picked(BestOfN("small", 8), upstream)
    assert len(upstream.seen) == 1
    assert answer.verdict is not None
    assert answer.verdict.ruling == "pass"
    assert answer.complete


@pytest.mark.parametrize(
    ("right_at", "calls", "seconds"), [(0, 1, 1), (1, 2, 2), (3, 4, 3), (4, 8, 4), (None, 8, 4)]
)
def test_batches_double(right_at: int | None, calls: int, seconds: float) -> None:
    """Draws come as 1, 1, 2, 4: the wait grows with the logarithm of the draws."""
    texts = ["6"] * 8
    if right_at is not None:
        texts[right_at] = "5"
    upstream = Upstream(in_turn(*texts))
    answer, _, taken = picked(BestOfN("small", 8), upstream)
    assert (len(upstream.seen), taken) == (calls, pytest.approx(seconds))
    assert answer.candidate.text == ("6" if right_at is None else "5")
    assert answer.complete


def test_a_pass_cancels_the_rest_of_its_batch() -> None:
    """Nobody waits for draws that are not needed, and what they may have cost is on record."""

    def slowing(call: Call, number: int) -> Said:
        return Said("5" if number == 4 else "6", latency_s=1.0 if number <= 4 else 50.0)

    upstream = Upstream(slowing)
    _, run, seconds = picked(BestOfN("small", 8), upstream)
    assert seconds == pytest.approx(4.0)
    assert upstream.in_flight == 0
    assert [record.status for record in run.meter.records].count("cancelled") == 3


def test_without_a_pass_the_earliest_of_the_best_is_kept() -> None:
    """All that failed are alike."""
    answer, run, _ = picked(BestOfN("small", 4), Upstream(in_turn("6", "7", "8", "9")))
    assert answer.candidate.text == "6"
    assert len(answer.weighed) == len(answer.verdicts) == 4
    assert run.steps[-1].reason == "4 of 4 drawn"


def judging(ratings: dict[str, str]) -> Upstream:
    """The small model answers in turn; the large one rates an answer as told."""
    answers = iter([*ratings, *ratings])

    def behave(call: Call, number: int) -> Said:
        if call.purpose == "candidate":
            return Said(next(answers))
        asked = call.messages[0]["content"].rsplit("Answer:\n", 1)[1]
        return Said(ratings[asked], latency_s=0.25)

    return Upstream(behave)


def test_a_judge_rates_all_and_the_best_wins() -> None:
    """With a judge all n are drawn at once, each is rated once, and the highest rating is kept."""
    upstream = judging({"one": "2", "two": "9/10", "three": "I say 10", "four": "no idea"})
    answer, _, seconds = picked(BestOfN("small", 4, judge="large"), upstream, None)
    assert answer.candidate.text == "three"
    assert seconds == pytest.approx(1.0 + 4 * 0.25)  # the draws side by side, then a rating each
    assert answer.verdict is not None
    assert (answer.verdict.source, answer.verdict.reward, answer.verdict.sound) == ("judge", 1.0, False)
    judged = [call for call in upstream.seen if call.purpose == "judge"]
    assert [call.model for call in judged] == ["large"] * 4
    assert {call.max_completion_tokens for call in judged} == {JUDGE_COMPLETION_TOKENS}
    assert [verdict.ruling for verdict in answer.verdicts if verdict] == ["fail", "pass", "pass", "unknown"]


def test_a_judge_that_fails_costs_no_answer() -> None:
    """Its verdicts are unknown, and the first candidate stands."""

    def behave(call: Call, number: int) -> Said:
        return Said(error=BackendRefused("down", 503)) if call.purpose == "judge" else Said(str(number))

    answer, _, _ = picked(BestOfN("small", 2, judge="large"), Upstream(behave), None)
    assert answer.candidate.text == "0"
    assert [verdict.ruling for verdict in answer.verdicts if verdict] == ["unknown"] * 2


def test_a_later_batch_that_fails_leaves_the_best_so_far() -> None:
    """An upstream that breaks down after the first draw costs no answer; it is marked as incomplete."""

    def breaking(call: Call, number: int) -> Said:
        return Said("6", error=BackendRefused("down", 503) if number else None)

    answer, _, _ = picked(BestOfN("small", 8), Upstream(breaking))
    assert answer.candidate.text == "6"
    assert not answer.complete


def test_only_a_verifier_makes_more_draws_harmless() -> None:
    """A judge may be wrong, so more draws may mislead it; only without one is a verifier needed."""
    verified, judged = BestOfN("small", 4).traits, BestOfN("small", 4, judge="large").traits
    assert (verified.needs_verifier, verified.more_cannot_hurt) == (True, True)
    assert (judged.needs_verifier, judged.more_cannot_hurt) == (False, False)


def test_the_demand_counts_the_judge() -> None:
    """A judge of the same model doubles its calls."""
    assert BestOfN("small", 4, judge="large").demand() == {"small": 4, "large": 4}
    assert BestOfN("small", 4, judge="small").demand() == {"small": 8}


@pytest.mark.parametrize("options", [{"n": 1}, {"template": "rhyme"}], ids=str)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """Known before any request."""
    with pytest.raises(ConfigurationError):
        BestOfN(**{"model": "small", "n": 4, **options})


def test_a_lone_draw_needs_no_time_but_its_own() -> None:
    """Verifying costs no virtual time."""
    assert picked(BestOfN("small", 2), Upstream(always(Said("5", 2.0))))[2] == pytest.approx(2.0)
