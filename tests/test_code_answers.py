"""Code out of replies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.code_answers import MAX_CODE_CHARACTERS, extract_code, is_python

ADD = "def add(a, b):\n    return a + b\n"
USE = "print(add(1, 2))\n"


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (f"Here:\n```python\n{ADD}```\nDone.", ADD),
        (f"```\n{ADD}```", ADD),
        (f"~~~py\n{ADD}~~~", ADD),
        (f"First\n```python\nx = 1\n```\nno, better:\n```python\n{ADD}```", ADD),
        (f"```python\n{ADD}```\nRun it:\n```bash\npython add.py\n```\n```text\n3\n```", ADD),
        (f"<think>```python\nx = 1\n```</think>```python\n{ADD}```", ADD),
        (f"```python\n{ADD}", ADD),
        (f"```python\n{ADD}s = '''\n  ```'''\n```", f"{ADD}s = '''\n  ```'''\n"),
        (ADD, ADD),
    ],
    ids=[
        "fence",
        "no language",
        "tildes",
        "last",
        "shell after",
        "thoughts",
        "cut off",
        "ticks inside",
        "bare",
    ],
)
def test_the_program_is_found(reply: str, code: str) -> None:
    """The last fenced block of Python, or the whole reply where it is Python."""
    assert extract_code(reply) == code


def test_a_block_that_defines_the_name_comes_before_its_use() -> None:
    """An example of its use after it is not taken for the program."""
    reply = f"```python\n{ADD}```\nFor example:\n```python\n{USE}```"
    assert extract_code(reply) == USE
    assert extract_code(reply, "add") == ADD
    assert extract_code(reply, "unheard_of") == USE


@pytest.mark.parametrize(
    "reply", ["", "  \n", "I cannot do that, sorry.", "```bash\nls\n```", "x" * (MAX_CODE_CHARACTERS + 1)]
)
def test_a_reply_without_a_program_has_none(reply: str) -> None:
    """Prose is no program, nor is another language's."""
    assert extract_code(reply) is None


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    """No reply raises; what is found in a bare one is Python."""
    code = extract_code(text)
    assert code is None or "```" in text or "~~~" in text or is_python(text)
