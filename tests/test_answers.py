"""Final answers and their form for comparison."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.answers import boxed, extract_answer, find_json, normalise
from router.query import Query, Wishes

SUM = "What is 7 + 5? Reply with the number only."
CAPITAL = "What is the capital of France? Reply with the name only."
LARGER = "Which number is larger, 45 or 72? Reply with the number only."
SENTIMENT = "Is the sentiment of this review positive or negative? Reply with one word. Review: Great."
CHOICE = "Which gas do plants take in?\nA) Oxygen\nB) Carbon dioxide\nC) Helium"
APPLES = "Tom has 3 apples and buys 4 more. How many apples does he have now?"
DISCOUNT = "A book costs $10 at half price, 50% off. What was its original price?"
SENTENCE = "Write one sentence that contains the words river and lantern."


def ask(text, **fields):
    return Query([{"role": "user", "content": text}], **fields)


@pytest.mark.parametrize(
    ("question", "reply", "answer"),
    [
        (SUM, "12", "12"),
        (SUM, "7 + 5 = 12.", "12"),
        (SUM, "First 7, then 5.\nAnswer: 12", "12"),
        (SUM, "First 7, then 5.\n**Answer:** 12\nI hope this helps, 100 %!", "12"),
        (SUM, "Answer: 11. No, wait.\nAnswer: 12 apples", "12"),
        (SUM, "so \\boxed{12} it is", "12"),
        (SUM, "The sum is 1,234.50.", "1,234.50"),
        (SUM, "That makes 25/2 in all.", "25/2"),
        (SUM, "\\boxed{12 \\text{ apples}}", "12"),
        (SUM, "\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        (APPLES, "3 + 4 = 7 apples", "7"),
        (CAPITAL, "Paris", "Paris"),
        (CAPITAL, "The capital of France is Paris.", "Paris"),
        (CAPITAL, "France is a country.\nAnswer: The capital of France is Paris.", "Paris"),
        (LARGER, "72 is larger than 45.", "72"),
        (LARGER, "Since 45 is smaller, the answer is 72.", "72"),
        (SENTIMENT, "The sentiment of this review is positive.", "positive"),
        (SENTIMENT, "Answer: Negative.", "negative"),
        (CHOICE, "B", "B"),
        (CHOICE, "(B) Carbon dioxide", "B"),
        (CHOICE, "Plants need it, so the answer is B.", "B"),
        (CHOICE, "It cannot be A, so option (B) remains.", "B"),
        (SENTENCE, "The lantern lit the river.", "The lantern lit the river."),
        (SENTENCE, "The words go together.\n\nAnswer: A lantern by the river.", "A lantern by the river."),
        (SENTENCE, "Here is one:\nA lantern by the river.", "A lantern by the river."),
        ("Name a number of birds seen on 2024-11-05.", "Two tits and 3 crows", "Two tits and 3 crows"),
        ("word " * 5000 + APPLES, "3 + 4 = 7 apples", "7"),
        ("Solve it.", "\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        (APPLES, "3 + 4 = <<3+4=7>>7\n#### 7\n\nQ: And 8 more?\n#### 15", "7"),
        (DISCOUNT, "It was 10 / 0.5.\n\nThe original price of the book was $20.", "20"),
        ("Solve it.", '{"reasoning": "so \\"it\\" is",\n "answer": "\\\\frac{1}{2}"}', "\\frac{1}{2}"),
        ("Solve it.", '```json\n{"answer": 12}\n```', "12"),
    ],
)
def test_the_final_answer_is_kept_apart_from_its_reasoning(question, reply, answer):
    """Each way in which models put their final answer is read, as the query wants it."""
    assert extract_answer(ask(question), reply) == answer


@pytest.mark.parametrize("reply", ["", "  \n", "word " * 200])
def test_nothing_to_extract_is_none(reply):
    """An empty reply and an essay hold no answer that could be compared."""
    assert extract_answer(ask("Tell me about rivers."), reply) is None


def test_no_number_where_one_is_wanted_is_none():
    """An invalid vote is none, so that it can be left out."""
    assert extract_answer(ask(SUM), "Sure!") is None


@pytest.mark.parametrize(
    "fields",
    [
        {"parameters": {"response_format": {"type": "json_object"}}},
        {"wishes": Wishes(verifier={"type": "json_schema", "schema": {}})},
    ],
)
def test_json_is_canonical_where_json_is_wanted(fields):
    """Two replies with the same JSON value, however written, have one answer; prose has none."""
    query = ask("Who?", **fields)
    fenced = 'Sure!\n```json\n{"b": [1, {}], "a": "é"}\n```'
    assert (
        extract_answer(query, fenced)
        == extract_answer(query, '{"a":"é","b":[1,{}]}')
        == '{"a":"é","b":[1,{}]}'
    )
    assert extract_answer(query, "I cannot.") is None


@pytest.mark.parametrize(
    "forms",
    [
        ["1000", "1,000", "1000.0", " 1,000.00. ", "+1000", "**1000**", "$1000", "01000"],
        ["0.5", ".5", "0.50", "`0.5`"],
        ["0", "-0", "0.0", "000"],
        ["-7", "-7.0", "-07"],
        ["50%", "50.0%"],
        ["B", "b", "(B)", "B.", "(b)."],
        ["Paris", "paris.", '"Paris"', " PARIS! ", "**Paris**"],
        ["New  York", "new york", "New\nYork"],
    ],
)
def test_forms_of_one_answer_are_equal(forms):
    """Notation, case, punctuation and whitespace do not make another answer."""
    assert len({normalise(form) for form in forms}) == 1


@pytest.mark.parametrize(
    ("left", "right"),
    [("1000", "100"), ("5", "0.5"), (".5", "5"), ("-7", "7"), ("50%", "50"), ("1,5", "15"), ("1e3", "13")],
)
def test_different_answers_stay_different(left, right):
    """Normalising never makes two different values equal."""
    assert normalise(left) != normalise(right)


def test_case_can_be_kept():
    """Where case is no form, it is compared."""
    assert normalise("Paris.", casefold=False) == "Paris"


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing_more(answer):
    """The normal form of a normal form is itself."""
    assert normalise(normalise(answer)) == normalise(answer)


@given(st.integers(-(10**12), 10**12), st.integers(0, 3))
def test_every_number_is_equal_to_its_other_notations(number, zeros):
    """Separators and trailing zeros never matter."""
    plain = normalise(str(number))
    assert normalise(f"{number:,}") == plain
    assert normalise(f"{number}." + "0" * zeros) == plain


@given(st.sampled_from([SUM, CAPITAL, LARGER, SENTIMENT, CHOICE, SENTENCE]), st.text(max_size=300))
def test_extraction_never_fails(question, reply):
    """Whatever a model writes, extraction gives a text or nothing."""
    answer = extract_answer(ask(question), reply)
    assert answer is None or answer.strip()


@given(
    st.recursive(
        st.integers() | st.text(max_size=5), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_is_found_within_prose(value):
    """A JSON object or array in a sentence is found whole."""
    import json

    wrapped = {"value": value}
    assert find_json(f"Here: {json.dumps(wrapped)} - done.") == wrapped


@pytest.mark.parametrize(
    "text", ["[" * 20_000, "{" * 20_000, "\\boxed{" * 3_000, "answer " * 3_000, "7" * 20_000]
)
def test_hostile_text_costs_no_time(text):
    """Text made to be slow to read is read within a fraction of a second."""
    began = time.perf_counter()
    extract_answer(ask(SUM), text)
    extract_answer(ask(text + "?"), text)
    find_json(text)
    boxed(text)
    assert time.perf_counter() - began < 0.5


def test_short_replies_take_well_under_a_tenth_of_a_millisecond():
    """Extraction and normalising stand on the hot path of every vote (bound: 100 us, best of ten)."""
    query, reply = ask(SUM), "First add 7 and 5, which makes 12.\nAnswer: 12"

    def once():
        began = time.perf_counter()
        for _ in range(100):
            normalise(extract_answer(query, reply))
        return (time.perf_counter() - began) / 100

    assert min(once() for _ in range(10)) < 100e-6
