"""Behaviour: programs agree where they do the same, whatever they look like."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from fakes import Said, Upstream, ask, run_of
from fakes_learning import candidate
from sandboxes import best_sandbox

from router.behaviour import Behaviour, Conduct, Likeness, Pair
from router.candidate import in_one_form
from router.code_answers import fenced_blocks, python_blocks
from router.confidence.consensus import Consensus
from router.errors import SandboxError
from router.price import Price
from router.prospect import Prospect
from router.query import Query
from router.sandbox import DEFAULT_LIMITS, Ending, Limits, Program, Ran, Sandbox, Scripted
from router.strategies import Strategy
from router.strategies.any_time import AnyTime
from router.strategies.cascade import Cascade, Stage
from router.strategies.direct import Direct
from router.strategies.self_consistency import SelfConsistency
from training.likeness import Remembered

QUESTION = "Write a Python function that tells whether a tuple holds no duplicates."
BY_SET = """def unique(t):
    return len(t) == len(set(t))

print(unique((1, 2, 2)))
print(unique((1, 2)))"""
BY_LOOP = """def no_duplicates(items):
    seen = []
    for item in items:
        if item in seen:
            return False
        seen.append(item)
    return True"""
INVERTED = """def check(t):
    return len(t) != len(set(t))

assert check((1, 1))"""


def reply(*blocks: str) -> str:
    """As models answer: a few words around the code."""
    return "Here you are:\n" + "\nFor example:\n".join(f"```python\n{block}\n```" for block in blocks)


def alike(*replies: str, question: str = QUESTION, sandbox: Sandbox | None = None) -> Sequence[Pair]:
    behaviour = Behaviour(sandbox or best_sandbox())
    return asyncio.run(behaviour.alike(ask(question), replies))


def test_programs_that_do_the_same_are_alike_whatever_their_names_and_ways() -> None:
    """One is run on what the other's examples call it with; one that does the opposite is like neither."""
    assert alike(reply(BY_SET), reply(BY_LOOP), reply(INVERTED)) == [(0, 1)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(a):\n    return [a, a]\nf(3)", "def g(a):\n    return (a, a)"),
        ("def f(a):\n    return {1, a}\nf(3)", "def g(a):\n    return {a, 1}"),
        ("def f(a):\n    return a / 3\nf(1)", "def g(a):\n    return a * (1 / 3)"),
        ("def f(a):\n    a.sort()\nf([3, 1])", "def g(a):\n    a[:] = sorted(a)"),
        ("def f(a):\n    return list(set(a))\nf(['x', 'y', 'z'])", "def g(b):\n    return list(set(b))"),
        ("def f(n):\n    return (i for i in range(n))\nf(3)", "def g(n):\n    return list(range(n))"),
        ("def f(a):\n    return a + 1\nif __name__ == '__main__':\n    f(a=2)", "def g(a): return 1 + a"),
        ("def f(a):\n    '''\n    >>> f(2)\n    3\n    '''\n    return a + 1", "def g(a):\n    return 1 + a"),
        (">>> def f(a):\n...     return a + 1\n>>> f(2)\n3", "def g(a):\n    return 1 + a"),
        ("def h(a):\n    return a + 1\ndef f(a):\n    return h(a)\nf(2)", "def g(a):\n    return 1 + a"),
        ("ONE = 1\ndef f(a):\n    return a + ONE\nf(2)", "import math\ndef g(a): return math.floor(a + 1.5)"),
        ("def f(a):\n    return a + 1\nf(2)\nf([", "def g(a):\n    return 1 + a"),
        ("def f(a):\n    print(a + 1)\nf(2)", "def g(a):\n    print(1 + a)"),
        ("def f(a):\n    return 1e9 * a\nf(2)", "def g(a):\n    return a * 10**9"),
        ("from decimal import Decimal\ndef f(a):\n    return Decimal(a) / 4\nf('3')",
         "import decimal\ndef g(a):\n    return decimal.Decimal(a) * decimal.Decimal('0.25')"),
        ("T = []\nfor i in range(4):\n    T.append(i * i)\ndef f(a):\n    return T[a]\nf(3)",
         "def g(a): return a * a"),
        ("def h():\n    return [0, 1, 4, 9]\nT = h()\ndef f(a):\n    return T[a]\nprint(f(3))",
         "def g(a): return a * a"),
        ("try:\n    from math import prod\nexcept ImportError:\n    prod = None\n"
         "def f(a):\n    return prod(a)\nf([2, 3])",
         "def g(a): return a[0] * a[1]"),
        ("def f(s, p=''):\n    return [p] if not s else f(s[1:], p + s[0])\nf('ab')", "def g(s): return [s]"),
        ("def f(a):\n    return a + 1\ndef test():\n    assert f(2) == 3\ntest()", "def g(a): return 1 + a"),
        ("def f(a):\n    return a + 1\nr = f(2)\nprint(r)", "def g(a): return 1 + a"),
    ],
    ids=["sequence", "set", "float", "in place", "order of a set", "iterator", "main", "docstring", "session",
         "helper", "constant", "cut off", "printed", "large", "decimal", "loop", "table", "try", "recursion",
         "own test", "assigned"],
)  # fmt: skip
def test_what_a_caller_takes_for_the_same_is_the_same(one: str, other: str) -> None:
    """Also where the example stands in a docstring, a session or a main part, or the reply was cut off."""
    assert alike(reply(one), reply(other)) == [(0, 1)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("def f(a):\n    return a + 1\nf(2)", "def g(a):\n    return a + 2"),
        ("def f(a):\n    return a\nf(2)", "def g(a, b):\n    return a"),
        ("def f(a):\n    return a + 1\nf(2)", "x = 3"),
        ("def f(a):\n    return a + 1", "def g(a):\n    return a + 1"),
        ("def f(a):\n    raise ValueError\nf(2)", "def g(a):\n    raise ValueError"),
        ("def f(a):\n    return a + 1\nf(2)", "import os\ndef g(a):\n    os._exit(0)"),
        ("def f(a):\n    return a + 1\nf(2)", "def g(a):\n    while True:\n        pass"),
        ("def f(a):\n    return a + 1\nf(2)", "def g(a:\n    return"),
        ("def main():\n    print(2 + 3)\nmain()", "def main():\n    print('hello')\nmain()"),
        ("def f(a):\n    pass\nf(2)", "def g(a):\n    pass"),
        ("def f(a):\n    return lambda b: a + b\nf(2)", "def g(a):\n    return lambda b: a - b"),
        ("import datetime as d\ndef f(a):\n    return d.date(a, 4, 1)\nf(2024)",
         "import datetime as d\ndef g(a):\n    return d.date(a, 3, 31)"),
        ("def f(a):\n    return range(a)\nf(1000)\nf(2000)", "def g(a):\n    return range(1000)"),
        ("def f(a):\n    return 1 if a < 2 else a * f(a - 1)\nf(20)\nf(0)",
         "def g(a):\n    r = a\n    for i in range(1, a):\n        r *= i\n    return r"),
        ("def f(a):\n    return a + 1\nf(2)",
         "def g(a):\n    while True:\n        try:\n            a += 1\n"
         "        except BaseException:\n            return 3"),
    ],
    ids=["another", "arity", "no function", "no example", "both fail", "exits", "endless", "no Python",
         "prints", "nothing", "closures", "dates", "lengths", "at zero", "steps caught"],
)  # fmt: skip
def test_what_differs_fails_or_was_never_run_is_not_alike(one: str, other: str) -> None:
    """No agreement where nothing shows it."""
    assert alike(reply(one), reply(other)) == []


def test_the_question_s_own_examples_are_run() -> None:
    """Where no reply holds any."""
    question = f"{QUESTION}\n>>> unique((1, 1))\nFalse"
    code = BY_SET.partition("\n\n")[0]
    assert alike(reply(code), reply(BY_LOOP)) == []
    assert alike(reply(code), reply(BY_LOOP), question=question) == [(0, 1)]


def test_other_questions_are_not_run() -> None:
    """Only where code is asked for is code what is compared."""
    sandbox = Scripted()
    assert alike(reply(BY_SET), reply(BY_LOOP), question="What is 2 + 3?", sandbox=sandbox) == ()
    assert alike(reply(BY_SET), reply(BY_SET), sandbox=sandbox) == ()
    assert alike("I cannot.", reply(BY_SET), sandbox=sandbox) == ()
    assert not sandbox.seen


def test_a_sandbox_that_fails_tells_nothing() -> None:
    """The answers are compared by their letters then."""
    sandbox = Scripted(error=SandboxError("gone"))
    assert alike(reply(BY_SET), reply(BY_LOOP), sandbox=sandbox) == []


def test_the_program_cannot_report_for_itself() -> None:
    """Its prints lead nowhere, and the mark is not to be found."""
    forger = 'def g(a):\n    print(\'\\n{"input": "(2,)", "output": "3"}\')\n    return 0'
    assert alike(reply("def f(a):\n    return a + 1\nf(2)"), reply(forger)) == []


FORGED = """import sys, os, json
def g(a):
    frame = sys._getframe()
    while frame:
        for report in frame.f_locals.values():
            if getattr(report, '__name__', '') == 'report':
                report({told})
                os._exit(0)
        frame = frame.f_back
g(2)"""


@pytest.mark.parametrize(
    "told", ["3", "[]", "{}", "{'number': 'x', 'output': 3}", "{'inputs': 7, 'function': 'g'}"]
)
def test_a_forged_report_fails_no_request(told: str) -> None:
    """It may deceive; it never breaks what reads it."""
    assert alike(reply("def f(a):\n    return a + 1\nf(2)"), reply(FORGED.replace("{told}", told))) == []


def test_one_program_that_ends_badly_leaves_the_others_comparable() -> None:
    """Too much to report, or processes of its own."""
    large = "def f(t):\n    return t\n" + "".join(f"f(('{chr(0x4E00 + i) * 1900}',))\n" for i in range(8))
    forks = "import os\ndef g(t):\n    while os.fork():\n        pass\n    return t\ng((1, 1))"
    assert (0, 1) in alike(reply(BY_SET), reply(BY_LOOP), reply(large), reply(forks))


@pytest.mark.parametrize(
    "odd",
    [
        FORGED.replace("{told}", "{'function': 'g', 'inputs': ['no tuple', '(']}"),
        "def f(t):\n    t.extend(range(5000))\nf([1])",
        "def f(t):\n    return t\nf((1, 1))\ndel f",
    ],
    ids=["inputs that are none", "too much changed", "deleted"],
)
def test_an_odd_one_breaks_no_comparison(odd: str) -> None:
    """The two beside it still agree, on what they can be run with."""
    assert (0, 1) in alike(reply(BY_SET), reply(BY_LOOP), reply(odd))


def test_what_takes_too_long_is_compared_by_its_letters() -> None:
    """A caller waits no longer for a comparison than it may take."""
    began = time.monotonic()
    slow = Scripted(waits_s=5.0)
    assert (
        asyncio.run(Behaviour(slow, most_s=0.2).alike(ask(QUESTION), [reply(BY_SET), reply(BY_LOOP)])) == ()
    )
    assert time.monotonic() - began < 2.0


def test_a_run_that_was_cut_short_is_tried_again() -> None:
    """A busy machine is no property of a program."""
    sandbox = Counting()
    sandbox.ended = "timeout"
    behaviour = Behaviour(sandbox)
    replies = [reply(BY_SET), reply(BY_LOOP)]

    async def twice() -> Sequence[Pair]:
        await behaviour.alike(ask(QUESTION), replies)
        sandbox.ended = "exited"
        return await behaviour.alike(ask(QUESTION), replies)

    assert asyncio.run(twice()) == [(0, 1)]
    assert sandbox.runs == 7


def test_one_likeness_serves_one_event_loop_after_another() -> None:
    """Training compares the candidates of rounds, then the answers of stages."""
    behaviour = Behaviour(best_sandbox())
    for more in ("", "\n", "\n\n"):
        replies = [reply(BY_SET + more * i) for i in range(1, 5)] + [reply(BY_LOOP + more)]
        found = asyncio.run(behaviour.alike(ask(f"{QUESTION}{more}"), replies))
        assert len(found) == 10


def test_of_inputs_that_are_not_its_own_a_program_keeps_the_latest() -> None:
    """A reply that everyone gets meets ever new ones."""
    conduct = Conduct("f", ("(0,)",), {"(0,)": "0"})
    for i in range(1, 1_000):
        conduct = conduct.and_on({f"({i},)": str(i)})
    assert len(conduct.outputs) < 150
    assert {"(0,)", "(999,)"} <= conduct.outputs.keys()


class Counting:
    """A real sandbox that counts."""

    def __init__(self) -> None:
        self.sandbox, self.runs = best_sandbox(), 0
        self.ended: Ending = "exited"

    async def run(self, program: Program, limits: Limits = DEFAULT_LIMITS) -> Ran:
        self.runs += 1
        return replace(await self.sandbox.run(program, limits), ended=self.ended)


def test_nothing_is_run_twice() -> None:
    """A third program's inputs alone are new to the first two, and asked again nothing is."""
    sandbox = Counting()
    behaviour = Behaviour(sandbox)
    replies = [reply(BY_SET), reply(BY_LOOP), reply(INVERTED)]

    async def work() -> list[int]:
        counts = []
        for some in (replies[:2], replies, replies):
            await behaviour.alike(ask(QUESTION), some)
            counts.append(sandbox.runs)
        return counts

    first, second, third = asyncio.run(work())
    assert first == 3  # each alone; then the one without examples on the other's
    assert second == 3 + 4
    assert third == second


def test_conducts_are_compared_on_the_inputs_of_both() -> None:
    """One on which both fail tells nothing; one on which one fails tells them apart."""
    one = Conduct("f", ("(1,)",), {"(1,)": "2", "(2,)": "!TypeError"})
    other = Conduct("g", ("(2,)",), {"(1,)": "2", "(2,)": "!ValueError"})
    assert one.like(other)
    assert not one.like(replace(other, outputs={"(1,)": "2", "(2,)": "3"}))
    assert not Conduct().like(Conduct())


def test_candidates_that_are_linked_have_one_form() -> None:
    """By pairs, by equal letters, and through others; one without an answer stays alone unless it is of a
    pair."""
    said = [candidate("a"), candidate("b"), candidate("c"), candidate("B"), candidate(None), candidate(None)]
    found = [each.compared for each in in_one_form(said, [(0, 1)])]
    assert found == ["a", "a", "c", "a", None, None]
    *_, one, other = in_one_form(said, [(4, 5)])
    assert one.compared is not None
    assert one.compared == other.compared


def test_code_between_code_llama_s_marks_is_found() -> None:
    """Its tests are examples, no part of the answer."""
    text = "[PYTHON]\ndef f(a):\n    return a\n[/PYTHON]\n[TESTS]\nassert f(1) == 1\n[/TESTS]"
    assert fenced_blocks(text) == [
        ("python", "def f(a):\n    return a\n"),
        ("tests", "assert f(1) == 1\n"),
    ]
    assert python_blocks(text) == ["def f(a):\n    return a\n", "assert f(1) == 1\n"]
    assert python_blocks("I cannot do that.") == []


CODERS = (Stage("small/direct", Direct("small")), Stage("large/direct", Direct("large")))


def answered(strategy: Strategy, likeness: Likeness | None, second: str = BY_LOOP) -> tuple[float, str]:
    """How sure a strategy is at its end, and the reply that it gives."""
    said = {"small": Said(reply(BY_SET)), "large": Said(reply(second))}
    prospects = {"small/direct": Prospect(0.5, 0.0), "large/direct": Prospect(0.6, 0.0)}

    async def work() -> tuple[float, str]:
        run = run_of(
            Upstream(lambda call, number: said[call.model]),
            ask(QUESTION),
            prospects=prospects,
            price=Price(0.0),
        )
        run = replace(run, confidence=Consensus(), likeness=likeness)
        answer = await strategy.answer(run)
        return run.steps[-1].numbers["probability"], answer.candidate.text

    return asyncio.run(work())


@pytest.mark.parametrize(
    "strategy", [Cascade(CODERS, 1.0), AnyTime(CODERS, sure_at=1.0)], ids=["cascade", "any_time"]
)
def test_stages_whose_programs_do_the_same_back_each_other(strategy: Strategy) -> None:
    """Without a likeness, or where they differ, they doubt each other."""
    likeness = Behaviour(best_sandbox())
    backed, _ = answered(strategy, likeness)
    doubted, _ = answered(strategy, None)
    differing, _ = answered(strategy, likeness, INVERTED)
    assert differing == pytest.approx(doubted)
    assert doubted < backed - 0.1


def test_a_vote_over_programs_counts_what_they_do() -> None:
    """Two that do the same, written differently, win over one that came first."""
    said = [INVERTED, BY_SET, BY_LOOP]

    async def voted(likeness: Likeness | None) -> str:
        upstream = Upstream(lambda call, number: Said(reply(said[number])))
        run = replace(run_of(upstream, ask(QUESTION)), likeness=likeness)
        return (await SelfConsistency("small", 3, "direct", stop_at=1.0).answer(run)).candidate.text

    assert asyncio.run(voted(None)) == reply(INVERTED)
    assert asyncio.run(voted(Behaviour(best_sandbox()))) == reply(BY_SET)


def test_what_was_found_alike_is_remembered_by_question() -> None:
    """A replay asks no sandbox, and what is fitted on reads the same."""
    likeness = Behaviour(best_sandbox())
    asked = [Query([{"role": "user", "content": QUESTION}], id=name) for name in ("q1", "q2")]
    replies = [[reply(BY_SET), reply(BY_LOOP)], [reply(BY_SET), reply(INVERTED)]]
    found = Remembered.of(likeness, asked, replies)
    assert asyncio.run(found.alike(asked[0], replies[0][::-1])) == [(0, 1)]
    assert asyncio.run(found.alike(asked[1], replies[0])) == []
    assert Remembered.of(None, asked, replies).pairs(asked[0], replies[0]) == ()
