"""The workload: generated tasks and their judgement."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effortwise.families import PARTITIONS, all_families
from effortwise.workload import MAX_COMPLETION_TOKENS, family_names, generate, judge
from router.errors import ConfigurationError
from router.verifiers import make_verifier


def right_reply(task):
    """A reply that solves the task, as a model would write it."""
    if task.domain == "writing":
        return f"Once there was a {', a '.join(task.reference.split())} in a small town."
    return f"Here it is.\nAnswer: {task.reference}"


@pytest.fixture(params=family_names())
def tasks(request):
    """Thirty tasks of one family."""
    return generate(7, 30, [request.param])


def test_a_right_reply_is_worth_one_and_a_wrong_one_nothing(tasks):
    """Every family's check accepts its reference and rejects the rest."""
    for task in tasks:
        assert judge(task, right_reply(task)) == 1.0
        assert judge(task, "Answer: I do not know, perhaps 123456 or nothing.") == 0.0
        assert judge(task, "") == 0.0


def test_live_verifiers_accept_what_is_right_and_know_no_answer(tasks):
    """What a client sends along passes the right reply; where it is called sound it judges alike."""
    for task in tasks:
        if task.verifier is None:
            continue
        make_verifier(task.verifier)
        assert task.verifier.get("sound") == (task.verifier == task.check)
        if task.family == "extraction":
            person = json.loads(task.reference)
            assert not any(repr(value) in repr(task.verifier) for value in person.values())


def test_requests_look_like_a_clients(tasks):
    """One user message, a capped reply, the live verifier among the wishes, no reference anywhere."""
    query = tasks[0].query()
    assert query.text == tasks[0].prompt
    assert query.max_completion_tokens == MAX_COMPLETION_TOKENS
    assert query.wishes.verifier == tasks[0].verifier


@pytest.mark.parametrize("family", family_names())
def test_a_familys_space_holds_each_prompt_once(family):
    """Positions and prompts are one to one, so deduplication needs no memory."""
    space = all_families()[family]
    step = max(1, space.size // 3000)
    prompts = [space.task(position).prompt for position in range(0, space.size, step)]
    assert len(set(prompts)) == len(prompts)


def test_families_take_turns():
    """The first tasks hold every family once."""
    names = family_names()
    assert [task.family for task in generate(1, len(names))] == names


@given(seed=st.integers(0, 10**6), count=st.integers(0, 200))
@settings(max_examples=20, deadline=None)
def test_the_same_seed_gives_the_same_tasks_and_no_prompt_twice(seed, count):
    """Generation is a function of its arguments; shorter lists begin longer ones."""
    tasks = generate(seed, count)
    assert len({task.prompt for task in tasks}) == count
    assert tasks == generate(seed, 200)[:count]


@pytest.mark.parametrize("other", range(1, PARTITIONS))
def test_seeds_of_different_parts_share_no_prompt(other):
    """What is trained on one seed is fresh under another, up to a family's share of its space."""
    count = 40 * len(family_names())
    prompts = {task.prompt for task in generate(2026, count)}
    assert prompts.isdisjoint(task.prompt for task in generate(2026 + other, count))


def test_a_family_that_is_used_up_gives_fewer_tasks():
    """No prompt is repeated to fill a number."""
    size = all_families()["one_digit_sum"].size
    assert len(generate(3, size + 100, ["one_digit_sum"])) == size


def test_difficulty_is_graded():
    """The workload holds easy, middling and hard tasks."""
    assert {task.difficulty for task in generate(1, 90)} == {1, 2, 3}


def test_an_unknown_family_names_the_known_ones():
    """A wrong name is a configuration error."""
    with pytest.raises(ConfigurationError, match="capital"):
        generate(1, 1, ["riddles"])
