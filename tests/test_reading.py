"""Reading: what the look of a reply tells."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from router.reading import READINGS, read

QUESTION = "Tom has 3 apples and buys 4 more, then eats 2. How many are left?"
REPLY = "First 3 + 4 = 7.\nThen 7 - 2 = 5.\nAnswer: 5"


def reading(reply: str, extracted: str | None = "5") -> dict[str, float]:
    return dict(zip(READINGS, read(QUESTION, reply, extracted), strict=True))


def test_a_sound_reply_reads_as_such() -> None:
    """Its equations hold, its answer was worked out last, all numbers of the question were used."""
    found = reading(REPLY)
    assert (found["mistaken"], found["worked_out_last"], found["unused_share"]) == (0, 1, 0)
    assert (found["number"], found["whole"], found["negative"], found["asked"]) == (1, 1, 0, 0)


def test_what_betrays_a_wrong_answer_is_seen() -> None:
    """A wrong equation, a number left out, a negative fraction, doubt, repetition, a cut-off end."""
    found = reading("Maybe 3 + 4 = 8\nMaybe 3 + 4 = 8\nso it is perhaps -1.5 and", "-1.5")
    assert found["mistaken"] == 1
    assert found["log_mistakes"] > 0
    assert found["unused_share"] > 0
    assert (found["negative"], found["whole"], found["worked_out"]) == (1, 0, 0)
    assert found["log_doubts"] > 0
    assert found["repeated_share"] > 0
    assert found["cut"] == 1


def test_no_answer_is_told() -> None:
    """Where nothing was extracted, nothing is said of a number."""
    found = reading("I cannot say.", None)
    assert (found["extracted"], found["number"], found["log_magnitude"]) == (0, 0, 0)


def test_what_was_billed_is_told() -> None:
    """Hidden reasoning stands in no reply, but in its tokens."""
    short, long = (dict(zip(READINGS, read(QUESTION, REPLY, "5", n), strict=True)) for n in (20, 4_000))
    assert short.pop("log_completion_tokens") < long.pop("log_completion_tokens")
    assert short == long
    assert (reading(REPLY)["tokens_told"], short["tokens_told"]) == (0, 1)


@given(st.text(max_size=300), st.text(max_size=300), st.none() | st.text(max_size=20))
def test_any_text_gives_finite_numbers(question: str, reply: str, extracted: str | None) -> None:
    """One for each name, whatever is read."""
    found = read(question, reply, extracted)
    assert len(found) == len(READINGS)
    assert all(abs(value) < 1e3 for value in found)


def test_long_replies_take_little_time() -> None:
    """Reading stands on the way of every answer that is weighed (bound: 3 ms a reply of 20,000
    characters, best of five, some ten times what it takes)."""

    def once(number: int) -> float:
        began = time.perf_counter()
        read(QUESTION, f"{number} " + "Then 7 - 2 = 5 and 12 * 3 = 36. " * 600, "5")
        return time.perf_counter() - began

    assert min(once(number) for number in range(5)) < 3e-3
