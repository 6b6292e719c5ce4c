"""Families of tasks: finite spaces of prompts, each task made from its position alone."""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import chain
from random import Random
from typing import Any, TypeAlias

from effortwise.task import Task

PARTITIONS = 4

PEOPLE = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Hugo", "Irene", "Jack", "Kate", "Leo")
CITIES = ("Oslo", "Lima", "Boston", "Cairo", "Dublin", "Kyoto", "Lagos", "Madrid", "Quito", "Sydney")
THINGS = ("apples", "books", "coins", "eggs", "pencils", "stamps", "marbles", "cards")
REVIEWED = ("The food", "The film", "This hotel", "The service", "This book", "The concert", "The trip")


@dataclass(frozen=True, slots=True)
class Draft:
    """What a family says of one position. check: ``None`` compares the final answer with the reference."""

    prompt: str
    reference: str
    difficulty: int = 1
    check: Mapping[str, Any] | None = None
    verifier: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """A space of ``size`` tasks, cut into ``PARTITIONS`` fixed parts."""

    name: str
    domain: str
    size: int
    draft: Callable[[int], Draft]

    def task(self, position: int) -> Task:
        """The task at a position in [0, size)."""
        made = self.draft(position)
        check = made.check or {"type": "exact", "reference": made.reference}
        return Task(
            id=f"{self.name}-{position}",
            family=self.name,
            domain=self.domain,
            difficulty=made.difficulty,
            prompt=made.prompt,
            reference=made.reference,
            check=check,
            verifier=made.verifier,
        )

    def tasks(self, seed: int) -> Iterator[Task]:
        """Every task once: the seed's own part of the space, then the rest, in an order of the seed."""
        order = Random(f"{self.name} {seed}").sample(range(self.size), self.size)
        own = [at for at in order if self._part(at) == seed % PARTITIONS]
        rest = (at for at in order if self._part(at) != seed % PARTITIONS)
        return map(self.task, chain(own, rest))

    def _part(self, position: int) -> int:
        return zlib.crc32(f"{self.name} {position}".encode()) % PARTITIONS


def _digits(position: int, *radices: int) -> tuple[int, ...]:
    """The position in a mixed radix, least significant digit first."""
    digits = []
    for radix in radices:
        position, digit = divmod(position, radix)
        digits.append(digit)
    return tuple(digits)


@cache
def _rows(name: str) -> tuple[tuple[str, ...], ...]:
    """The rows of a shipped CSV file, without its header."""
    text = files("effortwise").joinpath("data", name).read_text(encoding="utf-8")
    return tuple(tuple(row) for row in csv.reader(text.splitlines()))[1:]


@cache
def _words() -> tuple[str, ...]:
    return tuple(files("effortwise").joinpath("data", "words.txt").read_text(encoding="utf-8").split())


_SUM_WORDINGS = (
    "What is {} + {}? Reply with the number only.",
    "Compute {} + {}. Reply with the number only.",
    "Add {} and {}. Reply with the number only.",
)


def _sum(first: int, second: int, wording: int, difficulty: int) -> Draft:
    return Draft(_SUM_WORDINGS[wording].format(first, second), str(first + second), difficulty)


def _one_digit_sum(position: int) -> Draft:
    first, second, wording = _digits(position, 9, 9, 3)
    return _sum(first + 1, second + 1, wording, 1 if first + second < 8 else 2)


def _two_digit_sum(position: int) -> Draft:
    first, second, wording = _digits(position, 90, 90, 3)
    carries = first % 10 + second % 10 >= 10
    return _sum(first + 10, second + 10, wording, 3 if carries else 2)


def _capital(position: int) -> Draft:
    row, wording = _digits(position, len(_rows("capitals.csv")), 2)
    country, capital, difficulty = _rows("capitals.csv")[row]
    asked = (f"What is the capital of {country}?", f"Which city is the capital of {country}?")[wording]
    return Draft(f"{asked} Reply with the name only.", capital, int(difficulty))


_Story: TypeAlias = tuple[str, Callable[[int, int], int], int]
_STORIES: tuple[_Story, ...] = (
    (
        "{who} has {a} {thing} and buys {b} more. How many {thing} does {who} have now?",
        lambda a, b: a + b,
        1,
    ),
    (
        "{who} has {a} {thing} and gives away {b}. How many {thing} are left?",
        lambda a, b: a - b,
        2,
    ),
    (
        "{who} has {b} boxes with {a} {thing} each. How many {thing} does {who} have?",
        lambda a, b: a * b,
        3,
    ),
)


def _word_problem(position: int) -> Draft:
    a, b, who, thing, story = _digits(position, 8, 5, len(PEOPLE), len(THINGS), len(_STORIES))
    text, solve, difficulty = _STORIES[story]
    asked = text.format(who=PEOPLE[who], thing=THINGS[thing], a=a + 7, b=b + 2)
    return Draft(f"{asked} Reply with the number only.", str(solve(a + 7, b + 2)), difficulty)


def _sentiment(position: int) -> Draft:
    row, reviewed = _digits(position, len(_rows("opinions.csv")), len(REVIEWED))
    opinion, sentiment, difficulty = _rows("opinions.csv")[row]
    review = f"{REVIEWED[reviewed]} {opinion}."
    asked = "Is the sentiment of this review positive or negative? Reply with one word."
    return Draft(f"{asked} Review: {review}", sentiment, int(difficulty))


def _extraction(position: int) -> Draft:
    who, city, age, keys = _digits(position, len(PEOPLE), len(CITIES), 60, 2)
    person = {"name": PEOPLE[who], "age": age + 20} | ({"city": CITIES[city]} if keys else {})
    named = '"name", "age" and "city"' if keys else '"name" and "age"'
    prompt = (
        f"Extract the facts as a JSON object with the keys {named}. "
        f"Text: {PEOPLE[who]} is {age + 20} years old and lives in {CITIES[city]}."
    )
    return Draft(
        prompt,
        json.dumps(person, sort_keys=True),
        1 + keys,
        _object_schema({key: {"const": value} for key, value in person.items()}, sound=True),
        _object_schema(
            {key: {"type": "integer" if key == "age" else "string"} for key in person}, sound=False
        ),
    )


def _object_schema(properties: Mapping[str, Any], sound: bool) -> Mapping[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "json_schema", "schema": schema, "sound": sound}


def _sentence(difficulty: int, *words: str) -> Draft:
    """The verifier is the check itself: a sentence of the words is all that is asked."""
    listed = ", ".join(words[:-1]) + " and " + words[-1]
    holds = "".join(rf"(?=.*\b{word}\b)" for word in words)
    verifier = {"type": "regex", "pattern": holds + ".{20,}", "ignore_case": True, "sound": True}
    prompt = f"Write one sentence that contains the words {listed}."
    return Draft(prompt, " ".join(words), difficulty, verifier, verifier)


def _two_words(position: int) -> Draft:
    first, step = _digits(position, len(_words()), len(_words()) - 1)
    return _sentence(1, *(_words()[at % len(_words())] for at in (first, first + step + 1)))


def _four_words(position: int) -> Draft:
    quarter = len(_words()) // 4
    picks = _digits(position, quarter, quarter, quarter, quarter)
    return _sentence(3, *(_words()[part * quarter + pick] for part, pick in enumerate(picks)))


def _larger(position: int) -> Draft:
    first, step, scale = _digits(position, 60, 59, 2)
    pair = [(first if at == 0 else (first + step + 1) % 60) + 20 for at in (0, 1)]
    shown = [str(number) if scale == 0 else f"{number // 10}.{number % 10}" for number in pair]
    prompt = f"Which number is larger, {shown[0]} or {shown[1]}? Reply with the number only."
    return Draft(prompt, shown[pair.index(max(pair))], 1 + scale)


@cache
def all_families() -> Mapping[str, Family]:
    """Every family by its name."""
    words = len(_words())
    families = (
        Family("one_digit_sum", "arithmetic", 9 * 9 * 3, _one_digit_sum),
        Family("two_digit_sum", "arithmetic", 90 * 90 * 3, _two_digit_sum),
        Family("capital", "geography", len(_rows("capitals.csv")) * 2, _capital),
        Family(
            "word_problem", "arithmetic", 8 * 5 * len(PEOPLE) * len(THINGS) * len(_STORIES), _word_problem
        ),
        Family("sentiment", "language", len(_rows("opinions.csv")) * len(REVIEWED), _sentiment),
        Family("extraction", "language", len(PEOPLE) * len(CITIES) * 60 * 2, _extraction),
        Family("two_words", "writing", words * (words - 1), _two_words),
        Family("four_words", "writing", (words // 4) ** 4, _four_words),
        Family("larger", "arithmetic", 60 * 59 * 2, _larger),
    )
    return {family.name: family for family in families}
