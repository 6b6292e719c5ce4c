"""Chain of thought: its prompts, and their place in the id."""

from __future__ import annotations

import pytest
from fakes import QUESTION, Upstream, arm_of, ask, in_turn, run_of, virtually

from router.budget import Budget
from router.candidate import Answer
from router.errors import ConfigurationError
from router.query import Query, text_of
from router.strategies.chain_of_thought import ChainOfThought
from router.templates import PLAN_THEN_SOLVE, STEP_BY_STEP


def answered(strategy: ChainOfThought, upstream: Upstream, query: Query, budget: Budget) -> Answer:
    async def work() -> Answer:
        return await strategy.answer(run_of(upstream, query, budget=budget))

    return virtually(work)[0]


@pytest.mark.parametrize(
    ("prompt", "instruction"), [("step_by_step", STEP_BY_STEP), ("plan_then_solve", PLAN_THEN_SOLVE)]
)
def test_a_prompt_asks_for_its_reasoning_within_the_reservation(prompt: str, instruction: str) -> None:
    """The question ends with the prompt's instruction, and the arm's own worst case pays for it."""
    strategy, query, upstream = ChainOfThought("small", prompt), ask(), Upstream(in_turn("Answer: 5"))
    worst = Budget(cost_nano=arm_of(strategy).worst_case(query).cost_nano)
    assert answered(strategy, upstream, query, worst).candidate.text == "Answer: 5"
    assert text_of(upstream.seen[0].messages[-1]) == f"{QUESTION}\n{instruction}"


def test_the_usual_prompt_stands_in_no_id() -> None:
    """Arms keep the meaning that they had before there were several prompts."""
    assert repr(ChainOfThought("small")) == "ChainOfThought(model='small')"
    assert ChainOfThought("small").family == "small/chain_of_thought"
    planned = ChainOfThought("small", "plan_then_solve")
    assert repr(planned) == "ChainOfThought(model='small', prompt='plan_then_solve')"
    assert planned.family == "small/chain_of_thought:plan_then_solve"


def test_an_unknown_prompt_names_the_known_ones() -> None:
    """Known before any request."""
    with pytest.raises(ConfigurationError, match="plan_then_solve"):
        ChainOfThought("small", "rhyme")
