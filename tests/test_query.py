"""Queries: what was asked, and nothing decided."""

from __future__ import annotations

import time
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from router.budget import Budget
from router.errors import InvalidQuery
from router.query import DEFAULT_ACCOUNT, Query, Wishes, text_of

PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def test_what_is_asked_is_the_last_word_of_the_user() -> None:
    """Later words of the assistant or a tool are not the question."""
    query = Query(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "First?"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "Second?"},
            {"role": "tool", "content": "42"},
        ]
    )
    assert query.text == "Second?"


@pytest.mark.parametrize(
    ("messages", "text"),
    [([], ""), ([{"role": "system", "content": "Alone."}], "Alone."), ([{"role": "user"}], "")],
)
def test_a_query_without_a_user_has_a_text_all_the_same(messages: list[Any], text: str) -> None:
    """The last message speaks where no user does; nothing says the empty text."""
    assert Query(messages).text == text


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        ([{"type": "text", "text": "one"}, PICTURE, {"type": "text", "text": "two"}], "one\ntwo"),
        ([PICTURE], ""),
        (None, ""),
        ([], ""),
    ],
)
def test_text_parts_are_joined_and_others_left_out(content: object, text: str) -> None:
    """A multi-part content reads as its text."""
    assert text_of({"role": "user", "content": content}) == text


def test_ids_are_ordered_by_time() -> None:
    """Sorting traces by id is sorting them by time."""
    ids = [Query([]).id for _ in range(100)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 100


def test_a_query_has_an_account_and_a_time_from_the_first_moment() -> None:
    """Nothing downstream must invent them."""
    query = Query([])
    assert query.account == DEFAULT_ACCOUNT
    assert abs(query.received_at - time.time()) < 5
    assert query.target == "auto"


def test_a_query_never_changes() -> None:
    """What was asked stays as it was asked."""
    with pytest.raises(FrozenInstanceError):
        Query([]).target = "large"


def test_wishes_become_caps() -> None:
    """Dollars become nano-dollars, the deadline seconds; what is not wished is not capped."""
    assert Wishes(max_cost_usd=0.25, deadline_s=2.0).budget == Budget(cost_nano=250_000_000, seconds=2.0)
    assert Wishes().budget == Budget()


@pytest.mark.parametrize("wishes", [Wishes(max_cost_usd=-1.0), Wishes(deadline_s=-0.5)])
def test_impossible_caps_are_the_callers_error(wishes: Wishes) -> None:
    """A negative cap is refused before anything is planned."""
    with pytest.raises(InvalidQuery):
        _ = wishes.budget
