"""Verifiers: what all have in common, then each."""

from __future__ import annotations

import time

import pytest
from fakes import Said, Upstream, run_of
from hypothesis import given
from hypothesis import strategies as st

from router.call import Completion
from router.candidate import Candidate
from router.errors import InvalidQuery
from router.query import Query
from router.verifiers import VERIFIERS, Asking, make_verifier
from router.verifiers.regex import bounded_pattern

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
}
SAMPLES = {
    "exact": ({"reference": "12"}, "7 + 5 = 12", "13"),
    "numeric": ({"reference": 12}, "It is 12.0", "13"),
    "regex": ({"pattern": r"\b12\b"}, "The sum is 12.", "13"),
    "json_schema": ({"schema": PERSON}, 'Yes: {"name": "Ann", "age": 4}', '{"name": "Ann"}'),
    "choice": ({"reference": "B"}, "The answer is (B).", "C"),
    "symbolic": ({"claim": "answer - 5 == 7"}, "It is 12.0", "13"),
    "z3": ({"constraints": "(assert (= x (+ 7 5)))", "variables": {"x": "Int"}}, "x = 12", "13"),
    "judge": ({"model": "large"}, "7 + 5 = 12", "13"),
    "reward_model": ({"model": "large"}, "7 + 5 = 12", "13"),
}
"""For each verifier a specification, a reply that passes it and one that fails it."""

RUN_ELSEWHERE = {"unit_tests", "program_output"}
"""Verifiers that need more than a reply: each has tests of its own."""

SUM = "What is 7 + 5? Reply with the number only."


def candidate(text):
    return Candidate(Completion({"role": "assistant", "content": text}, "stop", 1, 1), None)


def rating(call, number):
    """A model that rates the right sum by 1, for a judge by 10, and anything else by 0."""
    right = "= 12" in call.messages[-1]["content"]
    best = "1" if call.purpose == "reward" else "10"
    return Said(best if right else "0", latency_s=0.0)


async def rule(specification, text, question=SUM, verifier=None):
    query = Query([{"role": "user", "content": question}])
    verifier = verifier or make_verifier(specification)
    run = run_of(Upstream(rating), query) if isinstance(verifier, Asking) else None
    return await verifier.verify(query, candidate(text), run)


@pytest.fixture(params=SAMPLES)
def sample(request):
    """A verifier's name with its sample."""
    return (request.param, *SAMPLES[request.param])


def test_every_registered_verifier_is_tested_here():
    """A verifier added as a file gets the common tests with its sample."""
    assert set(VERIFIERS.names()) >= set(SAMPLES)
    shipped = {name for name in VERIFIERS if VERIFIERS[name].__module__.startswith("router.")}
    assert shipped - RUN_ELSEWHERE == set(SAMPLES)


async def test_a_right_answer_passes_and_a_wrong_one_fails(sample):
    """The ruling follows the reply, the reward is the ruling as a number, the source is the name."""
    name, fields, right, wrong = sample
    good, bad = await rule({"type": name, **fields}, right), await rule({"type": name, **fields}, wrong)
    assert (good.ruling, good.reward, good.source) == ("pass", 1.0, name)
    assert (bad.ruling, bad.reward, bad.source) == ("fail", 0.0, name)


async def test_only_one_that_asks_models_costs(sample):
    """A verdict tells the calls that it took, as many as were announced; a check of its own is free."""
    name, fields, right, _ = sample
    verifier = make_verifier({"type": name, **fields})
    verdict = await rule(None, right, verifier=verifier)
    announced = sum(verifier.demand().values()) if isinstance(verifier, Asking) else 0
    assert verdict.usage.calls == announced
    assert (verdict.usage.cost_nano > 0) == (announced > 0)


async def test_an_empty_reply_never_passes(sample):
    """Where there is nothing to check, the verdict is unknown."""
    name, fields, _, _ = sample
    assert (await rule({"type": name, **fields}, "")).ruling == "unknown"


async def test_judging_twice_gives_the_same_verdict(sample):
    """A verifier keeps nothing of the candidates that it saw."""
    name, fields, right, wrong = sample
    verifier = make_verifier({"type": name, **fields})
    first = await rule(None, right, verifier=verifier)
    await rule(None, wrong, verifier=verifier)
    assert await rule(None, right, verifier=verifier) == first


def test_an_unknown_field_is_the_callers_mistake(sample):
    """A misspelt option is refused and not ignored."""
    name, fields, _, _ = sample
    with pytest.raises(InvalidQuery, match="colour"):
        make_verifier({"type": name, **fields, "colour": "red"})


def test_a_missing_field_is_the_callers_mistake(sample):
    """A specification without what the verifier needs is refused."""
    with pytest.raises(InvalidQuery):
        make_verifier({"type": sample[0]})


def test_every_verifier_says_what_it_does(sample):
    """Its summary is one line for the listing."""
    assert 10 < len(VERIFIERS[sample[0]].summary) < 80


@given(text=st.text(max_size=200))
@pytest.mark.parametrize("name", ["exact", "regex", "json_schema", "choice", "judge"])
async def test_no_text_breaks_a_verifier(name, text):
    """Whatever a model writes, there is a verdict."""
    assert (await rule({"type": name, **SAMPLES[name][0]}, text)).ruling in ("pass", "fail", "unknown")


@pytest.mark.parametrize(
    "specification",
    [
        {"type": "exact", "reference": ""},
        {"type": "exact", "reference": None},
        {"type": "exact", "reference": 12},
        {"type": "numeric", "reference": True},
        {"type": "numeric", "reference": None},
        {"type": "numeric", "reference": "9^{9^{9^9}}"},
        {"type": "numeric", "reference": 1, "tolerance": -1},
        {"type": "numeric", "reference": 1, "tolerance": "wide"},
        {"type": "regex", "pattern": "("},
        {"type": "regex", "pattern": ""},
        {"type": "regex", "pattern": 7},
        {"type": "regex", "pattern": "(a+)+$"},
        {"type": "regex", "pattern": "a" * 1001},
        {"type": "regex", "pattern": "a", "match": "somewhere"},
        {"type": "regex", "pattern": "a", "of": "prompt"},
        {"type": "json_schema", "schema": "object"},
        {"type": "json_schema", "schema": {"type": "bogus"}},
        {"type": "json_schema", "schema": {"properties": {"a": {"pattern": "(a|aa)*$"}}}},
        {"type": "json_schema", "schema": {"patternProperties": {"(": {}}}},
        {"type": "choice", "reference": " "},
        {"type": "choice", "reference": 2},
        {"type": "judge", "model": ""},
        {"type": "judge", "model": "large", "rubric": ""},
        {"type": "judge", "model": "large", "reference": 5},
        {"type": "judge", "model": "large", "pass_at": 0},
        {"type": "reward_model", "model": 1},
        {"type": "reward_model", "model": "large", "pass_at": "high"},
        {"type": "judge_nobody_knows"},
        {},
    ],
)
def test_a_wrong_specification_is_the_callers_mistake(specification):
    """What no verifier can be made from is refused when the request comes in."""
    with pytest.raises(InvalidQuery):
        make_verifier(specification)


async def test_a_known_answer_is_sound():
    """A pass against a known answer means that the answer is right."""
    assert (await rule({"type": "exact", "reference": "12"}, "12")).sound
    assert (await rule({"type": "numeric", "reference": 12}, "12")).sound
    assert (await rule({"type": "choice", "reference": "B"}, "B")).sound


@pytest.mark.parametrize("name", ["judge", "reward_model"])
async def test_an_opinion_is_never_sound(name):
    """However sure a model is of an answer, it may be wrong."""
    fields, right, _ = SAMPLES[name]
    assert not (await rule({"type": name, **fields}, right)).sound


@pytest.mark.parametrize("name", ["regex", "json_schema", "symbolic", "z3"])
async def test_a_form_is_sound_only_where_the_caller_says_so(name):
    """Being well-formed is not being right, unless the caller says that it is all there is."""
    fields, right, _ = SAMPLES[name]
    assert not (await rule({"type": name, **fields}, right)).sound
    assert (await rule({"type": name, **fields, "sound": True}, right)).sound


async def test_exact_compares_case_where_told():
    """Case is form by default."""
    question = "Which word?"
    assert (await rule({"type": "exact", "reference": "Paris"}, "paris", question)).ruling == "pass"
    strict = {"type": "exact", "reference": "Paris", "casefold": False}
    assert (await rule(strict, "paris", question)).ruling == "fail"
    assert (await rule(strict, "**Paris**.", question)).ruling == "pass"


@pytest.mark.parametrize(
    ("reference", "tolerance", "reply", "ruling"),
    [
        (1000, 0, "1,000.00", "pass"),
        (3.14, 0.01, "3.1416", "pass"),
        (3.14, 0.001, "3.1416", "fail"),
        (0.5, 0, "50%", "pass"),
        ("1/2", 0, "\\boxed{\\frac{2}{4}}", "pass"),
        ("\\sqrt{2}", 0, "\\boxed{2^{1/2}}", "pass"),
        ("1/3", 0.01, "0.33", "pass"),
        ("1/2", 0, "\\boxed{\\frac{1}{3}}", "fail"),
        (12, 0, "I would rather not say", "unknown"),
        (12, 0, "\\boxed{9^{9^{9^{9}}}}", "unknown"),
        (12, 0, "\\boxed{99999! + 1}", "unknown"),
    ],
)
async def test_numeric_compares_values(reference, tolerance, reply, ruling):
    """Notation does not matter, the tolerance is absolute, and what could run for ever is unknown."""
    specification = {"type": "numeric", "reference": reference, "tolerance": tolerance}
    assert (await rule(specification, reply, "Solve it.")).ruling == ruling


async def test_regex_searches_or_matches_the_whole():
    """By default the pattern may stand anywhere in the answer."""
    assert (await rule({"type": "regex", "pattern": "1"}, "12")).ruling == "pass"
    assert (await rule({"type": "regex", "pattern": "1", "match": "whole"}, "12")).ruling == "fail"
    assert (
        await rule({"type": "regex", "pattern": "A", "ignore_case": True}, "a", "Say a.")
    ).ruling == "pass"


async def test_regex_sees_the_answer_and_not_the_reasoning():
    """Words of the reasoning do not count unless the whole text is asked for."""
    reply = "I must use river and lantern.\nAnswer: I cannot."
    specification = {"type": "regex", "pattern": "river"}
    assert (await rule(specification, reply, "Write.")).ruling == "fail"
    assert (await rule({**specification, "of": "text"}, reply, "Write.")).ruling == "pass"


@pytest.mark.parametrize(
    "pattern",
    [
        *("(a+)+$", "(a*)*b", "(?:a|aa)+$", "((a+)b?)*c", "(a?){40}a{40}", r"(\w+\s?)*x", "([a-z]+){2,}"),
        *("a?" * 40 + "a" * 40, "(a|a)" * 40, "a*" * 12 + "b", "(?x)(a+) +$", "(?=(a+)+$)b", "(a+){20}"),
        *("(a?){100000}", "a{1,99999999999}", "(?#[)(a+)+b(?#])", "(?#()" + "a*" * 12 + "b"),
        *("(?:(?=[^y]*y)a)*b", r"(a*)\1*b"),
    ],
)
def test_patterns_that_could_take_for_ever_are_refused(pattern):
    """Exponential patterns and high powers are the caller's mistake, found before any text is seen."""
    with pytest.raises(InvalidQuery):
        bounded_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(?=.*\bred\b)(?=.*\bsea\b).{20,}", "the sea was as red as the evening"),
        (r"^\d{3}-\d{4}$", "555-1234"),
        (r"^(?:\d{1,3}\.){3}\d{1,3}$", "192.168.100.200"),
        (r"(?:ab)+", "abab"),
        (r"[(+*]+", "(+*"),
        (r"\(\+\)+", "(+)"),
        (r"^(?:red|green|blue|black|white|yellow)$", "green"),
        (r"colou?r", "the color"),
        (r"a{,2}b{2}c{1,}?", "abbcc"),
        (r"(?P<year>\d{4})-(?P<month>\d\d)", "2026-11"),
        (r"(?i:yes)", "YES"),
        ("{}", "{}"),
        ("(?#a comment: ([)year", "the year"),
        (r"(\w)\1", "moon"),
    ],
)
async def test_ordinary_patterns_are_taken(pattern, text):
    """The bound looks at structure, not at signs within classes or behind a backslash."""
    assert (await rule({"type": "regex", "pattern": pattern, "of": "text"}, text)).ruling == "pass"


@pytest.mark.parametrize(
    "pattern",
    [
        *(".*x", ".*.*x", ".*.*.*x", r"(?=.*a)(?=.*b).*x", "a?" * 6 + "a*a*x", "(?#()a*a*b", "a*(?=[^y]*y)b"),
        *("(?:a*|b)(?![^y]*z)b", r"(a*)\1b", "(?=a*(?=a*y))b", "(?P<q>a)?(?(q)a*|b*)x"),
    ],
)
async def test_the_longest_text_a_pattern_may_see_takes_bounded_time(pattern):
    """Backtracking over the longest admitted text ends within seconds, a longer one is unknown."""
    longest = bounded_pattern(pattern).max_characters
    specification = {"type": "regex", "pattern": pattern, "of": "text"}
    began = time.perf_counter()
    assert (await rule(specification, "a" * longest)).ruling == "fail"
    assert time.perf_counter() - began < 3
    assert (await rule(specification, "a" * (longest + 1))).ruling == "unknown"


async def test_json_stands_alone_where_chat_is_not_allowed():
    """Prose around the JSON passes by default and fails where the whole reply must be JSON."""
    reply = 'Here you are:\n```json\n{"name": "Ann", "age": 4}\n```'
    assert (await rule({"type": "json_schema", "schema": PERSON}, reply)).ruling == "pass"
    assert (await rule({"type": "json_schema", "schema": PERSON, "chatty": False}, reply)).ruling == "fail"


async def test_a_schemas_patterns_bound_the_reply():
    """A pattern in a schema sees no longer text than the same pattern alone might."""
    specification = {"type": "json_schema", "schema": {"properties": {"a": {"pattern": ".*.*x"}}}}
    assert (await rule(specification, '{"a": "xx"}')).ruling == "pass"
    assert (await rule(specification, '{"a": "' + "a" * 1000 + '"}')).ruling == "unknown"


async def test_a_schema_that_cannot_be_applied_is_unknown():
    """References to other documents are never fetched: the verdict is unknown."""
    specification = {"type": "json_schema", "schema": {"$ref": "http://127.0.0.1:1/schema.json"}}
    assert (await rule(specification, "{}")).ruling == "unknown"
