"""Splits: by time, near-duplicates kept together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from fakes_learning import planted_rounds, small_menu
from hypothesis import given, settings
from hypothesis import strategies as st

from router.query import Query
from training.folds import folds
from training.rounds import Round, question_key
from training.split import near_duplicates, split

WORDS = [f"word{i}" for i in range(400)]


def rounds(texts: Sequence[str], times: Sequence[float | None]) -> list[Round]:
    return [
        Round(Query([{"role": "user", "content": text}]), "a", 1.0, question_key(text), created_at=time)
        for text, time in zip(texts, times, strict=True)
    ]


def grouped(*texts: str) -> list[int]:
    return near_duplicates(texts, range(len(texts))).tolist()


def long_text(seed: int, words: int = 60) -> list[str]:
    return np.random.default_rng(seed).choice(WORDS, words).tolist()  # type: ignore[no-any-return]  # a list of words


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.floats(0, 100)), min_size=1, max_size=60))
@settings(max_examples=80)
def test_parts_cover_and_keep_groups(asked: list[tuple[str, float]]) -> None:
    """The parts are disjoint, cover all, and no question stands in both."""
    made = rounds([text for text, _ in asked], [time for _, time in asked])
    parts = split(made)
    rows = np.concatenate((parts.fit, parts.test))
    assert sorted(rows.tolist()) == list(range(len(made)))
    keys = [{made[i].question_key for i in part} for part in (parts.fit, parts.test)]
    assert not keys[0] & keys[1]
    assert len(parts.fit)


def test_the_latest_are_tested() -> None:
    """Of distinct questions, the oldest are fitted, and the latest tested."""
    order = np.random.default_rng(0).permutation(100)
    parts = split(rounds([f"question {i}" for i in order], order.astype(float).tolist()))
    fit, test = order[parts.fit], order[parts.test]
    assert fit.max() < test.min()
    assert (len(fit), len(test)) == (80, 20)


def test_unknown_times_are_drawn() -> None:
    """Without times, the seed decides, and it alone."""
    made = rounds([f"question {i}" for i in range(50)], [None] * 50)
    assert split(made, 1).test.tolist() == split(made, 1).test.tolist() != split(made, 2).test.tolist()


def test_short_texts_group_when_equal() -> None:
    """Short texts are the same but for case and spacing, or not at all."""
    assert grouped("What is 2+2?", "what  is 2+2? ", "What is 2+3?") == [0, 0, 1]


def test_long_texts_group_when_similar() -> None:
    """Of a long text, a version with two words changed is a near-duplicate, another text is not."""
    text = long_text(0)
    changed = [*text[:10], "changed", *text[11:50], "again", *text[51:]]
    assert grouped(" ".join(text), " ".join(long_text(1)), " ".join(changed)) == [0, 1, 0]


def test_keys_group() -> None:
    """Different texts with the same key are the same question."""
    assert near_duplicates(["one", "two", "three"], ["k", "l", "k"]).tolist() == [0, 1, 0]


def test_templates_stay_apart() -> None:
    """Short questions of one template are different questions."""
    made = planted_rounds(small_menu(), 200)
    assert split(made).groups.max() > 150


def test_many_texts_are_quick() -> None:
    """Grouping does not compare every pair: five thousand long texts take seconds at most."""
    texts = [" ".join(long_text(i, 40)) for i in range(5000)]
    assert len(set(grouped(*texts))) == 5000


@pytest.mark.parametrize("groups", [1, 2, 5, 40])
def test_folds_keep_groups(groups: int) -> None:
    """Every row is held out once, with its whole group, in folds of similar size."""
    group = np.random.default_rng(0).integers(groups, size=200)
    held = folds(group)
    assert all(len(set(held[group == each])) == 1 for each in np.unique(group))
    assert held.max() == min(groups, 5) - 1
    if groups == 40:
        assert np.ptp(np.bincount(held)) <= 10


FRAME = " ".join(f"word{i}" for i in range(96))
BEHIND = " ".join(f"ending{i}" for i in range(40))


def test_a_templates_words_make_no_near_duplicates() -> None:
    """Questions behind one long instruction, and before another, are as many questions as without them; those
    that are nearly the same beside it stay together."""
    rng = np.random.default_rng(0)
    asked = [f"What is {i} times {i + 3}?" for i in range(120)]
    long = [" ".join(f"w{rng.integers(10**6)}" for _ in range(40)) for _ in range(3)]
    texts = [
        f"{FRAME} {question} {BEHIND}" for question in [*asked, *long, *(f"{each} indeed" for each in long)]
    ]
    groups = near_duplicates(texts, list(range(len(texts))))
    assert len(set(groups[:120].tolist())) == 120
    assert groups[120:123].tolist() == groups[123:126].tolist()
    assert len(set(groups.tolist())) == 123


def test_a_few_long_texts_with_one_beginning_are_one() -> None:
    """No template is known from so few: what is nearly the same is."""
    texts = [f"{FRAME} What is {i} times 3?" for i in range(60)]
    assert len(set(near_duplicates(texts, list(range(60))).tolist())) == 1
