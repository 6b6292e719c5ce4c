"""Tree of thoughts: breadth first, best first, pruning and going back."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from fakes import Upstream
from fakes_search import path_in, searched, steps_of, unending, writer

from router.errors import ConfigurationError
from router.strategies.tree_of_thoughts import TreeOfThoughts


def test_breadth_first_goes_on_from_the_best_of_each_level_at_once() -> None:
    """Three thoughts, of which the two best have three each: two levels of two latencies, and the end."""
    upstream = Upstream(writer(unending, lambda prompt: "9" if "step 3" in prompt else "6"))
    _, _, seconds = searched(TreeOfThoughts("small", 9, width=2, depth=2), upstream)
    assert Counter(path_in(call) for call in steps_of(upstream)) == {"": 3, "step 3": 3, "step 1": 3}
    assert seconds == pytest.approx(2 * 2 + 1)


def test_best_first_goes_back_to_what_it_left_behind() -> None:
    """The most promising branch disappoints, so the second best of the first level goes on."""

    def rating(prompt: str) -> str:
        deeper = "\nstep" in prompt.partition("so far:")[2].partition("\n\nHow")[0].replace("]]\nstep", "")
        return "4" if deeper else "9" if "step 1" in prompt else "7" if "step 2" in prompt else "5"

    upstream = Upstream(writer(unending, rating))
    searched(TreeOfThoughts("small", 6, search="best_first", branch=2), upstream)
    assert [path_in(call) for call in steps_of(upstream)][::2] == ["", "step 1", "step 2"]


@pytest.mark.parametrize("search", ["breadth_first", "best_first"])
def test_a_poor_path_never_goes_on(search: str) -> None:
    """Where all are poor, it ends, and the best of them is finished."""
    upstream = Upstream(writer(unending, lambda prompt: "2"))
    searched(TreeOfThoughts("small", 12, search=search), upstream)
    assert Counter(path_in(call) for call in steps_of(upstream)) == {"": 3}
    assert len(steps_of(upstream, "finish")) == 1


@pytest.mark.parametrize("search", ["breadth_first", "best_first"])
def test_no_more_thoughts_than_asked_for_and_none_too_deep(search: str) -> None:
    """Thoughts that do not divide by the branch are shared out; a path of full depth stays."""
    upstream = Upstream(writer(unending))
    searched(TreeOfThoughts("small", 8, search=search, depth=2, width=3), upstream)
    shares = Counter(path_in(call) for call in steps_of(upstream))
    assert sum(shares.values()) == 8
    assert all("\n" not in path for path in shares)
    if search == "breadth_first":
        assert sorted(shares.values()) == [1, 2, 2, 3]


@pytest.mark.parametrize(("value", "thoughts"), [("9", 6), ("3", 12)])
def test_it_ends_where_no_open_path_is_worth_more_than_an_answer(value: str, thoughts: int) -> None:
    """An answer of low value does not end it."""

    def rating(prompt: str) -> str:
        return value if "Answer: 7" in prompt else "6"

    def step(path: str, number: int) -> str:
        return "Answer: 7" if path else f"step {number}"

    upstream = Upstream(writer(step, rating))
    searched(TreeOfThoughts("small", 12, search="best_first", prune_below=0.0), upstream, verifier=None)
    assert len(steps_of(upstream)) == thoughts


@pytest.mark.parametrize(
    ("options", "told"), [({"search": "depth_first"}, "best_first, breadth_first"), ({"width": 0}, "width")]
)
def test_wrong_options_name_the_known_ones(options: dict[str, Any], told: str) -> None:
    """At the start."""
    with pytest.raises(ConfigurationError, match=told):
        TreeOfThoughts("small", 4, **options)
