"""Domains: a conformance suite over the registry, how queries are recognised, and what is bound to them."""

from __future__ import annotations

import json
import re
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_process import ask, serving, tables

from effortwise.cli import main
from router.answers import extract_answer, normalise
from router.configuration import parse_configuration
from router.configured import configured_menu
from router.domains import DOMAINS, EARNED, bound, default_menu, domain_of, known_domains
from router.errors import ConfigurationError, InvalidQuery
from router.feasibility import lack
from router.query import Query, Wishes
from router.verifiers import VERIFIERS, make_verifier
from serving.request_wire import parse_chat

NUMBER = {"type": "regex", "pattern": "[0-9]+", "match": "whole"}
CHOICES = "Which gas do plants take in?\nA) Oxygen\nB) Carbon dioxide"
FUNCTION = 'def longest(words: list[str]) -> str:\n    """The longest of the words."""\n'
BODY = "def longest(words):\n    return max(words, key=len)"
LONG = (
    "In November, a toy was forty dollars. In December, the shop wrote to its customers that it would close, "
    "and then it sold the rest of the toys to a friend. Tell me the story of the shop from the view of the "
    "toy, in the style of a letter to a child who lives by the sea and has never seen a shop of this kind."
)


def query(text, domain=None, verifier=None, **parameters):
    """A query of one message."""
    wishes = Wishes(domain=domain, verifier=verifier)
    return Query([{"role": "user", "content": text}], parameters=parameters, wishes=wishes)


@pytest.fixture(params=DOMAINS.names())
def domain(request):
    """Every registered domain."""
    return DOMAINS[request.param]()


def test_a_domain_says_what_it_is(domain):
    """It has its own name, a line about it, and verifiers that exist."""
    assert DOMAINS[domain.name] is type(domain)
    assert domain.summary
    assert [name for name in domain.verifiers if name not in VERIFIERS] == []


def test_the_default_menu_is_a_menu(domain, tmp_path):
    """For any model's name, the entries load as a configuration's menu whose arms differ."""
    values = tables(tmp_path, menu=default_menu(domain, "small"))
    del values["decision"]
    menu = configured_menu(parse_configuration(values))
    assert len(menu) >= 2
    assert "small/direct" in menu
    assert set(menu.models) == {"small"}


@given(question=st.text(max_size=200), reply=st.text(max_size=300))
def test_no_text_is_too_strange(question, reply):
    """Whatever is asked and answered, each domain recognises or not, and reads an answer or none."""
    for domain in known_domains().values():
        assert domain.matches(query(question)) in (True, False)
        answer = domain.extract(query(question, domain.name), reply.strip())
        assert answer is None or answer.strip()


def test_an_empty_reply_holds_no_answer(domain):
    """Nothing is extracted from nothing, whoever reads it."""
    assert extract_answer(query("How many?", domain.name), " \n") is None


@pytest.mark.parametrize(
    "text", ["```\n" * 5000, "def " * 5000, "write " * 4000, "$" * 20_000, "not " * 5000]
)
def test_hostile_text_is_read_quickly(domain, text):
    """Text made to be slow to read costs a fraction of a second, as question and as reply."""
    began = time.perf_counter()
    domain.matches(query(text))
    domain.extract(query("Write a function.", domain.name), text)
    assert time.perf_counter() - began < 0.5


def test_recognising_takes_some_microseconds(domain):
    """A prompt of 300 characters costs a domain well under 50 us (best of twenty)."""
    asked = query(LONG[:300])

    def once():
        began = time.perf_counter()
        for _ in range(100):
            domain.matches(asked)
        return (time.perf_counter() - began) / 100

    assert min(once() for _ in range(20)) < 50e-6


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("What is 17 + 25?", "mathematics"),
        ("Tom has 3 apples and buys 4 more. How many apples does he have?", "mathematics"),
        ("Solve $x^2 = 16$ for x > 0.", "mathematics"),
        ("Find all primes below 30.", "mathematics"),
        (CHOICES, "multiple_choice"),
        ("Write a Python function that reverses a list.", "code"),
        ("Fix the bug in this program:\n```\nprint(x\n```", "code"),
        (FUNCTION, "code"),
        ("Zoey and Riley are each a knight or a knave. Zoey says that Riley lies. Who is who?", "logic"),
        ("All cats are animals. Tom is a cat. Is the conclusion that Tom is an animal valid?", "logic"),
        ('Extract the facts as a JSON object with the keys "name" and "age".', "extraction"),
        ("Which cities are named? Reply in JSON.", "extraction"),
        (LONG, "chat"),
        ("Write one sentence that contains the words code and river.", "chat"),
        ("What does this code print?", "chat"),
        ("What is JSON?", "chat"),
        ("", "chat"),
    ],
)
def test_a_query_is_recognised_by_its_text(text, name):
    """What a person would call it is what it is taken for."""
    assert domain_of(query(text)).name == name


def test_a_format_or_a_schema_makes_it_extraction():
    """Whatever the text is about, a request for JSON is one for structured facts."""
    assert domain_of(query("How many?", response_format={"type": "json_object"})).name == "extraction"
    schema = {"type": "json_schema", "schema": {}}
    assert domain_of(query("Write a Python function.", verifier=schema)).name == "extraction"


def test_the_callers_word_counts_more_than_the_text():
    """A named domain is not questioned; one that does not exist names those that do."""
    assert domain_of(query("What is 2 + 2?", "chat")).name == "chat"
    with pytest.raises(InvalidQuery, match=r"Unknown domain 'maths'.*code.*mathematics.*chat") as error:
        domain_of(query("What is 2 + 2?", "maths"))
    assert error.value.param == "effortwise.domain"


@pytest.mark.parametrize(
    ("asked", "reply", "answer"),
    [
        (query("Write a function."), f"So:\n```python\n{BODY}\n```\nDone.", BODY),
        (query("Write a function."), "```\ndef f(): ...\n```\nUse it:\n```\nf()\n```", "def f(): ..."),
        (query("Write a function."), "```\ndef f(): ...\n```\nOr:\n```\ndef g(): ...\n```", "def g(): ..."),
        (query("Write a script."), "```\nls\n```\nor\n```\nls -l\n```", "ls -l"),
        (query("Write a function."), "```python\ndef f():\n    ret", "def f():\n    ret"),
        (query(FUNCTION), BODY, BODY),
        (query("Write a function."), "I cannot.", "I cannot."),
        (query(CHOICES), "\\boxed{B. Carbon dioxide}", "B"),
        (query(CHOICES), "I think that it is (B).", "B"),
        (query("Which one?", "multiple_choice"), "The answer is C, since it rains.", "C"),
        (query("Is the argument valid?", "logic"), "Yes, because all cats are animals.", "Yes"),
        (query("Is the argument valid?", "logic"), "No one can tell.", "No one can tell."),
        (query("Name and age?", "extraction"), 'Here: {"b": 1,\n "a": 2}', '{"a":2,"b":1}'),
        (query("Name and age?", "extraction"), "I do not know.", None),
        (query("Who? Reply in JSON."), '{\n "name": "Leo"\n}', '{"name":"Leo"}'),
        (query("How old? Reply in JSON."), '{"reason": "born 1990", "answer": "30"}', "30"),
        (query("Who? Reply in JSON."), "Leo", "Leo"),
    ],
)  # fmt: skip
def test_a_domain_reads_its_own_kind_of_answer(asked, reply, answer):
    """Code is the last block that defines something, a choice its letter, a truth value stands alone."""
    assert extract_answer(asked, reply) == answer


@pytest.mark.parametrize(
    "forms",
    [
        ["0.5", "1/2", "\\frac{1}{2}", "$\\frac{1}{2}$", "\\dfrac12", "2 / 4", "+3/6", ".50"],
        ["-0.25", "-1/4", "-\\frac{1}{4}", "\\frac{-1}{4}", "-\\tfrac{2}{8}"],
        ["1/3", "2/6", "\\frac{3}{9}"],
        ["7", "14/2", "\\frac{7}{1}"],
        ["0", "0/5", "-0/3"],
    ],
)
def test_forms_of_one_fraction_are_equal(forms):
    """Equal rationals vote together, however they are written."""
    assert len({normalise(form) for form in forms}) == 1


@pytest.mark.parametrize("text", ["1/0", "\\frac{1}{0}", "1/2/3", "a/b", "9/11/2001", "\\frac{x}{2}"])
def test_what_is_no_fraction_stays_as_it_is(text):
    """Nothing is divided by zero, and a date is no number."""
    assert normalise(text) == text


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**6), st.integers(1, 99))
def test_fractions_are_equal_where_their_values_are(above, below, factor):
    """Expanding a fraction changes nothing; the form is idempotent, and exact where it is a decimal."""
    plain = normalise(f"{above}/{below}")
    assert normalise(f"{above * factor}/{below * factor}") == plain
    assert normalise(f"\\frac{{{above}}}{{{below}}}") == normalise(plain) == plain
    assert (normalise(f"{above}/{below}") == normalise(f"{above + 1}/{below}")) is False


def test_a_bound_verifier_is_the_querys_own():
    """It serves a query that brings none, of its domain only; without bindings nothing is looked at."""
    bindings = {"mathematics": NUMBER}
    arms = configured_menu(parse_configuration(tables(Path("unused"))))
    asked = query("What is 2 + 2?")
    assert lack(asked, arms["small/best_of_n@4"]) is not None
    assert lack(bound(asked, bindings), arms["small/best_of_n@4"]) is None
    assert bound(asked, bindings).wishes.verifier == NUMBER
    assert bound(asked, {}) is asked
    assert bound(query("Hello!"), bindings).wishes.verifier is None
    assert bound(query("Hello!", "mathematics"), bindings).wishes.verifier == NUMBER
    own = {"type": "exact", "reference": "4"}
    assert bound(query("What is 2 + 2?", verifier=own), bindings).wishes.verifier == own


@pytest.mark.parametrize(
    ("domains", "told"),
    [
        ({"maths": {"verifier": NUMBER}}, r"domains\.maths: no such domain; known: chat, code"),
        ({"code": {"verifier": {"type": "none"}}}, r"domains\.code\.verifier: Unknown verifier type 'none'"),
        ({"code": {"verifier": {"type": "regex"}}}, r"domains\.code\.verifier: .*regex"),
        ({"code": {"judge": "small"}}, r"unknown key 'domains\.code\.judge' \(known: verifier\)"),
    ],
)
def test_a_wrong_binding_is_told_at_the_start(tmp_path, domains, told):
    """The key is named, with what is known."""
    with pytest.raises(ConfigurationError, match=told):
        parse_configuration(tables(tmp_path, domains=domains))


def test_a_wrong_domain_is_a_400():
    """The wire names the known ones; a right one becomes a wish."""
    body = {**ask("hello"), "effortwise": {"domain": "poetry"}}
    with pytest.raises(InvalidQuery, match=r"Known: .*chat") as error:
        parse_chat(json.dumps(body).encode(), account="default", max_choices=1)
    assert error.value.param == "effortwise.domain"
    body["effortwise"] = {"domain": "logic"}
    parsed = parse_chat(json.dumps(body).encode(), account="default", max_choices=1)
    assert parsed.query.wishes.domain == "logic"


async def test_a_served_query_is_judged_by_what_is_bound(tmp_path):
    """The binding opens the arm that needs a verifier, and its verdict is on the trace; the decision card
    agrees; other domains stay without."""
    rules = [{"match": "2 \\+ 2", "reply": "4"}]
    async with serving(tables(tmp_path, rules, domains={"mathematics": {"verifier": NUMBER}})) as live:
        arm = "small/best_of_n@4"
        reply = await live.chat("What is 2 + 2?", model=arm)
        assert reply.status_code == 200, reply.text
        assert reply.json()["usage"]["completion_tokens"] == 1  # the first pass ended the draws
        trace = await live.trace(reply.headers["x-effortwise-trace-id"])
        assert [(o["source"], o["reward"]) for o in trace["outcomes"]] == [("verifier:regex", 1.0)]
        card = await live.card("What is 2 + 2?")
        assert {entry["arm"]: entry["excluded"] for entry in card["arms"]}[arm] is None
        assert (await live.chat("Hello!", model=arm)).status_code == 400
        named = await live.chat("Hello!", model=arm, effortwise={"domain": "mathematics"})
        assert named.status_code == 200


@pytest.mark.parametrize("name", DOMAINS.names())
def test_a_printed_menu_loads(name, tmp_path, capsys, monkeypatch):
    """``effortwise menu`` prints TOML that is a menu, of what was measured to pay; without the comment signs
    it is the whole default menu."""
    monkeypatch.setattr("sys.argv", ["effortwise", "menu", name, "--model", "small"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    text = capsys.readouterr().out
    whole = json.loads(json.dumps(default_menu(DOMAINS[name](), "small")))
    printed = tomllib.loads(text)
    assert printed["menu"] == [entry for entry in whole if entry["strategy"] in EARNED]
    bare = re.sub(r"^# (?=\[\[menu\]\]$|\w+ = )", "", text, flags=re.MULTILINE)
    assert tomllib.loads(bare)["menu"] == whole
    values = tables(tmp_path, menu=printed["menu"])
    del values["decision"]
    assert "small/direct" in configured_menu(parse_configuration(values))


def test_the_page_shows_every_default_menu(tmp_path):
    """The row of a domain names its verifiers and the arms of its menu, in order."""
    page = (Path(__file__).parent.parent / "docs" / "domains.md").read_text()
    for domain in known_domains().values():
        values = tables(tmp_path, menu=default_menu(domain, "small"))
        del values["decision"]
        arms = configured_menu(parse_configuration(values)).ids
        verifiers, menu = (", ".join(f"`{name}`" for name in names) for names in (domain.verifiers, arms))
        assert f"| `{domain.name}` | {verifiers} | {menu} |" in page


def test_specifications_in_the_documents_are_right():
    """The binding that the example shows makes a verifier."""
    root = Path(__file__).parent.parent
    example = tomllib.loads((root / "config" / "example.toml").read_text())
    assert [make_verifier(section["verifier"]) for section in example["domains"].values()]
