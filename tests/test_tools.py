"""Tools: what all have in common, then each."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from sandboxes import best_sandbox

from router.errors import ConfigurationError, SandboxError
from router.sandbox import Ran, Scripted
from router.sections import ToolSection
from router.tools import MAX_RESULT_CHARACTERS, TOOLS, Tool, failed, shortened
from router.tools.calculator import Calculator
from router.tools.python import Python
from serving.tools import REMOTE_TOOLS, configured_tools
from serving.tools.http import MAX_REPLY_BYTES, Http

TOOLS_MADE: dict[str, Callable[[], Tool]] = {
    "calculator": Calculator,
    "python": lambda: Python(Scripted()),
    "http": lambda: Http("http://127.0.0.1:9", "nothing listens"),
}


def test_every_tool_is_tested_here() -> None:
    """A tool added as a file gets the common tests."""
    assert {*TOOLS, *REMOTE_TOOLS} == set(TOOLS_MADE)


@pytest.mark.parametrize("name", TOOLS_MADE)
async def test_a_tool_describes_itself_and_answers_anything(name: str) -> None:
    """Words for the model, a schema for its argument, and a bounded text for whatever it is given."""
    tool = TOOLS_MADE[name]()
    assert tool.name == name
    assert tool.description
    assert "\n" not in tool.description
    assert tool.schema["type"] == "string"
    assert 10 < len(type(tool).summary) < 80
    for argument in ("", "1 + 1", "\x00", "x" * 100_000, "\ud800"):
        result = await tool.use(argument)
        assert 0 < len(result) <= MAX_RESULT_CHARACTERS


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", "14"),
        ("2^10", "1024"),
        ("1,000 * 3", "3000"),
        ("max(1, 200)", "200"),
        ("7 / 2", "3.5"),
        ("6 / 2", "3"),
        ("-(3 - 5) ** 2", "-4"),
        ("7 // 2 + 7 % 2", "4"),
        ("sqrt(2) ^ 2", "2"),
        ("0.1 + 0.2", "0.3"),
        ("6 × 7 ÷ 2", "21"),
        ("factorial(20)", "2432902008176640000"),
        ("gcd(12, 18) + lcm(4, 6)", "18"),
        ("2 ** 0.5", "1.41421356237"),
        ("round(pi, 2)", "3.14"),
        ("1e300 * 1e10", "inf"),
    ],
)
async def test_the_calculator_reckons(expression: str, value: str) -> None:
    """The usual notations, whole numbers exactly."""
    assert await Calculator().use(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "", "1 +", "1 / 0", "x", "__import__('os')", "().__class__", "[1] * 9", "'a' * 9", "True",
        "1 if 1 else 2",
        "9 ** 9 ** 9", "2 ** 100000", "factorial(100000)", "factorial(2.5)", "factorial(-1)", "(-8) ** 0.5",
        "round(5, -1000000000)", "round(10**9999, 2)", "sqrt(-1)", "max()", "sqrt(x=1)", "(" * 400, "1;2",
        "lambda: 1",
        "exp(10000)", "1_0 if 0 else open('x')", "9" * 600, "print(1)", "1 < 2", "abs(*[1])",
    ],
)  # fmt: skip
async def test_the_calculator_refuses_what_is_no_arithmetic(expression: str) -> None:
    """Names, statements, and numbers that would take for ever, at once."""
    assert (await Calculator().use(expression)).startswith("error: ")


@given(st.text(alphabet="0123456789+-*/%().e^ sqrtfacoil,", max_size=60))
def test_the_calculator_answers_every_text(expression: str) -> None:
    """It raises nothing, and takes no noticeable time."""
    assert asyncio.run(Calculator().use(expression))


@given(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30))
def test_whole_numbers_are_exact(a: int, b: int) -> None:
    """Sums and products of any size that is allowed."""
    assert asyncio.run(Calculator().use(f"({a}) * ({b}) + ({a})")) == str(a * b + a)


async def test_python_gives_what_is_printed() -> None:
    """In the real sandbox, with or without a fence around the program."""
    tool = Python(best_sandbox())
    assert await tool.use("print(6 * 7)") == "42"
    assert await tool.use("```python\nimport math\nprint(math.pi)\n```") == str(math.pi)
    assert await tool.use("x = 1") == "(it printed nothing)"
    assert await tool.use("print('so far')\n1 / 0") == "so far\nerror: ZeroDivisionError: division by zero"


async def test_python_that_never_ends_is_an_error_for_the_model() -> None:
    """The model reads that its time was up, and what was printed before."""
    result = await Python(best_sandbox(), timeout_s=1.0).use("print('a', flush=True)\nwhile True: pass")
    assert result.startswith("a\nerror: stopped at its limit of time after 1.")


async def test_a_failing_sandbox_is_an_error_for_the_model() -> None:
    """Nothing is raised out of a tool; a long result is cut in its middle."""
    assert await Python(Scripted(error=SandboxError("away"))).use("1") == "error: away"
    long = await Python(Scripted((Ran("a" * 9_000 + "b"),))).use("1")
    assert (len(long) <= MAX_RESULT_CHARACTERS, long[0], long[-1]) == (True, "a", "b")
    with pytest.raises(ConfigurationError, match="timeout_s"):
        Python(Scripted(), timeout_s=0)


@asynccontextmanager
async def service(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """A tool's own server; its URL."""
    application = web.Application()
    application.router.add_post("/", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def test_an_http_tool_gets_the_argument_and_the_key() -> None:
    """The body is the model's argument, the key a bearer token, and the reply's body the result."""
    seen = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((await request.json(), request.headers["authorization"]))
        return web.Response(text=" sunny \n")

    async with service(answer) as url:
        tool = Http(url, "tells the weather", api_key="sk-tool")
        assert await tool.use("Zürich") == "sunny"
    assert seen == [({"argument": "Zürich"}, "Bearer sk-tool")]
    assert "sk-tool" not in repr(tool)


async def test_a_tool_that_fails_is_an_error_for_the_model() -> None:
    """An error status, a redirect, an empty body and no server at all are texts; none tells the key."""

    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=503, text="busy")

    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"location": "http://192.0.2.1/"})

    async def nothing(request: web.Request) -> web.Response:
        return web.Response()

    for answer, result in (
        (refuse, "error: the tool answered 503: busy"),
        (redirect, "error: the tool answered 302: "),
        (nothing, "(the tool answered nothing)"),
    ):
        async with service(answer) as url:
            assert await Http(url, "x", api_key="sk-tool").use("1") == result
    assert await Http(url, "x", api_key="sk-tool").use("1") == "error: the tool cannot be reached"


async def test_a_tool_that_never_returns_is_given_up() -> None:
    """At its time limit, before or within its reply."""

    async def hang(request: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.05)

    for answer in (hang, drip):
        async with service(answer) as url:
            result = await Http(url, "x", timeout_s=0.3).use("1")
        assert result == "error: the tool did not answer within 0.3 s"


async def test_an_endless_reply_is_read_to_a_bound() -> None:
    """A gigabyte from a tool costs a few kilobytes."""
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        while sent < 1 << 30:
            await response.write(b"x" * (1 << 16))
            sent += 1 << 16
        return response

    async with service(flood) as url:
        assert len(await Http(url, "x").use("1")) <= MAX_RESULT_CHARACTERS
    assert sent < 500 * MAX_REPLY_BYTES


@pytest.mark.parametrize(
    "options",
    [{"url": "ftp://x"}, {"url": 5}, {"describe": " "}, {"timeout_s": 0}, {"timeout_s": float("inf")}],
)
def test_a_wrong_http_tool_is_refused_at_start(options: dict[str, object]) -> None:
    """Its address, its description and its time limit are checked."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Http(**{"url": "http://x", "describe": "y", **options})


def section(**options: object) -> ToolSection:
    return ToolSection.model_validate(options)


def test_without_sections_there_are_the_calculator_and_python() -> None:
    """Python only where there is a sandbox to run it."""
    assert list(configured_tools({}, {}, None)) == ["calculator"]
    assert list(configured_tools({}, {}, Scripted())) == ["calculator", "python"]


def test_tools_bear_the_names_of_their_sections() -> None:
    """Several of one kind may stand side by side; keys come from the environment."""
    sections = {
        "weather": section(type="http", url="http://w", describe="tells the weather", api_key_env="W_KEY"),
        "stocks": section(type="http", url="http://s", describe="tells prices"),
        "sums": section(type="calculator"),
    }
    tools = configured_tools(sections, {"W_KEY": "sk-w"}, None)
    assert list(tools) == ["weather", "stocks", "sums"]
    assert isinstance(tools["weather"], Http)
    assert tools["weather"].api_key == "sk-w"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"type": "telepathy"}, r"tools\.x\.type = 'telepathy' is unknown\. Known: calculator, http, python"),
        ({"type": "calculator", "digits": 5}, r"unknown key 'digits' \(known: none\)"),
        ({"type": "http", "url": "http://x"}, "describe"),
        ({"type": "http", "url": "x", "describe": "y"}, r"tools\.x: url = 'x' must begin"),
        ({"type": "http", "url": "http://x", "describe": "y", "api_key": "sk"}, "unknown key 'api_key'"),
        ({"type": "http", "url": "http://x", "describe": "y", "api_key_env": "NO"}, "variable NO is not set"),
        ({"type": "python"}, "needs a sandbox"),
        ({"type": "python", "sandbox": "mine"}, "unknown key 'sandbox'"),
    ],
)
def test_a_wrong_section_names_its_mistake(options: dict[str, object], told: str) -> None:
    """At start, with the key and the known choices."""
    with pytest.raises(ConfigurationError, match=told):
        configured_tools({"x": section(**options)}, {}, None)


def test_long_results_are_cut_in_their_middle() -> None:
    """What is short stays whole; an error is bounded as well."""
    assert shortened("x") == "x"
    assert len(shortened("x" * 99_999)) <= MAX_RESULT_CHARACTERS
    assert len(failed("x" * 99_999)) <= MAX_RESULT_CHARACTERS
