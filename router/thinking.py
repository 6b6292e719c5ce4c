"""Thinking: what some models put before a reply, and what is no part of it."""

from __future__ import annotations

import re

_THOUGHT = re.compile(r"\A\s*<think>.*?(?:</think>|\Z)", re.DOTALL)


def without_thinking(reply: str) -> str:
    """What stands behind the thinking, to the letter; the whole reply where it begins with none."""
    return _THOUGHT.sub("", reply)


def aloud(reply: str) -> str:
    """A reply without the thinking and the space around it; empty where it was cut off within it.

    >>> aloud("<think>Is it? It is.</think> CORRECT"), aloud("<think>Is it? It")
    ('CORRECT', '')
    """
    return without_thinking(reply).strip()
