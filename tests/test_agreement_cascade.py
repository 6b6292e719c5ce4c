"""Agreement cascade: the last arm is asked only where cheaper ones do not agree."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from fakes import CARDS, RIGHT, Said, Upstream, ask, run_of, virtually

from router.budget import UNLIMITED, Budget
from router.candidate import Answer
from router.errors import BackendRefused, ConfigurationError, OutOfCompute
from router.run import Run
from router.strategies.agreement_cascade import AgreementCascade
from router.strategies.cascade import Stage
from router.strategies.chain_of_thought import ChainOfThought
from router.strategies.direct import Direct
from router.strategies.self_consistency import SelfConsistency

VOTERS = (
    Stage("small/direct", Direct("small")),
    Stage("small/chain_of_thought", ChainOfThought("small")),
    Stage("small/chain_of_thought:plan_then_solve", ChainOfThought("small", "plan_then_solve")),
)
LAST = Stage("large/direct", Direct("large"))
STAGES = (*VOTERS, LAST)
DOWN = BackendRefused("down", 503)


def answered(
    strategy: AgreementCascade, *said: Said | str, query: Any = None, budget: Budget = UNLIMITED
) -> tuple[Answer, Run, Upstream]:
    """With what the calls say, one after another."""
    told = [Said(each) if isinstance(each, str) else each for each in said]
    upstream = Upstream(lambda call, number: told[number])

    async def work() -> tuple[Answer, Run]:
        run = run_of(upstream, query, budget=budget)
        return await strategy.answer(run), run

    (answer, run), _ = virtually(work)
    return answer, run, upstream


def models(upstream: Upstream) -> str:
    return " ".join(call.model for call in upstream.seen)


@pytest.mark.parametrize(
    ("said", "given", "asked"),
    [
        (("5", "5"), "5", "small small"),
        (("5", "6", "5"), "5", "small small small"),
        (("5", "6", "6"), "6", "small small small"),
        (("5", "6", "7", "8"), "8", "small small small large"),
        (("5", "", "", "8"), "8", "small small small large"),
    ],
)
def test_two_that_agree_are_enough(said: tuple[str, ...], given: str, asked: str) -> None:
    """As soon as two say the same, whichever they are; where nobody agrees, the last one's answer stands."""
    answer, run, upstream = answered(AgreementCascade(STAGES), *said)
    assert (answer.candidate.text, answer.complete, models(upstream)) == (given, True, asked)
    assert run.incumbent == answer


def test_of_those_that_agree_the_last_one_s_reply_is_given() -> None:
    """Stages come in the order of their strength."""
    answer, _, _ = answered(AgreementCascade(STAGES), "It is 5.", "7", "Answer: 5")
    assert answer.candidate.text == "Answer: 5"


def test_the_last_one_is_asked_as_soon_as_the_others_cannot_agree() -> None:
    """Where all three must, two that differ are enough to know."""
    answer, run, upstream = answered(AgreementCascade(STAGES, agree=3), "5", "6", "8")
    assert (answer.candidate.text, models(upstream)) == ("8", "small small large")
    assert [(step.decision, step.numbers["words"]) for step in run.steps] == [
        ("escalate", 1), ("escalate", 1),
    ]  # fmt: skip
    agreed, run, upstream = answered(AgreementCascade(STAGES, agree=3), "5", "5", "5")
    assert (agreed.candidate.text, models(upstream)) == ("5", "small small small")
    assert run.steps[-1].decision == "stop"


def test_words_for_what_the_first_one_said() -> None:
    """Two others that agree against it do not count, and where one agrees with it, its own reply is given."""
    first = AgreementCascade(STAGES, whose="first")
    answer, _, upstream = answered(first, "5", "6", "6", "8")
    assert (answer.candidate.text, models(upstream)) == ("8", "small small small large")
    answer, _, upstream = answered(first, "It is 5.", "6", "Answer: 5")
    assert (answer.candidate.text, models(upstream)) == ("It is 5.", "small small small")


def test_a_stage_that_fails_has_no_word() -> None:
    """The others are asked on; without the first one, there is nothing whose words could be counted."""
    failed = Said(error=DOWN)
    answer, _, upstream = answered(AgreementCascade(STAGES), "5", failed, "5")
    assert (answer.candidate.text, models(upstream)) == ("5", "small small small")
    answer, _, upstream = answered(AgreementCascade(STAGES, whose="first"), failed, "8")
    assert (answer.candidate.text, answer.complete, models(upstream)) == ("8", True, "small large")
    answer, _, upstream = answered(AgreementCascade(STAGES, agree=3), failed, "8")
    assert (answer.candidate.text, models(upstream)) == ("8", "small large")


def test_where_the_last_one_fails_the_most_common_answer_stands_marked() -> None:
    """It was wanted and did not come. Where nothing else was heard, who was not asked yet is; where nobody
    answers, its error is the caller's."""
    failed = Said(error=DOWN)
    answer, run, _ = answered(AgreementCascade(STAGES), "5", "6", "7", failed)
    assert (answer.candidate.text, answer.complete) == ("7", False)
    assert run.incumbent == answer
    assert run.steps[-1].reason == "large/direct failed"
    answer, _, upstream = answered(AgreementCascade(STAGES, agree=3), failed, failed, "5")
    assert (answer.candidate.text, answer.complete, models(upstream)) == ("5", False, "small large small")
    with pytest.raises(BackendRefused):
        answered(AgreementCascade(STAGES), *[failed] * 4)


def test_of_what_stands_what_most_say_is_given_whoever_counts() -> None:
    """Even where only words for the first one's answer could have ended it; never what a verifier failed
    where there is anything else."""
    failed = Said(error=DOWN)
    first = AgreementCascade(STAGES, whose="first")
    answer, _, _ = answered(first, "7", "6", "6", failed)
    assert (answer.candidate.text, answer.complete) == ("6", False)
    pattern = ask(verifier={"type": "regex", "pattern": "[0-4]"})
    answer, _, _ = answered(AgreementCascade(STAGES), "3", "6", "6", failed, query=pattern)
    assert answer.candidate.text == "3"


def test_a_budget_that_ends_ends_the_asking() -> None:
    """What stands is given, marked; where nothing does, the caller is told."""
    answer, _, upstream = answered(AgreementCascade(STAGES), "5", "6", budget=Budget(calls=1))
    assert (answer.candidate.text, answer.complete, models(upstream)) == ("5", False, "small")
    answer, _, _ = answered(AgreementCascade(STAGES), "5", "6", "7", "8", budget=Budget(calls=3))
    assert (answer.candidate.text, answer.complete) == ("7", False)
    with pytest.raises(OutOfCompute):
        answered(AgreementCascade(STAGES), budget=Budget(calls=0))


def test_a_stage_that_the_budget_does_not_admit_is_passed_over() -> None:
    """A cheaper one behind it still is."""
    dear_first = AgreementCascade((LAST, *VOTERS))
    answer, _, upstream = answered(dear_first, "5", "5", budget=Budget(cost_nano=100_000))
    assert (answer.candidate.text, models(upstream)) == ("5", "small small")


def test_a_verifier_s_word_goes_before_the_count() -> None:
    """What it passes as right ends the asking at once; what it fails backs nothing, however many say it."""
    answer, run, upstream = answered(AgreementCascade(STAGES), "5", query=ask(verifier=RIGHT))
    assert (answer.candidate.text, models(upstream)) == ("5", "small")
    assert (run.steps[-1].decision, run.steps[-1].numbers["words"]) == ("stop", 1)
    answer, _, upstream = answered(AgreementCascade(STAGES), "6", "5", query=ask(verifier=RIGHT))
    assert (answer.candidate.text, models(upstream)) == ("5", "small small")
    answer, _, upstream = answered(AgreementCascade(STAGES), "6", "6", "7", query=ask(verifier=RIGHT))
    assert (answer.candidate.text, models(upstream)) == ("7", "small small large")


def test_what_only_looks_right_needs_others_that_say_so() -> None:
    """A pattern that holds proves nothing."""
    pattern = ask(verifier={"type": "regex", "pattern": "[0-9]+"})
    answer, _, upstream = answered(AgreementCascade(STAGES), "6", "5", "5", query=pattern)
    assert (answer.candidate.text, models(upstream)) == ("5", "small small small")


def test_a_first_one_that_was_failed_ends_the_counting() -> None:
    """Nobody can agree with it any more."""
    first = AgreementCascade(STAGES, whose="first")
    answer, _, upstream = answered(first, "6", "8", query=ask(verifier=RIGHT))
    assert (answer.candidate.text, models(upstream)) == ("8", "small large")
    answer, _, upstream = answered(first, "", "8")
    assert (answer.candidate.text, models(upstream)) == ("8", "small large")


def test_a_vote_is_held_against_the_verifier_too() -> None:
    """A stage that weighed several draws by itself has no word where the request's verifier fails its
    answer."""
    vote = Stage("small/self_consistency:direct@2", SelfConsistency("small", 2, template="direct"))
    stages = (vote, VOTERS[0], VOTERS[1], LAST)
    answer, _, _ = answered(AgreementCascade(stages), "6", "6", "6", "8", query=ask(verifier=RIGHT))
    assert answer.candidate.text == "8"


CODE = "Write a Python function that doubles a number."


@dataclass
class Alike:
    """Says of some numbers of replies that their programs do the same."""

    pairs: list[tuple[int, int]]

    async def alike(self, query: Any, replies: Any) -> list[tuple[int, int]]:
        return [pair for pair in self.pairs if max(pair) < len(replies)]


def programmed(strategy: AgreementCascade, pairs: list[tuple[int, int]], *said: str) -> tuple[str, int]:
    """The answer, and how many were asked."""
    upstream = Upstream(lambda call, number: Said(said[number]))

    async def work() -> Answer:
        return await strategy.answer(run_of(upstream, ask(CODE), likeness=Alike(pairs)))

    return virtually(work)[0].candidate.text, len(upstream.seen)


def test_programs_that_do_the_same_agree() -> None:
    """By what the run's likeness tells of them, not by their letters."""
    assert programmed(AgreementCascade(STAGES), [(0, 1)], "one way", "another") == ("another", 2)
    assert programmed(AgreementCascade(STAGES), [], "a", "b", "c", "last") == ("last", 4)


def test_a_program_that_nothing_was_read_from_may_yet_do_what_another_does() -> None:
    """So the next is asked, though no word stands; in prose it is not."""
    short = AgreementCascade((*VOTERS[:2], LAST))
    assert programmed(short, [(0, 1)], "", "") == ("", 2)
    assert programmed(replace(short, whose="first"), [(0, 1)], "", "") == ("", 2)
    assert answered(short, "", "8")[0].candidate.text == "8"


def test_it_takes_no_tools() -> None:
    """Two replies that call different tools would agree by their text."""
    assert STAGES[0].strategy.traits.tools
    assert not AgreementCascade(STAGES).traits.tools


def test_what_it_is_called() -> None:
    """Options that are not the default stand in the arm's id."""
    assert AgreementCascade((VOTERS[0], VOTERS[1], LAST)).family == (
        "agreement_cascade(small/direct>small/chain_of_thought>large/direct)"
    )
    assert AgreementCascade(STAGES, 3).family.endswith(">large/direct):agree=3")
    assert AgreementCascade(STAGES, whose="first").family.endswith(">large/direct):whose=first")
    assert AgreementCascade(STAGES).demand() == {"small": 3, "large": 1}
    assert set(CARDS) == set(AgreementCascade(STAGES).demand())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"stages": STAGES[:2]}, "three or more stages"),
        ({"stages": STAGES, "agree": 1}, "2 <= agree"),
        ({"stages": STAGES, "agree": 4}, "2 <= agree"),
        ({"stages": STAGES, "whose": "last"}, "Known: any, first"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], told: str) -> None:
    """One cannot agree with itself, and the last one is not counted."""
    with pytest.raises(ConfigurationError, match=told):
        AgreementCascade(**options)
