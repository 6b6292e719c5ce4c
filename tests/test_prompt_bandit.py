"""Prompt bandit: what it learns, what it sends, and when it ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from fakes import CARDS, Said, Upstream, always, arm_of
from fakes_search import searched

from router.call import Call
from router.configuration import Configuration
from router.configured import configured_menu
from router.errors import ConfigurationError
from router.query import text_of
from router.strategies.prompt_bandit import PromptBandit

LOOSE = {"type": "regex", "pattern": "7"}
PROMPTS: Mapping[str, Any] = {"direct": (0.2, 1.0), "chain_of_thought": (0.2, 1.0)}


def pulled(upstream: Upstream) -> Counter[tuple[str, float]]:
    return Counter(
        (call.template, call.parameters["temperature"]) for call in upstream.seen if call.template != "judge"
    )


def test_what_earns_reward_is_asked_more_often() -> None:
    """Of four pairs one is rated 9 and the others 0: it gets far more than its fourth of the draws."""

    def behave(call: Call, number: int) -> Said:
        if call.template == "judge":
            return Said("9" if "good" in text_of(call.messages[-1]) else "0")
        earns = (call.template, call.parameters["temperature"]) == ("chain_of_thought", 0.2)
        return Said("good" if earns else "poor")

    upstream = Upstream(behave)
    bandit = PromptBandit("small", 40, judge="large", prompts=PROMPTS)
    answer, run, _ = searched(bandit, upstream, verifier=None)
    assert pulled(upstream)["chain_of_thought", 0.2] > 20
    assert answer.candidate.text == "good"
    assert run.steps[-1].numbers["chain_of_thought@0.2"] > 20


def test_everything_is_tried_where_nothing_earns() -> None:
    """No pair is given up after one failure."""
    upstream = Upstream(always(Said("6")))
    searched(PromptBandit("small", 40), upstream)
    assert len(pulled(upstream)) == 4
    assert min(pulled(upstream).values()) >= 4


def test_a_pass_ends_it_and_cancels_the_rest_of_the_batch() -> None:
    """Nothing could rank above it."""

    def slowing(call: Call, number: int) -> Said:
        return Said("5", latency_s=1.0 if number == 1 else 50.0)

    upstream = Upstream(slowing)
    answer, run, seconds = searched(PromptBandit("small", 8, batch=4), upstream)
    assert (len(upstream.seen), seconds, upstream.in_flight) == (4, pytest.approx(1.0), 0)
    assert answer.complete
    assert run.steps[-1].reason == "a candidate passed"


def test_a_judges_pass_does_not_end_it() -> None:
    """It proves nothing: all draws are made, and the best rating is kept."""
    upstream = Upstream(lambda call, number: Said("9" if call.template == "judge" else f"say {number}"))
    answer, _, _ = searched(PromptBandit("small", 6, judge="large"), upstream, verifier=None)
    assert len(answer.weighed) == 6
    assert answer.complete


def test_batches_run_together() -> None:
    """Eight draws by two take four latencies."""
    _, _, seconds = searched(PromptBandit("small", 8), Upstream(always(Said("6"))))
    assert seconds == pytest.approx(4.0)


def test_the_temperature_is_the_levers_and_the_rest_the_callers() -> None:
    """Whatever temperature the caller asked for."""
    upstream = Upstream(always(Said("6")))
    searched(PromptBandit("small", 8), upstream, parameters={"temperature": 0, "stop": "."})
    assert {call.parameters["temperature"] for call in upstream.seen} <= {0.3, 1.0}
    assert {call.parameters["stop"] for call in upstream.seen} == {"."}


def test_the_same_query_pulls_the_same_levers() -> None:
    """Chance is the query's own."""

    def levers(query_id: str) -> list[Any]:
        upstream = Upstream(always(Said("6")))
        searched(PromptBandit("small", 12), upstream, id=query_id)
        return [(call.template, call.parameters["temperature"]) for call in upstream.seen]

    assert levers("a") == levers("a") != levers("b")


def test_prompts_are_a_table_of_the_configuration() -> None:
    """And the arm's id tells them; n is the ladder."""
    models = {
        name: {"backend": "b", "usd_per_million_prompt_tokens": 0, "usd_per_million_completion_tokens": 0}
        for name in CARDS
    }
    entry = {
        "strategy": "prompt_bandit",
        "models": ["small"],
        "n": [4, 8],
        "prompts": {"direct": [0.5], "plan_then_solve": [1.0]},
    }
    configuration = Configuration.model_validate(
        {"backends": {"b": {"type": "scripted"}}, "models": models, "menu": [entry]}
    )
    menu = configured_menu(configuration)
    family = "small/prompt_bandit:prompts=direct(0.5)+plan_then_solve(1)"
    assert list(menu.ids) == [f"{family}@4", f"{family}@8"]
    assert not menu.arms[0].strategy.traits.response_format


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"n": 1}, "n >= 2"),
        ({"prompts": {"direct": (0.5,)}}, "two or more"),
        ({"prompts": {"direct": (0.5, 3.0)}}, "from 0 to 2"),
        ({"prompts": {"direct": ()}}, "must list"),
        ({"prompts": {"rhyme": (0.5, 1.0)}}, "rhyme"),
    ],
)
def test_wrong_options_name_the_remedy(options: dict[str, Any], told: str) -> None:
    """At the start."""
    with pytest.raises(ConfigurationError, match=told):
        PromptBandit(**{"model": "small", "n": 4, **options})


def test_a_verdict_that_cannot_tell_teaches_nothing() -> None:
    """Failures of the judge do not count against the prompts."""

    def behave(call: Call, number: int) -> Said:
        return Said("no rating" if call.template == "judge" else "text")

    upstream = Upstream(behave)
    answer, _, _ = searched(PromptBandit("small", 40, judge="large"), upstream, verifier=None)
    assert {verdict.ruling for verdict in answer.verdicts if verdict} == {"unknown"}
    assert min(pulled(upstream).values()) >= 4
    assert arm_of(PromptBandit("small", 4, judge="large")).id == "small/prompt_bandit:judge=large@4"


def test_a_whole_reward_of_an_unsound_verifier_ends_it_too() -> None:
    """A well-formed answer cannot be better formed."""
    upstream = Upstream(always(Said("7")))
    answer, _, _ = searched(PromptBandit("small", 8), upstream, verifier=LOOSE)
    assert len(upstream.seen) == 2
    assert answer.verdict is not None
    assert not answer.verdict.sound
