"""Prompt templates."""

from __future__ import annotations

import pytest

from router.arm import TEMPLATE_TOKENS
from router.errors import ConfigurationError
from router.query import text_of
from router.templates import PLAN_THEN_SOLVE, STEP_BY_STEP, TEMPLATES, render

CONVERSATIONS = {
    "plain": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "What is 2 + 3?"}],
    "parts": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look:"},
                {"type": "image_url", "image_url": {"url": "data:,"}},
            ],
        }
    ],
    "ends with the assistant": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Well"}],
    "empty": [{"role": "user", "content": None}],
    "no user": [{"role": "system", "content": "Tell a joke."}],
}


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_direct_asks_exactly_what_the_caller_asked(messages):
    """The direct template sends the caller's messages unchanged."""
    assert render("direct", messages) == messages


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_chain_of_thought_ends_the_last_user_message_with_the_instruction(messages):
    """Step by step is asked for at the end of the last user message, and nowhere else."""
    rendered = render("chain_of_thought", messages)
    users = [message for message in rendered if message["role"] == "user"]
    assert text_of(users[-1]).endswith(STEP_BY_STEP)
    assert sum(STEP_BY_STEP in text_of(message) for message in rendered) == 1


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_plan_then_solve_asks_for_a_plan_and_for_the_same_last_line(messages):
    """The plan comes before the steps, and the final answer stands where chain of thought puts it."""
    users = [message for message in render("plan_then_solve", messages) if message["role"] == "user"]
    asked = text_of(users[-1])
    assert asked.endswith(PLAN_THEN_SOLVE)
    assert asked.index("plan") < asked.index("step by step")
    assert asked.endswith(STEP_BY_STEP.partition(". ")[2])


def test_the_parts_of_a_message_stay():
    """Pictures and texts of a multi-part message are passed on before the instruction."""
    (message,) = render("chain_of_thought", CONVERSATIONS["parts"])
    assert message["content"][:2] == CONVERSATIONS["parts"][0]["content"]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_no_template_changes_the_callers_messages(template, name):
    """Rendering leaves its argument as it was."""
    before = repr(CONVERSATIONS[name])
    render(template, CONVERSATIONS[name])
    assert repr(CONVERSATIONS[name]) == before


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_template_adds_no_more_than_worst_cases_allow_for(template, messages):
    """What a template adds stays within the bound that an arm's worst case reserves (a token is at
    least a byte)."""
    size = lambda asked: sum(len(text_of(message).encode()) for message in asked)
    assert size(render(template, messages)) - size(messages) <= TEMPLATE_TOKENS


def test_an_unknown_template_names_the_known_ones():
    """A wrong name is a configuration error that says what there is."""
    with pytest.raises(ConfigurationError, match="chain_of_thought"):
        render("guess", [])
