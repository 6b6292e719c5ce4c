"""Calls: the bound on a prompt's tokens must hold before anything is known of the tokenizer.

A token of a byte-level vocabulary is one byte or more, so a bound that is at least the bytes of all
that a template may render, and some for the template itself, is a bound on the tokens.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.call import (
    PROMPT_TOKENS_PER_ATTACHMENT,
    PROMPT_TOKENS_PER_MESSAGE,
    PROMPT_TOKENS_PER_TEMPLATE,
    Call,
    Completion,
)
from router.query import text_of

words = st.text(st.characters(blacklist_categories=("Cs",)), max_size=40)
plain = st.fixed_dictionaries({"role": st.sampled_from(["user", "system", "assistant"]), "content": words})
parts = st.fixed_dictionaries(
    {
        "role": st.just("user"),
        "content": st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": words}), max_size=3),
    }
)
tool_calls = st.fixed_dictionaries(
    {
        "role": st.just("assistant"),
        "content": st.none(),
        "tool_calls": st.lists(
            st.fixed_dictionaries(
                {
                    "id": words,
                    "type": st.just("function"),
                    "function": st.fixed_dictionaries({"name": words, "arguments": words}),
                }
            ),
            min_size=1,
            max_size=3,
        ),
    }
)
results = st.fixed_dictionaries({"role": st.just("tool"), "content": words, "tool_call_id": words})


def strings_in(value: Any) -> int:
    """UTF-8 bytes of every string that a JSON value holds, but for an object's keys."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict):
        return sum(map(strings_in, value.values()))
    return sum(map(strings_in, value)) if isinstance(value, list) else 0


def bound(messages: list[Any], **parameters: Any) -> int:
    return Call("small", messages, 10, parameters).prompt_token_bound


@given(st.lists(plain | parts | tool_calls | results, max_size=5))
def test_the_bound_covers_every_byte_of_the_messages(messages: list[Any]) -> None:
    """Text, parts, tool calls and their results: all of it is counted, and room for the template."""
    said = sum(
        len(text_of(message).encode())
        + strings_in([message.get("tool_calls"), message.get("tool_call_id"), message.get("name")])
        for message in messages
    )
    room = PROMPT_TOKENS_PER_TEMPLATE + PROMPT_TOKENS_PER_MESSAGE * len(messages)
    assert bound(messages) >= said + room


@given(st.lists(plain, min_size=1, max_size=3), words)
def test_the_bound_grows_with_what_is_asked(messages: list[Any], more: str) -> None:
    """A longer prompt is never bound by less."""
    longer = [*messages[:-1], {**messages[-1], "content": messages[-1]["content"] + more}]
    assert bound(longer) >= bound(messages) + len(more.encode())
    assert bound([*messages, {"role": "user", "content": more}]) > bound(messages)


@pytest.mark.parametrize("key", ["tools", "functions", "response_format"])
def test_what_providers_render_into_the_prompt_counts(key: str) -> None:
    """Tool and format descriptions become prompt tokens, as the JSON that they are."""
    described = [{"type": "function", "function": {"name": "f", "description": 'Say "ä" \' \n twice.'}}]
    compact = json.dumps(described, ensure_ascii=False, separators=(",", ":"))
    assert bound([], **{key: described}) - bound([]) >= len(compact.encode())


def test_what_is_passed_through_unknown_may_become_prompt() -> None:
    """Documents, a prediction, a template: each byte counts, also of an attachment's further fields."""
    for unknown in (
        {"documents": ["x" * 2000]},
        {"prediction": {"content": "x" * 2000}},
        {"chat_template": "x" * 2000},
    ):
        assert bound([], **unknown) - bound([]) >= 2000
    picture = {"type": "image_url", "image_url": {"url": "a.png"}, "text": "x" * 2000}
    assert bound([{"role": "user", "content": [picture]}]) >= PROMPT_TOKENS_PER_ATTACHMENT + 2000


def test_sampling_parameters_are_no_prompt() -> None:
    """A temperature or a seed costs no tokens."""
    assert bound([], temperature=0.5, seed=3, stop=["x" * 100]) == bound([])


def test_a_part_that_is_no_text_counts_as_the_dearest_image() -> None:
    """A link of a few bytes may stand for thousands of tokens; text parts beside it count as text."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    words_only = [{"type": "text", "text": "What is this?"}]
    with_picture = bound([{"role": "user", "content": [*words_only, picture]}])
    assert with_picture == bound([{"role": "user", "content": words_only}]) + PROMPT_TOKENS_PER_ATTACHMENT
    assert bound([{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}]) < 200


def test_a_completion_reads_as_its_text() -> None:
    """A pure tool call reads as the empty text."""
    assert Completion({"role": "assistant", "content": "Hi."}, "stop", 1, 1).text == "Hi."
    assert Completion({"role": "assistant", "content": None, "tool_calls": []}, "tool_calls", 1, 1).text == ""
