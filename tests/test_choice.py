"""The choice verifier: how options are read from a question, and which one a reply chooses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.answers import extract_answer
from router.candidate import composed
from router.choices import listed_options
from router.query import Query
from router.verifiers import make_verifier

CAPITAL = "Which is the capital of France?\nA) Lyon\nB) Paris\nC) Vitamin C\nD) A dog"
VIRUS = "Which? (A) Hepatitis B (B) Hepatitis A (C) the rose"


async def rule(text: str, reference: str = "B", question: str = CAPITAL) -> str:
    query = Query([{"role": "user", "content": question}])
    verifier = make_verifier({"type": "choice", "reference": reference})
    return (await verifier.verify(query, composed(text, None, (), "direct"), None)).ruling


@pytest.mark.parametrize(
    "reply",
    [
        *("B", "b", "(B)", "B.", "B)", "**B**", "`B`", "B) Paris", "B: Paris", "Paris", "paris."),
        *("The answer is B", "the answer is (B).", "The answer is B because it is.", "I think it is B."),
        *("The capital is Paris.", "\\boxed{B}", "\\boxed{\\text{B}}", '{"answer": "B"}', "#### B"),
        *("Option A is wrong.\nSo the answer: B", "A good question.\nI believe (B) is right."),
        *("Answer: **B) Paris**", "Answer: B because it does not lie elsewhere"),
    ],
)
async def test_the_right_option_passes_however_it_is_said(reply: str) -> None:
    """By letter, by text, marked as the answer, or at the end of some reasoning."""
    assert await rule(reply) == "pass"


@pytest.mark.parametrize(
    "reply", ["A", "(C)", "Answer: C) Vitamin C", "Answer: A dog", "Lyon", "The answer is D.", "\\boxed{A}"]
)
async def test_another_option_fails(reply: str) -> None:
    """Letters within an option's own text do not count, and an article is no letter."""
    assert await rule(reply) == "fail"


@pytest.mark.parametrize(
    "reply",
    [
        *("B or C", "A, B", "A is wrong.\nB is right.", "B) Lyon", "(A) or (B)", "Either (A) or (B).\nHm."),
        *("The answer is not B", "It is not Paris", "Answer: B is not right", "I would say no.", "", "E?"),
    ],
)
async def test_two_options_or_none_are_unknown(reply: str) -> None:
    """Whoever names two has chosen none, nor has who says which one it is not."""
    assert await rule(reply) in ("unknown", "fail")
    assert await rule(reply) != "pass"


async def test_two_letters_are_unknown() -> None:
    """Not even a fail: nothing was chosen."""
    assert await rule("B or C") == "unknown"
    assert await rule("(A) or (B)") == "unknown"


@pytest.mark.parametrize(
    ("reply", "ruling"),
    [("Hepatitis B", "pass"), ("(A) Hepatitis B", "pass"), ("Answer: B) Hepatitis A", "fail"), ("B", "fail")],
)
async def test_the_reference_may_be_an_options_text(reply: str, ruling: str) -> None:
    """Letters within it name no option."""
    assert await rule(reply, "hepatitis b", VIRUS) == ruling


async def test_a_reference_that_is_no_option_is_unknown() -> None:
    """A right answer that the question does not offer cannot be checked; without options a letter can."""
    assert await rule("B", "Rome") == "unknown"
    assert await rule("E", "E") == "unknown"
    assert await rule("B", "B", "Which?") == "pass"


def test_options_are_read_in_their_order() -> None:
    """In lines or in one, with any of the usual marks; initials and later letters are no options."""
    assert listed_options(VIRUS) == {"A": "Hepatitis B", "B": "Hepatitis A", "C": "the rose"}
    assert listed_options("By J. Smith.\nA. one\nB. two\nC: three") == {"A": "one", "B": "two", "C": "three"}
    assert listed_options("A) x B) y\nNow: A) one B) two") == {"A": "one", "B": "two"}
    assert listed_options("What is 2 + 3?") == {}


@given(text=st.text(alphabet="ABCD()., \nisnotare:*{}\\", max_size=60))
async def test_no_reply_breaks_it(text: str) -> None:
    """Whatever is said, there is a ruling, the same each time."""
    assert await rule(text) == await rule(text)


@pytest.mark.parametrize(
    "reply",
    ["B", "(b)", "It is not A, so option B.", "No.\nThe answer is B", "B) is right, (C) is not"],
)
async def test_a_vote_is_read_as_the_verifier_reads_it(reply: str) -> None:
    """Where the verifier passes or fails a letter, that letter is the vote."""
    ruling = await rule(reply)
    if ruling != "unknown":
        query = Query([{"role": "user", "content": CAPITAL}])
        assert (extract_answer(query, reply) == "B") == (ruling == "pass")
