"""Self-consistency: the vote, its early end, and its draws side by side."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from fakes import Said, Upstream, always, ask, in_turn, run_of, virtually
from fakes_sampling import Sure
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.candidate import Answer, Candidate, Verdict
from router.configuration import parse_configuration
from router.configured import configured_menu
from router.errors import BackendRefused, ConfigurationError
from router.query import Query
from router.run import SAMPLING_TEMPERATURE, Run
from router.stopping.adaptive_consistency import stability
from router.stopping.value_of_information import ValueOfInformation
from router.strategies.self_consistency import SelfConsistency
from router.verifiers import make_verifier


def voted(strategy: SelfConsistency, upstream: Upstream) -> tuple[Answer, Run, float]:
    async def work() -> tuple[Answer, Run]:
        run = run_of(upstream)
        return await strategy.answer(run), run

    (answer, run), seconds = virtually(work)
    return answer, run, seconds


def test_eight_draws_take_the_time_of_one() -> None:
    """Without early stopping all draws are made at once."""
    upstream = Upstream(always(Said(latency_s=3.0)))
    _, _, seconds = voted(SelfConsistency("small", 8, stop_at=1.0), upstream)
    assert seconds == pytest.approx(3.0)
    assert len(upstream.seen) == 8


def test_agreement_ends_it_early() -> None:
    """Four equal answers of four are stable at 0.95 (Beta(5, 1): 0.969), so four of sixteen are drawn."""
    upstream = Upstream(in_turn("5"))
    answer, run, seconds = voted(SelfConsistency("small", 16), upstream)
    assert len(upstream.seen) == 4
    assert seconds == pytest.approx(1.0)
    assert answer.complete
    assert run.steps[-1].numbers == {"stability": stability(4, 0), "drawn": 4, "votes": 4}


def test_disagreement_is_drawn_to_the_end() -> None:
    """Where no answer leads for long, all n are drawn; the first of the tied ones wins."""
    upstream = Upstream(in_turn("5", "6"))
    answer, _, _ = voted(SelfConsistency("small", 8), upstream)
    assert len(upstream.seen) == 8
    assert answer.candidate.extracted == "5"
    assert answer.complete


@pytest.mark.parametrize(("n", "drawn"), [(5, 4), (6, 6)])
def test_no_draw_is_made_that_could_not_change_the_winner(n: int, drawn: int) -> None:
    """After 3 to 1, a fifth vote of five decides nothing; of six, the last two could still tie it."""
    upstream = Upstream(in_turn("5", "5", "6", "5", "6", "6"))
    answer, _, _ = voted(SelfConsistency("small", n, stop_at=0.96), upstream)
    assert len(upstream.seen) == drawn
    assert answer.candidate.extracted == "5"
    assert answer.complete


@given(st.lists(st.sampled_from(["5", "6", "7", "no idea"]), min_size=12, max_size=12), st.integers(2, 12))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_batches_never_overshoot(replies: list[str], n: int) -> None:
    """Before each draw that was made the vote was not yet stable: no batch holds one too many."""
    upstream = Upstream(in_turn(*replies))
    answer, _, _ = voted(SelfConsistency("small", n), upstream)
    drawn = [candidate.extracted for candidate in answer.weighed]
    for size in range(len(drawn)):
        votes = sorted((drawn[:size].count(each) for each in set(drawn) - {None}), reverse=True)
        first, second = [*votes, 0, 0][:2]
        assert stability(first, second) < 0.95


def test_the_majority_wins_and_is_named_by_its_first_candidate() -> None:
    """Two of three beat the first; the answer is the reply that first gave the winner."""
    upstream = Upstream(in_turn("6", "So it is 5.", "Answer: 5"))
    answer, _, _ = voted(SelfConsistency("small", 3, template="direct"), upstream)
    assert answer.candidate.text == "So it is 5."
    assert len(answer.weighed) == 3


def test_a_later_batch_that_fails_leaves_the_vote_that_stands() -> None:
    """An upstream that breaks down after the first batch costs no answer; it is marked as incomplete."""

    def breaking(call: object, number: int) -> Said:
        return Said(str(5 + number % 2), error=BackendRefused("down", 503) if number >= 4 else None)

    answer, _, _ = voted(SelfConsistency("small", 16), Upstream(breaking))
    assert answer.candidate.extracted == "5"
    assert not answer.complete
    assert len(answer.weighed) == 4


def test_draws_of_one_prompt_differ() -> None:
    """The caller's seed is shifted from draw to draw, and a temperature of 0 is raised."""
    upstream = Upstream(in_turn("5"))

    async def work() -> None:
        query = ask(parameters={"seed": 7, "temperature": 0})
        await SelfConsistency("small", 4, stop_at=1.0).answer(run_of(upstream, query, first_draw=8))

    virtually(work)
    assert sorted(call.parameters["seed"] for call in upstream.seen) == [15, 16, 17, 18]
    assert {call.parameters["temperature"] for call in upstream.seen} == {SAMPLING_TEMPERATURE}


def test_what_the_caller_set_above_nought_is_kept() -> None:
    """A temperature of the caller's own is used; without one none is sent, nor a seed invented."""
    upstream = Upstream(in_turn("5"))

    async def work() -> None:
        await SelfConsistency("small", 2).answer(run_of(upstream, ask(parameters={"temperature": 0.2})))
        await SelfConsistency("small", 2).answer(run_of(upstream, ask()))

    virtually(work)
    assert [call.parameters for call in upstream.seen] == [{"temperature": 0.2}] * 2 + [{}] * 2


@pytest.mark.parametrize(
    "options",
    [
        {"n": 1},
        {"stop_at": 0.5},
        {"stop_at": 1.1},
        {"template": "rhyme"},
        {"stop": "sometimes"},
        {"stop": "esc", "rule": {"width": 5}},
        {"stop": "esc", "rule": {"window": 1}},
        {"weigh": "length"},
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object]) -> None:
    """One draw is no vote, even odds no stability, and a template must exist: known before any request."""
    with pytest.raises(ConfigurationError):
        SelfConsistency(**{"model": "small", "n": 4, **options})


def test_the_id_names_the_template_only_where_it_is_unusual() -> None:
    """Chain of thought is the default of a vote."""
    families = [SelfConsistency("small", 4, template=name).family for name in ("chain_of_thought", "direct")]
    assert families == ["small/self_consistency", "small/self_consistency:direct"]
    assert all(a != b for a, b in pairwise(families))


def test_another_rule_stops_by_its_own_lights() -> None:
    """Windows of three: the second agrees, so six of sixteen are drawn, three at a time."""
    upstream = Upstream(in_turn("6", "5", "5", "5", "5", "5"))
    answer, run, seconds = voted(SelfConsistency("small", 16, stop="esc", rule={"window": 3}), upstream)
    assert len(upstream.seen) == 6
    assert seconds == pytest.approx(2.0)
    assert answer.candidate.extracted == "5"
    assert answer.complete
    assert run.steps[-1].reason == "a whole window agrees"


def test_a_draw_that_is_not_worth_its_price_is_not_made() -> None:
    """At a price above all gains the first answer stands."""
    rule = {"price_per_draw": 1.0, "weights": {"2": (0.1, 0.0, 0.0, 0.0, 0.0)}}
    upstream = Upstream(in_turn("5"))
    answer, _, _ = voted(SelfConsistency("small", 16, stop="value_of_information", rule=rule), upstream)
    assert len(upstream.seen) == 1
    assert answer.complete


def test_arms_keep_their_meaning_as_rules_are_added() -> None:
    """A bundle knows an arm by this text, so the default rule is not in it, and another one is."""
    assert repr(SelfConsistency("small", 4)) == (
        "SelfConsistency(model='small', n=4, template='chain_of_thought', stop_at=0.95)"
    )
    esc = SelfConsistency("small", 4, stop="esc", rule={"window": 3})
    assert repr(esc).endswith("stop_at=0.95, stop='esc', rule={'window': 3})")
    assert esc.family == "small/self_consistency:esc"


def test_a_learnt_rule_travels_in_the_configuration() -> None:
    """As plain numbers of ``[[menu]]``, beside a compute ladder: each rung is an arm of its own."""
    weights = {"2": [0.1, 0.0, 0.0, 0.0, 0.0]}
    entry = {
        "strategy": "self_consistency",
        "models": ["small"],
        "n": [4, 8],
        "stop": "value_of_information",
        "rule": {"price_per_draw": 0.001, "weights": weights},
    }
    prices = {"usd_per_million_prompt_tokens": 1.0, "usd_per_million_completion_tokens": 1.0}
    values = {
        "backends": {"fake": {"type": "scripted"}},
        "models": {"small": {"backend": "fake", **prices}},
        "menu": [entry],
    }
    menu = configured_menu(parse_configuration(values))
    assert menu.ids == [f"small/self_consistency:value_of_information@{n}" for n in (4, 8)]
    strategy = menu.arms[0].strategy
    assert isinstance(strategy, SelfConsistency)
    assert strategy.stopping_rule() == ValueOfInformation(0.001, weights)


def test_confidence_can_outvote_a_majority() -> None:
    """Weighed by log-probability, one sure chain beats two doubtful ones; counted, the two win."""
    sure = {"6": -3.0, "5": -0.01}
    for weigh, winner in (("count", "6"), ("logprob", "5")):
        upstream = Sure(behaviour=in_turn("6", "6", "5"), logprobs=sure)
        answer, _, _ = voted(SelfConsistency("small", 3, stop_at=1.0, weigh=weigh), upstream)
        assert answer.candidate.extracted == winner
        assert [call.parameters.get("logprobs") for call in upstream.seen] == [
            True if weigh == "logprob" else None
        ] * 3


def test_a_backend_that_tells_no_logprobs_leaves_a_plain_vote() -> None:
    """Every vote then weighs 1."""
    upstream = Sure(behaviour=in_turn("5", "6", "6"))
    answer, _, _ = voted(SelfConsistency("small", 3, stop_at=1.0, weigh="logprob"), upstream)
    assert answer.candidate.extracted == "6"


def test_replies_cut_off_by_their_cap_have_no_vote() -> None:
    """Three that ran into the cap lose to one that came to its end, and the trace counts them."""
    upstream = Sure(behaviour=in_turn("6", "6", "6", "5"), cut=frozenset({"6"}))
    answer, run, _ = voted(SelfConsistency("small", 4, only_valid=True), upstream)
    assert answer.candidate.extracted == "5"
    assert run.steps[-1].numbers["invalid"] == 3
    assert len(answer.weighed) == 4


def test_a_stopping_rule_sees_the_filtered_votes() -> None:
    """Four equal votes would end it; where two of them are invalid, it draws on until four are valid."""
    texts = ("6", "6", "5", "5", "5", "5", "9", "9")
    for only_valid, drawn in ((True, 6), (False, 8)):
        upstream = Sure(behaviour=in_turn(*texts), cut=frozenset({"6"}))
        answer, _, seconds = voted(SelfConsistency("small", 8, only_valid=only_valid), upstream)
        assert len(upstream.seen) == drawn
        assert answer.candidate.extracted == "5"
    assert seconds > 1


@pytest.mark.parametrize(("judged_by", "winner"), [("exact", "5"), ("asking", "6")])
def test_a_verifier_that_calls_no_model_takes_votes_away(judged_by: str, winner: str) -> None:
    """What fails it has no vote, and its verdict stands on the answer; a model is not asked for that."""
    verifier = make_verifier({"type": "exact", "reference": "5"})

    class Paid:
        """A verifier of the same opinion that calls a model."""

        name = "paid"
        verify = verifier.verify

        def demand(self) -> dict[str, int]:
            return {"large": 1}

    async def work() -> Answer:
        run = run_of(Upstream(in_turn("6", "6", "5")))
        run.verifier = Paid() if judged_by == "asking" else verifier
        return await SelfConsistency("small", 3, stop_at=1.0, only_valid=True).answer(run)

    answer, _ = virtually(work)
    assert answer.candidate.extracted == winner
    assert (answer.verdict is None) is (judged_by == "asking")


def test_arms_keep_their_meaning_as_weights_and_filters_are_added() -> None:
    """Unset, they are in neither the text nor the id; set, they are in both."""
    plain = SelfConsistency("small", 4)
    assert "weigh" not in repr(plain)
    assert "only_valid" not in repr(plain)
    set_ = SelfConsistency("small", 4, weigh="logprob", only_valid=True)
    assert repr(set_).endswith("stop_at=0.95, weigh='logprob', only_valid=True)")
    assert set_.family == "small/self_consistency:weigh=logprob:only_valid"


@pytest.mark.parametrize("strategy", ["self_consistency", "best_of_n"])
@pytest.mark.parametrize("logprobs", [True, False])
def test_only_a_model_that_gives_logprobs_can_be_weighed_by_them(strategy: str, logprobs: bool) -> None:
    """Anything else is refused when the menu is made, with the way out."""
    option = {"weigh": "logprob"} if strategy == "self_consistency" else {"by": "likelihood"}
    prices = {"usd_per_million_prompt_tokens": 1.0, "usd_per_million_completion_tokens": 1.0}
    values = {
        "backends": {"fake": {"type": "scripted"}},
        "models": {"small": {"backend": "fake", "logprobs": logprobs, **prices}},
        "menu": [{"strategy": strategy, "models": ["small"], "n": 4, **option}],
    }
    if logprobs:
        assert len(configured_menu(parse_configuration(values))) == 1
    else:
        with pytest.raises(ConfigurationError, match="logprobs = true"):
            configured_menu(parse_configuration(values))


def test_two_notations_of_one_number_outvote_another() -> None:
    """One half twice beats three once, a rule stops on it, and the caller sees the first as written."""
    upstream = Upstream(in_turn("Answer: 3", "Answer: 1/2", "Answer: 0.5"))
    answer, run, _ = voted(SelfConsistency("small", 3, stop_at=1.0), upstream)
    assert (answer.candidate.text, run.steps[-1].numbers["votes"]) == ("Answer: 1/2", 2)
    upstream = Upstream(in_turn("Answer: 1/2", "Answer: 0.5", "Answer: 0.50", "Answer: 3/6"))
    voted(SelfConsistency("small", 16), upstream)
    assert len(upstream.seen) == 4


def test_votes_are_checked_side_by_side() -> None:
    """A slow verifier costs its time once a batch, and the first draw stands meanwhile."""

    class Slow:
        """A verifier that takes ten seconds."""

        name = "slow"

        async def verify(self, query: Query, candidate: Candidate, run: Run | None) -> Verdict:
            await asyncio.sleep(10.0)
            return Verdict.of(True, self.name, sound=False)

    async def work() -> tuple[Run, str]:
        run = run_of(Upstream(in_turn("5", "6", "7", "8")))
        run.verifier = Slow()
        drawing = asyncio.create_task(SelfConsistency("small", 4, stop_at=1.0, only_valid=True).answer(run))
        await asyncio.sleep(2.0)
        standing = run.incumbent.candidate.text if run.incumbent else ""
        await drawing
        return run, standing

    (_, standing), seconds = virtually(work)
    assert standing == "5"
    assert seconds == pytest.approx(1.0 + 10.0)
