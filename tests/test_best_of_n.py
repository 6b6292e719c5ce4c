"""Best of n: batches, the first pass, and who selects."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
from fakes import RIGHT, Said, Upstream, always, ask, in_turn, run_of, virtually
from fakes_sampling import Sure

from router.arm import AUXILIARY_TOKENS
from router.backend import DEAF, Listener
from router.call import Call, Completion
from router.candidate import Answer, Candidate, Verdict
from router.errors import BackendRefused, ConfigurationError
from router.query import Query
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
        asked = call.messages[0]["content"].rsplit("Answer:\n", 1)[1].split("\n")[1]  # between its marks
        return Said(ratings[asked], latency_s=0.25)

    return Upstream(behave)


def test_a_judge_rates_all_and_the_best_wins() -> None:
    """With a judge all n are drawn at once, each is rated once beside the others, and the highest is kept."""
    upstream = judging({"one": "2", "two": "9/10", "three": "I say 10", "four": "no idea"})
    answer, _, seconds = picked(BestOfN("small", 4, judge="large"), upstream, None)
    assert answer.candidate.text == "three"
    assert seconds == pytest.approx(1.25)
    assert answer.verdict is not None
    assert (answer.verdict.source, answer.verdict.reward, answer.verdict.sound) == ("judge", 1.0, False)
    judged = [call for call in upstream.seen if call.purpose == "judge"]
    assert [call.model for call in judged] == ["large"] * 4
    assert {call.max_completion_tokens for call in judged} == {AUXILIARY_TOKENS}
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


@pytest.mark.parametrize(
    "options",
    [
        {"n": 1},
        {"template": "rhyme"},
        {"judge": "large", "reward": "large"},
        {"judge": "large", "by": "likelihood"},
        {"reward": "large", "by": "likelihood"},
        {"compare": "pairwise"},
        {"compare": "pairwise", "reward": "large"},
        {"judge": "large", "compare": "threefold"},
        {"by": "length"},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """One selector, with what it needs: known before any request."""
    with pytest.raises(ConfigurationError):
        BestOfN(**{"model": "small", "n": 4, **options})


def test_a_lone_draw_needs_no_time_but_its_own() -> None:
    """Verifying costs no virtual time."""
    assert picked(BestOfN("small", 2), Upstream(always(Said("5", 2.0))))[2] == pytest.approx(2.0)


@dataclass(frozen=True)
class Told:
    """A verifier that passes what it knows, with the reward that it was told."""

    name: ClassVar[str] = "told"
    summary: ClassVar[str] = "for tests"
    rewards: dict[str, float]
    sound: bool

    async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
        """A pass from 0.5 on."""
        reward = self.rewards[candidate.text]
        return Verdict("pass" if reward >= 0.5 else "fail", reward, self.name, self.sound)


@pytest.mark.parametrize(
    ("reward", "sound", "drawn"), [(0.7, False, 4), (1.0, False, 1), (0.7, True, 1), (1.0, True, 1)]
)
def test_only_a_sound_or_whole_pass_ends_it(reward: float, sound: bool, drawn: int) -> None:
    """A pass that proves nothing, of a reward that another could beat, ends nothing; then the best wins."""
    upstream = Upstream(in_turn("good", "better", "bad", "bad"))

    async def work() -> Answer:
        run = run_of(upstream)
        run.verifier = Told({"good": reward, "better": 0.9, "bad": 0.1}, sound)
        return await BestOfN("small", 4).answer(run)

    answer, _ = virtually(work)
    assert len(upstream.seen) == drawn
    assert answer.candidate.text == ("better" if drawn == 4 else "good")
    assert answer.complete


def duelling(strength: dict[str, int], texts: list[str], seen: list[tuple[str, str]]) -> Upstream:
    """The small model answers in turn; the large one prefers the stronger of two, whichever stands first."""

    def behave(call: Call, number: int) -> Said:
        if call.purpose == "candidate":
            return Said(texts[number])
        prompt = call.messages[0]["content"]
        first, second = sorted((text for text in texts if text in prompt), key=prompt.index)
        seen.append((first, second))
        return Said("A" if strength[first] > strength[second] else "B", latency_s=0.25)

    return Upstream(behave)


def test_pairwise_is_a_knockout_of_parallel_rounds() -> None:
    """Of five, the strongest wins after three rounds of matches side by side, each in both orders."""
    texts = ["alpha", "beta", "gamma", "delta", "omega"]
    seen: list[tuple[str, str]] = []
    upstream = duelling(dict(zip(texts, (2, 5, 3, 4, 1), strict=True)), texts, seen)
    strategy = BestOfN("small", 5, judge="large", compare="pairwise")
    answer, run, seconds = picked(strategy, upstream, None)
    assert answer.candidate.text == "beta"
    assert answer.complete
    assert seconds == pytest.approx(1.0 + 3 * 0.25)
    assert len(seen) == strategy.demand()["large"] == 2 * (5 - 1)
    assert set(seen) == {pair[::-1] for pair in seen}
    assert run.incumbent == answer


def test_the_same_answer_twice_is_no_contest() -> None:
    """No judge is paid to choose between equals, and the earlier one goes on."""
    upstream = Upstream(in_turn("Answer: 5", "5"))
    answer, _, _ = picked(BestOfN("small", 2, judge="large", compare="pairwise"), upstream, None)
    assert answer.candidate.text == "Answer: 5"
    assert [call.model for call in upstream.seen] == ["small", "small"]


def test_a_judge_of_pairs_that_fails_leaves_the_first() -> None:
    """The answer stands, marked as incomplete, since nobody chose it."""

    def behave(call: Call, number: int) -> Said:
        return Said(error=BackendRefused("down", 503)) if call.purpose == "judge" else Said(str(number))

    answer, _, _ = picked(BestOfN("small", 4, judge="large", compare="pairwise"), Upstream(behave), None)
    assert answer.candidate.text == "0"
    assert not answer.complete


def rewarding(numbers: dict[str, str]) -> Upstream:
    """The small model answers in turn; the large one is a reward model that says its number."""
    answers = iter(numbers)

    def behave(call: Call, number: int) -> Said:
        if call.purpose == "candidate":
            return Said(next(answers))
        return Said(numbers[call.messages[-1]["content"]], latency_s=0.25)

    return Upstream(behave)


def test_a_reward_model_ranks_by_its_own_scale() -> None:
    """All are scored side by side; logits above 1 still tell the best, and what is no number comes last."""
    upstream = rewarding({"one": "-7.5", "two": "2.5", "three": "3.25", "four": "nan", "five": "well"})
    answer, _, seconds = picked(BestOfN("small", 5, reward="large"), upstream, None)
    assert answer.candidate.text == "three"
    assert seconds == pytest.approx(1.25)
    told = {each.text: verdict for each, verdict in zip(answer.weighed, answer.verdicts, strict=True)}
    assert [told[text].ruling for text in ("one", "two", "three", "four", "five")] == [
        "fail", "pass", "pass", "unknown", "unknown",
    ]  # fmt: skip
    assert {verdict.reward for verdict in told.values()} == {0.0, 1.0}
    assert not any(verdict.sound for verdict in told.values())


def test_the_likeliest_wins_and_silence_comes_last() -> None:
    """The highest mean log-probability of those that tell one; all are drawn at once."""
    upstream = Sure(behaviour=in_turn("6", "7", "8"), logprobs={"7": -1.5, "8": -0.5})
    answer, _, seconds = picked(BestOfN("small", 3, by="likelihood"), upstream, None)
    assert answer.candidate.text == "8"
    assert seconds == pytest.approx(1.0)
    assert all(call.parameters == {"logprobs": True} for call in upstream.seen)


def test_time_that_ends_while_the_judge_thinks_finds_the_first_draw() -> None:
    """A candidate that nobody has judged yet is better than none."""

    def behave(call: Call, number: int) -> Said:
        return Said("5", latency_s=1.0 if call.purpose == "candidate" else 50.0)

    async def work() -> Answer | None:
        run = run_of(Upstream(behave))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await BestOfN("small", 4, judge="large").answer(run)
        return run.incumbent

    incumbent, _ = virtually(work)
    assert incumbent is not None
    assert (incumbent.candidate.text, incumbent.complete) == ("5", False)


@pytest.mark.parametrize(
    ("options", "family", "calls", "quotes"),
    [
        ({}, "small/best_of_n", {"small": 4}, 0),
        ({"judge": "large"}, "small/best_of_n:judge=large", {"small": 4, "large": 4}, 1),
        (
            {"judge": "large", "compare": "pairwise"},
            "small/best_of_n:judge=large:pairwise",
            {"small": 4, "large": 6},
            2,
        ),
        ({"reward": "large"}, "small/best_of_n:reward=large", {"small": 4, "large": 4}, 1),
        ({"by": "likelihood"}, "small/best_of_n:likelihood", {"small": 4}, 0),
    ],
    ids=str,
)
def test_each_selector_has_an_id_and_a_price(
    options: dict[str, Any], family: str, calls: dict[str, int], quotes: int
) -> None:
    """The id, the calls that are reserved, and the replies that a prompt may quote; the text by which a
    bundle knows an arm names an option only where it is set."""
    strategy = BestOfN("small", 4, **options)
    assert (strategy.family, strategy.demand(), strategy.traits.quotes) == (family, calls, quotes)
    assert strategy.traits.needs_verifier is (options == {})
    later = {name: value for name, value in options.items() if name != "judge"}
    told = "".join(f", {name}={value!r}" for name, value in later.items())
    judge = options.get("judge")
    assert repr(strategy) == f"BestOfN(model='small', n=4, template='direct', judge={judge!r}{told})"


def test_the_same_number_in_another_notation_is_no_contest() -> None:
    """No judge is paid to choose between one half and 0.5."""
    upstream = Upstream(in_turn("Answer: 1/2", "Answer: 0.5"))
    answer, _, _ = picked(BestOfN("small", 2, judge="large", compare="pairwise"), upstream, None)
    assert answer.candidate.text == "Answer: 1/2"
    assert len(upstream.seen) == 2


def test_a_single_match_that_fails_leaves_the_knockout_undecided() -> None:
    """The other match was played, but nobody compared these two: the answer is not complete."""

    def behave(call: Call, number: int) -> Said:
        if call.purpose == "candidate":
            return Said(["alpha", "beta", "gamma", "delta"][number], latency_s=1.0 + number)
        prompt = str(call.messages[0]["content"])
        down = BackendRefused("down", 503) if "alpha" in prompt and "beta" in prompt else None
        return Said("C", error=down)

    answer, _, _ = picked(BestOfN("small", 4, judge="large", compare="pairwise"), Upstream(behave), None)
    assert answer.candidate.text == "alpha"
    assert not answer.complete


def test_an_infinite_reward_is_no_reward() -> None:
    """A reward model that answers infinity has said nothing, and does not win by it."""
    answer, _, _ = picked(
        BestOfN("small", 2, reward="large"), rewarding({"one": "Infinity", "two": "0.25"}), None
    )
    assert answer.candidate.text == "two"
    assert [verdict.ruling for verdict in answer.verdicts if verdict] == ["unknown", "fail"]


def test_a_reply_with_a_null_log_probability_is_ranked_by_the_others() -> None:
    """One token that tells nothing does not end the query."""

    class Null(Sure):
        """Tells no log-probability for a first token."""

        async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
            completion = await Sure.complete(self, call, listener)
            tokens = [{"token": "", "logprob": None}, *(completion.logprobs or {})["content"]]
            return replace(completion, logprobs={"content": tokens})

    upstream = Null(behaviour=in_turn("6", "7"), logprobs={"6": -1.5, "7": -0.5})
    answer, _, _ = picked(BestOfN("small", 2, by="likelihood"), upstream, None)
    assert answer.candidate.text == "7"
