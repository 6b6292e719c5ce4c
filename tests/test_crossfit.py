"""Which queries train, which are tested, and that no estimate is of a query that taught it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes_grid import planted_grid
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import InvalidQuery
from training.evaluation.crossfit import (
    LABEL_DRAWS,
    Folds,
    Part,
    fold_parts,
    left_out_groups,
    out_of_fold,
    question_groups,
    split_parts,
    with_labels,
    without_tested_questions,
)
from training.evaluation.stacked import of_quality


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=8, max_size=30), st.integers(1, 3), st.integers(2, 4))
def test_every_query_is_tested_once_a_pass_and_never_beside_its_group(
    sizes: list[int], repeats: int, count: int
) -> None:
    """Whatever the groups: folds cover all rows, and no group stands on both sides of one."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    parts = fold_parts(group, Folds(repeats, count), seed=1)
    for repeat in range(repeats):
        tested = np.concatenate([part.test for part in parts if part.repeat == repeat])
        assert np.sort(tested).tolist() == list(range(len(group)))
    for part in parts:
        assert set(group[part.train]) & set(group[part.test]) == set()
        assert len(part.train) + len(part.test) == len(group)


def test_the_logged_split_is_one_part(tmp_path: Path) -> None:
    """Test rows are tested, the others train."""
    grid = planted_grid(tmp_path, 40)
    (part,) = split_parts(grid, question_groups(grid), 0)
    assert grid.test[part.test].all()
    assert not grid.test[part.train].any()


@pytest.mark.parametrize("test", [True, False])
def test_an_empty_side_of_the_split_names_the_remedy(tmp_path: Path, test: bool) -> None:
    """No test rows, or only such, is told with what to do."""
    grid = planted_grid(tmp_path, 20)
    with pytest.raises(InvalidQuery, match="give --folds 5x5"):
        split_parts(replace(grid, test=np.full(len(grid), test)), question_groups(grid), 0)


@pytest.mark.parametrize(("text", "folds"), [("5x5", (5, 5)), ("2X10", (2, 10)), ("4", (1, 4))])
def test_folds_are_read(text: str, folds: tuple[int, int]) -> None:
    """Repeats x folds, or folds alone."""
    assert Folds.parse(text) == Folds(*folds)


@pytest.mark.parametrize("text", ["", "x", "5x", "x5", "five", "0x5", "5x1", "1x2x3", "-1x5"])
def test_folds_that_make_no_sense_are_told(text: str) -> None:
    """The message shows the form."""
    with pytest.raises(InvalidQuery, match=r"--folds"):
        Folds.parse(text)


def test_more_folds_than_questions_are_told() -> None:
    """Nothing could be held out."""
    with pytest.raises(InvalidQuery, match="5 folds need as many groups of queries: there are 3"):
        fold_parts(np.array([0, 1, 2]), Folds(1, 5), 0)


def test_labels_bound_what_trains_and_nothing_else(tmp_path: Path) -> None:
    """Tested rows stay; the drawn training rows are some of those that were, others in each pass."""
    grid = planted_grid(tmp_path, 60)
    group = question_groups(grid)
    parts = split_parts(grid, group, 0)
    passes = with_labels(parts, 10, group, seed=0)
    assert [each.repeat for each in passes] == list(range(LABEL_DRAWS))
    assert len({each.train.tobytes() for each in passes}) == LABEL_DRAWS
    for few in passes:
        assert len(few.train) == len(few.inner) == 10
        assert set(few.train) < set(parts[0].train)
        assert (few.test == parts[0].test).all()
    assert len(with_labels(parts, 10_000, group, seed=0)) == 1
    assert with_labels(parts, 10_000, group, seed=0)[0].train.tolist() == parts[0].train.tolist()
    with pytest.raises(InvalidQuery, match="--labels"):
        with_labels(parts, 0, group, seed=0)
    with pytest.raises(InvalidQuery, match="nothing can be held out"):
        with_labels(parts, 1, group, seed=0)


def test_what_is_fitted_without_two_folds_serves_both() -> None:
    """A pass of five folds needs fifteen fits: five without one fold, ten without two; and a part's
    inner folds never touch its tested rows."""
    group = np.arange(40)
    fitted = set()
    for part in fold_parts(group, Folds(1, 5), 0):
        fitted.add(part.train.tobytes())
        assert len(np.unique(part.inner)) == 4
        fitted |= {part.train[part.inner != fold].tobytes() for fold in np.unique(part.inner)}
    assert len(fitted) == 15


def test_equal_keys_are_one_question(tmp_path: Path) -> None:
    """Groups follow question_key, not the text."""
    grid = planted_grid(tmp_path, 4)
    group = question_groups(replace(grid, keys=("b", "a", "b", "c")))
    assert group.tolist() == [1, 0, 1, 2]


def test_a_question_of_several_tasks_does_not_teach_where_it_is_tested() -> None:
    """Its other rows are left out of training, with their folds."""
    question = np.array([0, 1, 2, 3, 0, 5])
    train, test = np.array([0, 1, 2, 3]), np.array([4, 5])
    (part,) = without_tested_questions([Part(train, test, train, train + 10)], question)
    assert part.train.tolist() == part.inner.tolist() == [1, 2, 3]
    assert part.fine.tolist() == [11, 12, 13]


def test_tasks_and_domains_can_be_left_out(tmp_path: Path) -> None:
    """A query's task is its id without the last part; a data set that has but one says so."""
    grid = planted_grid(tmp_path, 12)
    by_task, by_domain = (left_out_groups(grid, what) for what in ("task", "domain"))
    assert len(set(by_task)) == len(set(by_domain)) == 3
    assert (by_task == by_domain).all()
    with pytest.raises(InvalidQuery, match="planted has 1 of them for 12 queries"):
        left_out_groups(replace(grid, domains=("one",) * 12), "domain")
    with pytest.raises(InvalidQuery, match="task or domain, not 'moon'"):
        left_out_groups(grid, "moon")


@pytest.mark.parametrize("count", [3, 6])
def test_no_estimate_is_of_a_query_that_taught_it(count: int) -> None:
    """Out of fold, each row is estimated by what saw none of its group, in the order of the rows."""
    group = np.arange(40) // 2
    for part in fold_parts(group, Folds(1, count), seed=2):

        def fit(seen, part=part):  # type: ignore[no-untyped-def]  # a fake
            def estimate(others):  # type: ignore[no-untyped-def]  # a fake
                assert set(group[seen]) & set(group[others]) == set()
                assert set(seen) | set(others) <= set(part.train.tolist())
                return of_quality(others[:, None] / 100.0, np.zeros(2))

            return estimate

        found = out_of_fold(fit, part)
        assert found.quality[:, 1].tolist() == (part.train / 100.0).tolist()
