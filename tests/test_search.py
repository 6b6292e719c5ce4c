"""What the searches over steps share: paths, guides, values, and how a search begins and ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import exp, log
from typing import Any, ClassVar

import pytest
from fakes import (
    CARDS,
    LARGE,
    QUESTION,
    RIGHT,
    SMALL,
    Said,
    Upstream,
    arm_of,
    ask,
    by_chance,
    run_of,
    virtually,
)
from fakes_search import searched, steps_of, unending, writer

from router.arm import TEMPLATE_TOKENS, worst_call
from router.backend import DEAF, Listener
from router.budget import Budget
from router.call import Call, Completion
from router.candidate import Answer, Candidate
from router.errors import BackendRefused, ConfigurationError
from router.metering import Meter, Metered
from router.run import SAMPLING_TEMPERATURE
from router.search.guide import FINISH, NEXT_STEP, Guide
from router.search.path import ROOT, UNKNOWN_VALUE, Path, states_answer
from router.search.search import Search
from router.strategies import STRATEGIES, Strategy
from router.strategies.beam_search import BeamSearch
from router.strategies.monte_carlo_tree_search import MonteCarloTreeSearch
from router.strategies.particle_filtering import ParticleFiltering
from router.strategies.tree_of_thoughts import TreeOfThoughts

KINDS: Sequence[Any] = (BeamSearch, MonteCarloTreeSearch, ParticleFiltering, TreeOfThoughts)
EACH = [
    *(kind("small", 3, value=value) for kind in KINDS for value in ("judge", "likelihood", "verifier")),
    *(kind("small", 5, judge="large") for kind in KINDS),
    *(kind("small", 4, value="reward", judge="large", depth=2) for kind in KINDS),
    MonteCarloTreeSearch("small", 6, branching="adaptive", parallel=2),
    TreeOfThoughts("small", 7, search="best_first", branch=2, prune_below=0.0),
    ParticleFiltering("small", 4, choose="vote"),
]
every_search = pytest.mark.parametrize("strategy", EACH, ids=lambda strategy: arm_of(strategy).id)
REPLIES = ("5", "Answer: 6", "step", "Answer: 7", "no idea at all", "0.4")


def candidate(text: str) -> Candidate:
    return Candidate(Completion({"role": "assistant", "content": text}, "stop", 10, 3), None, "step")


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("Answer: 5", True),
        ("so it is 5\n**Final answer:** 5", True),
        ("The answer is 5", True),
        ("#### 5", True),
        ("Thus \\boxed{5}", True),
        ("We look for the answer: first we add.", False),
        ("The answers differ.", False),
        ("", False),
        ("**Answer:**\n5", True),
        ("The answer is: 5", True),
        ("Answer: unknown", True),
        ("Answer: no step helps", True),
        ("We add:\n#### 5\n", True),
        ("The answer is not yet known.", False),
        ("The answer is still open: we go on.", False),
        ("#### Step 2: add", False),
        ("#### Adding\nWe add 2 and 3.", False),
        ("####", False),
        ("Final answer:", False),
        ("**Final answer:** \n", False),
        ("\\boxed{ }", False),
    ],
)
def test_a_step_that_states_the_answer_completes_its_path(text: str, states: bool) -> None:
    """A line of its own, a mark or a box; not the mere word."""
    assert states_answer(text) is states
    assert ROOT.longer(candidate(text)).complete is states


def test_reading_a_step_takes_no_time() -> None:
    """A reply of nothing but marks is read in linear time."""
    assert not states_answer("*" * 100_000 + " \t" * 100_000 + "\n#" * 50_000)


def test_a_paths_answer_is_its_last_steps_and_its_tokens_are_all_of_them() -> None:
    """What the caller gets is the whole reasoning."""
    path = ROOT.longer(candidate("first ")).longer(Candidate(candidate("Answer: 5").completion, "5", "step"))
    assert path.candidate.text == "first\nAnswer: 5"
    assert path.candidate.extracted == "5"
    assert path.candidate.completion.completion_tokens == 6


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"value": "oracle"}, "judge, likelihood, reward, verifier"),
        ({"value": "reward"}, "reward model"),
        ({"value": "likelihood", "judge": "large"}, "leave out judge"),
        ({"depth": 0}, "depth >= 1"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_wrong_options_name_the_remedy(kind: Any, options: Mapping[str, Any], told: str) -> None:
    """At the start, not at the first query."""
    with pytest.raises(ConfigurationError, match=told):
        kind("small", 4, **options)


def test_an_arms_id_tells_every_option_but_the_defaults() -> None:
    """Two arms that differ in meaning differ in name."""
    assert arm_of(BeamSearch("small", 8)).id == "small/beam_search@8"
    assert (
        arm_of(BeamSearch("small", 8, depth=5, judge="large")).id == "small/beam_search:depth=5:judge=large@8"
    )


@every_search
@pytest.mark.parametrize("seed", range(8))
def test_no_search_calls_more_often_than_it_said(strategy: Strategy, seed: int) -> None:
    """Whatever the models reply, with a verifier or without, and with every fifth call failing."""

    def moody(call: Call, number: int) -> Said:
        said = by_chance(*REPLIES, seed=str(seed))(call, number)
        return Said(said.text, error=BackendRefused("busy", 503)) if number % 5 == seed else said

    upstream = Upstream(moody)
    searched(strategy, upstream, verifier=RIGHT if seed % 2 else None)
    assert Counter(call.model for call in upstream.seen) <= Counter(strategy.demand())


@pytest.mark.parametrize(
    "strategy",
    [
        BeamSearch("small", 18, width=3, depth=3, judge="large"),
        ParticleFiltering("small", 3, judge="large"),
        TreeOfThoughts("small", 10, depth=9, judge="large"),
    ],
    ids=lambda strategy: strategy.name,
)
def test_the_demand_is_what_a_search_without_an_answer_calls(strategy: Strategy) -> None:
    """No less would do: where no path ends by itself, all of it is used."""
    upstream = Upstream(writer(unending))
    searched(strategy, upstream, verifier=None)
    assert Counter(call.model for call in upstream.seen) == Counter(strategy.demand())


@every_search
def test_its_prompts_fit_what_its_calls_reserve(strategy: Strategy) -> None:
    """However long the replies are: the next step, the end, the judge and the reward."""
    upstream = Upstream(writer(lambda path, number: f"{number} " + "é" * 5000, rating=lambda prompt: "7"))
    _, run, _ = searched(strategy, upstream, max_completion_tokens=16)
    quoted = max(1, strategy.traits.quotes) * 4 * 16
    for call in upstream.seen:
        most = worst_call(run.query, CARDS[call.model], quoted)
        assert call.prompt_token_bound <= most.prompt_tokens
        assert call.max_completion_tokens <= most.completion_tokens


def test_what_a_search_adds_to_the_question_fits_a_template() -> None:
    """In bytes."""
    assert max(len(NEXT_STEP.encode()), len(FINISH.encode())) < TEMPLATE_TOKENS


def test_roles_alternate_and_the_question_stands_whole() -> None:
    """Chat templates that insist on turns take the prompts of a step."""
    upstream = Upstream(writer(unending))
    searched(BeamSearch("small", 8, width=2, depth=2), upstream)
    first, *_, last = steps_of(upstream)
    assert [message["role"] for message in first.messages] == ["user"]
    assert str(first.messages[0]["content"]).startswith(QUESTION)
    assert [message["role"] for message in last.messages] == ["user", "assistant", "user"]
    assert last.messages[0]["content"] == QUESTION


@pytest.mark.parametrize("asked", [0, 0.2])
def test_steps_from_one_path_may_differ(asked: float) -> None:
    """A temperature of 0 would write the same step twice; any other is the caller's."""
    upstream = Upstream(writer(unending))
    searched(
        BeamSearch("small", 4, width=2, depth=1), upstream, parameters={"temperature": asked, "stop": "."}
    )
    drawn = {str(call.parameters) for call in steps_of(upstream)}
    assert drawn == {str({"temperature": asked or SAMPLING_TEMPERATURE})}


@every_search
def test_a_plain_draw_that_passes_ends_the_search(strategy: Strategy) -> None:
    """An easy query costs little time, and the steps under way are cancelled."""

    def easy(call: Call, number: int) -> Said:
        return Said("Answer: 5") if call.template == "chain_of_thought" else Said("step", latency_s=50.0)

    upstream = Upstream(easy)
    answer, run, seconds = searched(strategy, upstream)
    assert (answer.candidate.text, seconds, upstream.in_flight) == ("Answer: 5", pytest.approx(1.0), 0)
    assert answer.complete
    assert run.steps[-1].reason == "a path passed"


@every_search
def test_a_path_that_passes_is_the_answer(strategy: Strategy) -> None:
    """Whatever a judge thinks of the others."""
    upstream = Upstream(
        writer(lambda path, number: "Answer: 5" if path else f"step {number}", finish="Answer: 5")
    )
    answer, _, _ = searched(strategy, upstream)
    assert answer.candidate.text.rpartition("\n")[2].startswith("Answer: 5")
    assert answer.verdict is not None
    assert answer.verdict.sound
    assert answer.complete


def test_without_a_complete_path_the_best_partial_one_is_finished() -> None:
    """The forced end has the caller's own parameters, and what comes of it is verified."""
    upstream = Upstream(
        writer(unending, rating=lambda prompt: "9" if "step 2" in prompt else "1", finish="5")
    )
    answer, _, _ = searched(BeamSearch("small", 4, width=2, depth=1), upstream, parameters={"stop": "."})
    [end] = steps_of(upstream, "finish")
    assert end.parameters == {"stop": "."}
    assert end.purpose == "candidate"
    assert answer.candidate.text.startswith("step 2\n5")


@every_search
@pytest.mark.parametrize("calls", [1, 2, 3, 4])
def test_a_small_budget_gets_the_plain_draw_at_least(strategy: Strategy, calls: int) -> None:
    """Whatever a search can still afford comes on top; no cap is broken, and nothing is raised."""
    upstream = Upstream(writer(unending))
    answer, run, _ = searched(strategy, upstream, Budget(calls=calls))
    assert "Answer: 6" in [each.text for each in answer.weighed]
    assert run.meter.usage.calls <= calls
    assert not answer.complete


def test_where_the_end_fails_too_the_plain_draw_stands() -> None:
    """A partial path is no answer as long as there is one."""

    def moody(call: Call, number: int) -> Said:
        error = BackendRefused("busy", 503) if call.template == "finish" else None
        return Said("Answer: 6" if call.template == "chain_of_thought" else f"step {number}", error=error)

    answer, _, _ = searched(BeamSearch("small", 12, width=2, depth=3), Upstream(moody), verifier=None)
    assert answer.candidate.text == "Answer: 6"
    assert not answer.complete


def test_where_nothing_else_came_a_partial_path_is_the_answer() -> None:
    """It was paid for."""

    def moody(call: Call, number: int) -> Said:
        failing = call.template in ("chain_of_thought", "finish")
        return Said("first step", error=BackendRefused("busy", 503) if failing else None)

    answer, _, _ = searched(BeamSearch("small", 4, width=2, depth=1), Upstream(moody))
    assert answer.candidate.text == "first step"
    assert answer.weighed == (answer.candidate,)


def test_equal_steps_are_valued_once() -> None:
    """A writer that repeats itself costs no judge."""
    upstream = Upstream(writer(lambda path, number: "the same"))
    searched(BeamSearch("small", 8, width=4, depth=1), upstream, verifier=None)
    assert len(steps_of(upstream)) == 8
    assert len(steps_of(upstream, "judge")) == 2  # the plain draw and the step


def test_a_path_whose_value_is_known_is_not_valued_again() -> None:
    """Particles may be equal; what is known of one is known of all."""

    def slowing(call: Call, number: int) -> Said:
        said = {"judge": "5", "chain_of_thought": "Answer: 6"}.get(call.template, "Answer: 7")
        return Said(said, latency_s=3.0 * number if call.template == "step" else 1.0)

    upstream = Upstream(slowing)
    searched(ParticleFiltering("small", 3), upstream, verifier=None)
    assert len(steps_of(upstream)) == 3
    assert len(steps_of(upstream, "judge")) == 2


@dataclass(slots=True)
class _Loud:
    """A backend that tells its log-probabilities, if it is asked to."""

    name: ClassVar[str] = "loud"
    sure: float

    async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
        told = {"content": [{"token": "x", "logprob": log(self.sure)}] * 2}
        logprobs = told if call.parameters.get("logprobs") else None
        return Completion({"role": "assistant", "content": "step"}, "stop", 10, 3, logprobs)

    async def aclose(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize(("model", "value"), [("small", 0.8), ("large", UNKNOWN_VALUE)])
def test_likelihood_is_the_geometric_mean_of_the_tokens(model: str, value: float) -> None:
    """Asked for where the card says that the model tells it; unknown elsewhere."""

    async def work() -> float | None:
        run = run_of(Upstream())
        card = {"small": SMALL, "large": LARGE}[model]
        run.backends = {model: Metered(_Loud(0.8), card, Meter(Budget()))}
        search = Search(run, Guide(model, "likelihood", None, 3))
        return (await search.step(await search.step(ROOT))).value

    assert virtually(work)[0] == pytest.approx(value)
    assert exp(log(0.8)) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("kind", "reply", "value"),
    [
        ("judge", "8", 0.8),
        ("judge", "7.5/10", 0.75),
        ("judge", "it depends", UNKNOWN_VALUE),
        ("reward", "0.25", 0.25),
        ("reward", "3", 1.0),
        ("reward", "-2", 0.0),
        ("reward", "nan", UNKNOWN_VALUE),
        ("reward", "good", UNKNOWN_VALUE),
        ("verifier", "8", UNKNOWN_VALUE),
    ],
)
def test_the_value_of_a_partial_path(kind: str, reply: str, value: float) -> None:
    """In [0, 1]; where nobody can tell, in the middle."""
    upstream = Upstream(writer(unending, rating=lambda prompt: reply))

    async def work() -> float | None:
        judge = None if kind == "verifier" else "large"
        search = Search(run_of(upstream, ask(verifier=RIGHT)), Guide("small", kind, judge, 3))
        return (await search.step(ROOT)).value

    assert virtually(work)[0] == pytest.approx(value)


@pytest.mark.parametrize(
    ("end", "value", "asked"), [("Answer: 5", 1.0, 0), ("Answer: 6", 0.0, 0), ("", 0.9, 1)]
)
def test_a_verifier_is_believed_before_a_judge(end: str, value: float, asked: int) -> None:
    """The judge is asked only of what the verifier cannot tell."""
    upstream = Upstream(writer(lambda path, number: end or "\\boxed{}", rating=lambda prompt: "9"))

    async def work() -> float | None:
        search = Search(run_of(upstream, ask(verifier=RIGHT)), Guide("small", "judge", "large", 3))
        return (await search.step(ROOT)).value

    assert virtually(work)[0] == pytest.approx(value)
    assert len(steps_of(upstream, "judge")) == asked


def test_a_judged_answer_says_whose_word_it_is() -> None:
    """Whoever weighs the answer sees the rating as a verdict, and that it proves nothing."""
    upstream = Upstream(writer(lambda path, number: "Answer: 7", rating=lambda prompt: "9"))
    answer, _, _ = searched(BeamSearch("small", 12, width=2, depth=3), upstream, verifier=None)
    assert answer.verdict is not None
    assert (answer.verdict.source, answer.verdict.reward, answer.verdict.sound) == ("judge", 0.9, False)
    assert isinstance(answer, Answer)


def test_every_search_is_registered() -> None:
    """By its module's name."""
    assert {kind.name for kind in KINDS} <= set(STRATEGIES)


@pytest.mark.parametrize("verb", ["step", "extend"])
def test_a_step_with_the_plain_draws_words_does_not_displace_it(verb: str) -> None:
    """Both stand, the one complete and valued, the other to be gone on from."""
    upstream = Upstream(writer(lambda path, number: "five", lambda prompt: "9", plain="five"))

    async def work() -> list[tuple[bool, float | None]]:
        search = Search(run_of(upstream), Guide("small", "judge", "large", 3))
        await search.round([])
        await getattr(search, verb)(ROOT)
        return [(path.complete, path.value) for path in search.paths.values()]

    plain, step = virtually(work)[0]
    assert plain == (True, 0.9)
    assert step == (False, 0.9 if verb == "step" else None)


@pytest.mark.parametrize("plain_first", [True, False])
def test_a_path_of_the_plain_draws_words_is_reached_and_valued_once(plain_first: bool) -> None:
    """Whichever comes first, the search has reached an answer, and the judge is asked once."""

    def behave(call: Call, number: int) -> Said:
        if call.template == "judge":
            return Said("9", latency_s=0.5)
        return Said("Answer: 7", latency_s=1.0 if (call.template == "step") != plain_first else 3.0)

    upstream = Upstream(behave)

    async def work() -> list[Path]:
        search = Search(run_of(upstream), Guide("small", "judge", "large", 3))
        await search.round([partial(search.step, ROOT)])
        return search.reached

    [reached] = virtually(work)[0]
    assert (reached.value, len(steps_of(upstream, "judge"))) == (0.9, 1)


def test_an_infinite_reward_values_nothing() -> None:
    """It is no number that a path could be better than others by."""
    upstream = Upstream(writer(unending, rating=lambda prompt: "inf"))

    async def work() -> float | None:
        search = Search(run_of(upstream), Guide("small", "reward", "large", 3))
        return (await search.step(ROOT)).value

    assert virtually(work)[0] == UNKNOWN_VALUE
