"""The verifiers that run the answer's code: in the real sandbox where one works, else in a scripted one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakes import Upstream, ask, run_of
from sandboxes import best_sandbox

from router.call import Completion
from router.candidate import Candidate, Verdict
from router.errors import InvalidQuery, SandboxError
from router.sandbox import Ran, Sandbox, Scripted
from router.verifiers import make_verifier

ADD = "```python\ndef add(a, b):\n    return a + b\n```"
WRONG = "```python\ndef add(a, b):\n    return a - b\n```"
TESTS = ["assert add(1, 2) == 3", "assert add(0, 0) == 0", "assert add(-1, 1) == 0"]
ADDS = {"type": "unit_tests", "tests": TESTS}
DOUBLES = {
    "type": "program_output",
    "cases": [{"stdin": "2", "stdout": "4\n"}, {"stdin": "5", "stdout": "10"}],
}
DOUBLE = "```python\nprint(2 * int(input()))\n```"


async def verdict(specification: dict[str, Any], text: str, sandbox: Sandbox | None) -> Verdict:
    candidate = Candidate(Completion({"role": "assistant", "content": text}, "stop", 1, 1), None)
    run = run_of(Upstream(), ask(verifier=specification), sandbox=sandbox)
    judged = await run.verify(candidate)
    assert judged is not None
    return judged


async def test_right_code_passes_every_test() -> None:
    """A sound pass with the whole reward."""
    judged = await verdict(ADDS, ADD, best_sandbox())
    assert (judged.ruling, judged.reward, judged.sound, judged.source) == ("pass", 1.0, True, "unit_tests")
    assert judged.reason.startswith("3 tests passed in ")


async def test_the_reward_is_the_share_of_tests_that_pass() -> None:
    """Wrong code fails, by how much tells the reward, and the reason shows the first test that failed."""
    judged = await verdict(ADDS, WRONG, best_sandbox())
    assert (judged.ruling, judged.reward) == ("fail", pytest.approx(1 / 3))
    assert judged.reason == "test 1: AssertionError, at: assert add(1, 2) == 3"


@pytest.mark.parametrize(
    "tests",
    [
        "assert add(1, 2) == 3",
        "def test_sum():\n    assert add(1, 2) == 3",
        "from answer import add as plus\nassert plus(1, 2) == 3",
        "import unittest\nclass Sums(unittest.TestCase):\n"
        "    def test_sum(self):\n        self.assertEqual(add(1, 2), 3)",
        "def check(candidate):\n    assert candidate(1, 2) == 3",
    ],
    ids=["asserts", "functions", "module", "unittest", "check"],
)
async def test_every_way_to_write_a_test_is_run(tests: str) -> None:
    """Each passes right code and fails wrong code: none passes because it was never run."""
    specification = {"type": "unit_tests", "tests": tests, "entry_point": "add"}
    sandbox = best_sandbox()
    assert (await verdict(specification, ADD, sandbox)).ruling == "pass"
    assert (await verdict(specification, WRONG, sandbox)).ruling == "fail"


DECEIVERS = {
    "exit": "import sys\nsys.exit(0)",
    "hard exit": "import os\nos._exit(0)",
    "exit when called": "import os\ndef add(a, b): os._exit(0)",
    "soft exit when called": "import sys\ndef add(a, b): sys.exit(0)",
    "interrupt": "def add(a, b): raise KeyboardInterrupt",
    "exit at exit": "import atexit, os\natexit.register(os._exit, 0)\ndef add(a, b): return 0",
    "printed marks": "print('{\"end\": true}')\n"
    'for i in range(9): print(\'{"test": %d, "problem": null}\' % i)\n'
    "def add(a, b): return 0",
    "written to every descriptor": "import os\nfor fd in range(1, 20):\n"
    "    try: os.write(fd, b'\\n0123 {\"end\": true}\\n')\n    except OSError: pass\ndef add(a, b): return 0",
    "no json": "import json, os\njson.dumps = lambda *a: '{\"end\": true}'\nos.write = print\n"
    "def add(a, b): return 0",
    "killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "endless": "while True: pass",
    "endless when called": "def add(a, b):\n    while True: pass",
    "flood": "import os\nwhile True: os.write(2, b'x' * 65536)",
    "forked": "import os\nif os.fork(): os._exit(0)\ndef add(a, b): return 0",
    "recursion": "def add(a, b): return add(a, b)",
    "unprintable": "class E(Exception):\n    def __str__(self): raise SystemExit\ndef add(a, b): raise E",
    "no definition": "x = 5",
    "broken syntax": "def add(a, b:",
    "null bytes": "x = '\\x00'\n\x00",
}


@pytest.mark.parametrize("source", DECEIVERS.values(), ids=DECEIVERS)
async def test_no_trick_passes(source: str) -> None:
    """Ending early, printing what a harness might print, or never ending is a failure."""
    specification = {**ADDS, "timeout_s": 1.5}
    judged = await verdict(specification, f"```python\n{source}\n```", best_sandbox())
    assert judged.ruling == "fail"
    assert judged.reward < 1
    assert judged.reason


async def test_what_the_code_prints_and_reads_does_not_matter() -> None:
    """A chatty program passes, one that waits for input meets its end."""
    chatty = "```python\nprint('x' * 5_000_000)\ndef add(a, b):\n    print(a, b)\n    return a + b\n```"
    assert (await verdict(ADDS, chatty, best_sandbox())).ruling == "pass"
    reader = "```python\nn = input()\ndef add(a, b): return a + b\n```"
    assert "EOFError" in (await verdict(ADDS, reader, best_sandbox())).reason


async def test_a_main_guard_is_not_run_and_threads_are_not_waited_for() -> None:
    """The code is imported, not started; what it leaves running does not hold the verdict up."""
    code = (
        "```python\nimport threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n"
        "def add(a, b): return a + b\nif __name__ == '__main__': raise SystemExit(1)\n```"
    )
    assert (await verdict(ADDS, code, best_sandbox())).ruling == "pass"


async def test_tests_before_one_that_never_ends_count() -> None:
    """What passed before the time was up is in the reward."""
    code = "```python\ndef add(a, b):\n    while a < 0: pass\n    return a + b\n```"
    judged = await verdict({**ADDS, "timeout_s": 1.5}, code, best_sandbox())
    assert (judged.ruling, judged.reward) == ("fail", pytest.approx(2 / 3))
    assert "time" in judged.reason


async def test_a_program_that_prints_what_it_should_passes() -> None:
    """Every case in the reward; blanks at the ends do not count."""
    sandbox = best_sandbox()
    judged = await verdict(DOUBLES, DOUBLE, sandbox)
    assert (judged.ruling, judged.reward, judged.sound) == ("pass", 1.0, True)
    half = await verdict(DOUBLES, "```python\nprint(int(input()) + 2)\n```", sandbox)
    assert (half.ruling, half.reward) == ("fail", 0.5)
    assert half.reason == "case 2: printed '7', which is not what it should"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("print(4)\nraise SystemExit(1)", "case 1: exit code 1"),
        ("import time; time.sleep(60)", "limit of time"),
        ("print()", "printed ''"),
    ],
)
async def test_a_program_that_fails_tells_why(source: str, reason: str) -> None:
    """Right words from a program that failed are no pass."""
    judged = await verdict({**DOUBLES, "timeout_s": 1.5}, f"```python\n{source}\n```", best_sandbox())
    assert judged.ruling == "fail"
    assert reason in judged.reason


@pytest.mark.parametrize(
    ("specification", "reply"), [(ADDS, ADD), (DOUBLES, DOUBLE)], ids=["tests", "output"]
)
async def test_without_a_sandbox_the_verdict_is_unknown(specification: dict[str, Any], reply: str) -> None:
    """It says how to get one; a sandbox that fails, and a reply without code, are unknown as well."""
    missing = await verdict(specification, reply, None)
    assert (missing.ruling, missing.reward) == ("unknown", 0.0)
    assert "[sandbox]" in missing.reason
    broken = await verdict(specification, reply, Scripted(error=SandboxError("bwrap went away")))
    assert (broken.ruling, broken.reason) == ("unknown", "bwrap went away")
    assert (await verdict(specification, "I do not know.", Scripted())).reason == "no code found"


@pytest.mark.parametrize("specification", [ADDS, DOUBLES], ids=["tests", "output"])
async def test_cancelling_a_verdict_ends_its_programs(specification: dict[str, Any]) -> None:
    """No program goes on for a verdict that nobody awaits."""
    sandbox = Scripted(waits_s=60.0)
    task = asyncio.ensure_future(verdict(specification, ADD, sandbox))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sandbox.seen
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_run_that_says_nothing_never_passes() -> None:
    """A good exit code without the marks is no pass."""
    assert (await verdict(ADDS, ADD, Scripted((Ran("all tests passed"),)))).ruling == "fail"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"tests": ""},
        {"tests": []},
        {"tests": [5]},
        {"tests": 5},
        {"tests": "x = 1"},
        {"tests": "assert ("},
        {"tests": "def check(candidate):\n    assert candidate(1) == 1"},
        {"tests": ["assert True"] * 501},
        {"tests": "assert True", "entry_point": "not a name"},
        {"tests": "assert True", "timeout_s": 0},
        {"tests": "assert True", "timeout_s": True},
        {"tests": "assert True", "timeout_s": 1e9},
        {"tests": "assert True", "language": "c"},
    ],
)
def test_wrong_tests_are_the_callers_mistake(fields: dict[str, Any]) -> None:
    """A specification that could only mislead is refused, tests that test nothing among them."""
    with pytest.raises(InvalidQuery):
        make_verifier({"type": "unit_tests", **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"cases": []},
        {"cases": {}},
        {"cases": ["x"]},
        {"cases": [{"stdin": "1"}]},
        {"cases": [{"stdout": 1}]},
        {"cases": [{"stdout": "1", "args": "x"}]},
        {"cases": [{"stdout": "1"}] * 101},
        {"cases": [{"stdout": "x" * 1_000_001}]},
        {"cases": [{"stdout": "1"}], "timeout_s": -1},
    ],
)
def test_wrong_cases_are_the_callers_mistake(fields: dict[str, Any]) -> None:
    """Each case has an output, and nothing that would be ignored."""
    with pytest.raises(InvalidQuery):
        make_verifier({"type": "program_output", **fields})


@pytest.mark.parametrize(
    "tests",
    [
        "class TestSums:\n    def test_sum(self):\n        assert add(1, 2) == 3",
        "class TestSums:\n    def setup_method(self):\n        self.three = 3\n"
        "    def test_sum(self):\n        assert add(1, 2) == self.three",
        "async def test_sum():\n    assert add(1, 2) == 3",
        "def test_sum():\n    yield\n    assert add(1, 2) == 3",
        "def same(one, other):\n    assert one == other\nsame(add(1, 2), 3)",
        "if add(1, 2) != 3:\n    raise ValueError",
    ],
    ids=["class", "set up", "coroutine", "generator", "function of its own", "raise"],
)
async def test_every_form_of_a_test_is_run_to_its_end(tests: str) -> None:
    """Right code passes and wrong code fails."""
    specification = {"type": "unit_tests", "tests": tests}
    sandbox = best_sandbox()
    assert (await verdict(specification, ADD, sandbox)).ruling == "pass"
    assert (await verdict(specification, WRONG, sandbox)).ruling == "fail"


@pytest.mark.parametrize(
    "test",
    [
        "def verify():\n    assert add(1, 2) == 3",
        "if __name__ == '__main__':\n    assert add(1, 2) == 3",
        "import unittest\nclass Sums(unittest.TestCase):\n    def sums(self):\n        assert add(1, 2) == 3",
        "def test_sum(three):\n    assert add(1, 2) == three",
        "print(add(1, 2))",
    ],
    ids=["never called", "main guard", "no method", "fixture", "no assertion"],
)
def test_a_test_that_could_not_run_is_refused(test: str) -> None:
    """It would have passed whatever the code does."""
    with pytest.raises(InvalidQuery, match="tests must be"):
        make_verifier({"type": "unit_tests", "tests": test})


async def test_without_an_assertion_run_nothing_is_proved() -> None:
    """A test that came to its end beside its assertions is neither passed nor failed, and says so; one that
    failed beside it still fails."""
    idle = "for number in ():\n    assert add(1, number) == 3"
    judged = await verdict({"type": "unit_tests", "tests": [TESTS[0], idle]}, ADD, best_sandbox())
    assert (judged.ruling, judged.reason) == ("unknown", "test 2 came to its end without any assertion run")
    assert (
        await verdict({"type": "unit_tests", "tests": [TESTS[0], idle]}, WRONG, best_sandbox())
    ).ruling == "fail"


async def test_what_a_case_wants_is_not_told() -> None:
    """A reason may be shown to the model that is to mend its program."""
    specification = {"type": "program_output", "cases": [{"stdin": "", "stdout": "secret"}]}
    judged = await verdict(specification, "```python\nprint('guess')\n```", best_sandbox())
    assert "guess" in judged.reason
    assert "secret" not in judged.reason
