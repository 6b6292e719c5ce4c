"""Effort: native levels in each provider's form, and what a caller's level means for the decision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fakes import CARDS, SMALL, Upstream, allocator_of, ask, estimate_of, menu_of, run_of, virtually
from service_process import tables

from router.call import Call, Completion
from router.candidate import Answer
from router.configuration import parse_configuration
from router.configured import configured_menu, model_cards
from router.effort import EFFORTS, STYLES, Effort, shows_thinking, thinking_tokens
from router.errors import ConfigurationError
from router.policies.greedy import Greedy
from router.price import Price
from router.query import Query
from router.strategies.direct import Direct
from router.strategies.effort import Effort as EffortStrategy
from router.strategies.self_consistency import SelfConsistency
from serving.weighing import weighed

LEVELS = ("low", "high")
TOKENS = {"low": 1024, "high": 4096}
BY_NAME = ("openai", "gemini_level", "anthropic", "openrouter")
BY_TOKENS = ("gemini_budget", "vllm", "sglang", "llama_cpp", "anthropic", "openrouter")
FORMS: dict[tuple[str, bool], dict[str, Any]] = {
    ("openai", False): {"reasoning_effort": "high"},
    ("anthropic", False): {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
    ("anthropic", True): {"thinking": {"type": "enabled", "budget_tokens": 4096}},
    ("gemini_level", False): {"extra_body": {"google": {"thinking_config": {"thinking_level": "high"}}}},
    ("gemini_budget", True): {"extra_body": {"google": {"thinking_config": {"thinking_budget": 4096}}}},
    ("openrouter", False): {"reasoning": {"effort": "high"}},
    ("openrouter", True): {"reasoning": {"max_tokens": 4096}},
    ("vllm", True): {"thinking_token_budget": 4096},
    ("sglang", True): {"custom_params": {"thinking_budget": 4096}},
    ("llama_cpp", True): {"thinking_budget_tokens": 4096},
}


@pytest.mark.parametrize(("style", "counted"), FORMS)
def test_each_style_says_a_level_in_its_providers_form(style: str, counted: bool) -> None:
    """The body's fields are the documented ones, and tell the level again."""
    effort = Effort(style, LEVELS, TOKENS if counted else {})
    assert effort.parameters("high") == FORMS[style, counted]
    for level in LEVELS:
        assert effort.level_of({"temperature": 0.5, **effort.parameters(level)}) == level
    assert effort.level_of({"temperature": 0.5}) is None


def test_every_style_has_its_form_here() -> None:
    """A new style is added with what it must say."""
    assert {style for style, _ in FORMS} == set(STYLES)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("telepathy", LEVELS), "Unknown effort style"),
        (("openai", ()), "effort.levels"),
        (("openai", ("high", "low")), "in this order"),
        (("openai", ("high", "huge")), "in this order"),
        (("openai", LEVELS, TOKENS), "takes none"),
        (("vllm", LEVELS), "needs the thinking tokens of 'low'"),
        (("openrouter", LEVELS, {"low": 9}), "needs the thinking tokens of 'high'"),
        (("vllm", ("low",), TOKENS), "takes none for high"),
    ],
)
def test_an_effort_that_cannot_be_said_is_a_mistake(arguments: tuple[Any, ...], words: str) -> None:
    """Styles, levels and tokens that do not fit one another are told at the start."""
    with pytest.raises(ConfigurationError, match=words):
        Effort(*arguments)


def test_further_fields_go_with_every_level() -> None:
    """What a server needs beside the level is sent with it."""
    effort = Effort("sglang", ("low",), {"low": 8}, {"custom_logit_processor": "x"})
    assert effort.parameters("low") == {
        "custom_logit_processor": "x",
        "custom_params": {"thinking_budget": 8},
    }


def test_thinking_shows_in_the_usage_or_in_the_message() -> None:
    """Counted tokens, or thinking that the message holds; neither is none."""
    counted = Completion({"content": "5"}, "stop", 9, 9, None, usage(7))
    assert (thinking_tokens(counted), shows_thinking(counted)) == (7, True)
    assert shows_thinking(Completion({"content": "5", "reasoning_content": "2 + 3"}, "stop", 9, 9))
    for details in ({}, usage(0), {"completion_tokens_details": None}, usage(True)):
        assert not shows_thinking(Completion({"content": "5"}, "stop", 9, 9, None, details))


def usage(tokens: Any) -> dict[str, Any]:
    """Usage details that tell thinking tokens."""
    return {"completion_tokens_details": {"reasoning_tokens": tokens}}


def test_the_strategy_asks_once_at_its_level() -> None:
    """The model's own form goes over the caller's parameters; a model without levels gets none."""
    thinking = replace(SMALL, effort=Effort("openrouter", LEVELS))
    query = ask(parameters={"temperature": 0.5})

    def sent(card: Any) -> dict[str, Any]:
        upstream = Upstream()

        async def work() -> Answer:
            run = run_of(upstream, query, cards={"small": card})
            return await EffortStrategy("small", "high").answer(run)

        virtually(work)
        [call] = upstream.seen
        return dict(call.parameters)

    assert sent(thinking) == {"temperature": 0.5, "reasoning": {"effort": "high"}}
    assert sent(SMALL) == {"temperature": 0.5}


def test_levels_are_a_ladder() -> None:
    """Each level stands on a rung of its own, in the order of thinking."""
    rungs = [EffortStrategy("small", level).compute for level in EFFORTS]
    assert rungs == [1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(ConfigurationError, match="Unknown effort level"):
        EffortStrategy("small", "huge")


def menu_with(folder: Path, entry: dict[str, Any], **model: Any) -> list[str]:
    """The ids of a menu of one more entry, where ``small`` has further keys."""
    values = tables(folder)
    values["models"]["small"] |= model
    values["menu"].append({"models": ["small"], **entry})
    return configured_menu(parse_configuration(values)).ids


def test_a_configuration_makes_an_arm_per_level(tmp_path: Path) -> None:
    """A list of levels is a compute ladder of one family."""
    entry = {"strategy": "effort", "level": ["low", "high"]}
    ids = menu_with(tmp_path, entry, effort={"style": "openai", "levels": ["low", "high"]})
    assert ids[-2:] == ["small/effort@3", "small/effort@5"]


@pytest.mark.parametrize(
    ("entry", "model", "words"),
    [
        ({"strategy": "effort"}, {}, "takes no effort 'medium'. Known: none"),
        ({"strategy": "budget_forcing"}, {}, "continues = true"),
        (
            {"strategy": "effort", "level": "max"},
            {"effort": {"style": "openai", "levels": ["low"]}},
            "takes no effort 'max'. Known: low",
        ),
        (
            {"strategy": "direct"},
            {"effort": {"style": "vllm", "levels": ["low"], "tokens": {"low": 50}}},
            "leave no room",
        ),
        (
            {"strategy": "direct"},
            {"effort": {"style": "telepathy", "levels": ["low"]}},
            "models.small: Unknown effort style",
        ),
        (
            {"strategy": "direct"},
            {"effort": {"style": "openai", "levels": ["low"], "budget": 1}},
            "unknown key 'models.small.effort.budget' .*levels",
        ),
    ],
)
def test_an_arm_that_its_model_cannot_do_is_a_mistake_at_the_start(
    tmp_path: Path, entry: dict[str, Any], model: dict[str, Any], words: str
) -> None:
    """The message names the model, what it lacks and what it knows."""
    with pytest.raises(ConfigurationError, match=words):
        menu_with(tmp_path, entry, **model)


def test_a_card_knows_its_effort(tmp_path: Path) -> None:
    """What stands in the file stands on the card."""
    values = tables(tmp_path)
    values["models"]["small"] |= {"continues": True, "effort": {"style": "openai", "levels": ["low"]}}
    cards = model_cards(parse_configuration(values))
    assert cards["small"].effort == Effort("openai", ("low",))
    assert cards["small"].continues
    assert cards["large"].effort is None


LADDER = menu_of(Direct("small"), SelfConsistency("small", 4), SelfConsistency("small", 16))
RISING = estimate_of([0.5, 0.7, 0.8], [1e-4, 4e-4, 16e-4])


@pytest.mark.parametrize(
    ("level", "stakes", "calls"),
    [
        ("none", 0.125, 1),
        ("minimal", 0.25, 1),
        ("low", 0.5, 4),
        ("medium", 1.0, None),
        ("high", 2.0, None),
        ("xhigh", 4.0, None),
        ("max", 8.0, None),
    ],
)
def test_a_callers_level_sets_the_plans_budget_and_stakes(
    level: str, stakes: float, calls: int | None
) -> None:
    """Low levels cap the calls, high ones raise the worth of a right answer, medium changes nothing."""
    allocator = allocator_of(LADDER, RISING)
    plan = allocator.plan(weighed(ask(parameters={"reasoning_effort": level}), CARDS))
    assert (plan.stakes, plan.budget.calls) == (stakes, calls)
    assert plan.budget.calls is None or sum(plan.arm.strategy.demand().values()) <= plan.budget.calls


def test_the_cap_holds_for_each_choice_beside_the_callers_own() -> None:
    """Two choices at the lowest level are two calls; a smaller wish of the caller's stays."""
    query = weighed(ask(parameters={"reasoning_effort": "low"}, n=2), CARDS)
    assert query.wishes.max_calls == 8
    wished = replace(query.wishes, max_calls=3, stakes=3.0)
    query = weighed(ask(parameters={"reasoning_effort": "low"}, n=2, wishes=wished), CARDS)
    assert (query.wishes.max_calls, query.wishes.stakes) == (3, 1.5)
    assert "reasoning_effort" not in query.parameters


def test_high_stakes_buy_compute_at_the_same_price() -> None:
    """Greedy climbs the ladder as a right answer is worth more, by stakes or by effort."""
    allocator = allocator_of(LADDER, RISING, {"auto": Greedy()}, price=Price(per_usd=400.0))

    def rung(query: Query) -> float:
        return allocator.plan(weighed(query, CARDS)).arm.compute

    efforts = [rung(ask(parameters={"reasoning_effort": level})) for level in EFFORTS]
    assert efforts == sorted(efforts)
    assert (efforts[0], efforts[3], efforts[-1]) == (1, 4, 16)
    stakes = [replace(ask().wishes, stakes=worth) for worth in (0.1, 1.0, 10.0)]
    assert [rung(ask(wishes=wishes)) for wishes in stakes] == [1, 4, 16]


def test_a_named_model_gets_the_level_in_its_own_form() -> None:
    """The wish is translated where the model takes that level, else passed on as it came."""
    cards = {**CARDS, "small": replace(SMALL, effort=Effort("vllm", ("high",), {"high": 32}))}
    asked = {"reasoning_effort": "high", "temperature": 0.5}
    told = weighed(ask(target="small", parameters=asked), cards)
    assert told.parameters == {"temperature": 0.5, "thinking_token_budget": 32}
    other = ask(target="small", parameters={"reasoning_effort": "low"})
    assert weighed(other, cards) is other
    plain = ask(target="large", parameters=asked)
    assert weighed(plain, cards) is plain


def test_a_barred_arm_is_no_policys_choice() -> None:
    """It is excluded with the reason for every form of request; who names it still gets it."""
    menu = menu_of(Direct("small"), EffortStrategy("small", "high"))
    allocator = allocator_of(menu, estimate_of([0.1, 0.9]))
    assert allocator.plan(ask()).arm.id == "small/effort@5"
    allocator.bar("small/effort@5", "the upstream refuses it")
    plan = allocator.plan(ask())
    assert plan.arm.id == "small/direct"
    assert plan.excluded == {"the upstream refuses it": ["small/effort@5"]}
    assert allocator.plan(ask(target="small/effort@5")).arm.id == "small/effort@5"


def test_a_call_is_worth_its_level() -> None:
    """The worst case of an effort arm is that of one call."""
    arm = menu_of(EffortStrategy("small")).arms[0]
    call = Call("small", ask().messages, SMALL.max_completion_tokens)
    assert arm.worst_case(ask()).calls == 1
    assert arm.worst_case(ask()).completion_tokens == call.max_completion_tokens
