"""A request's own tools: reached where the operator allows it, used by arms that use tools, kept quiet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from openai import BadRequestError
from service_process import Live, ask, serving, tables, wishing

from router.errors import ConfigurationError, InvalidQuery
from router.query import Query, Wishes
from serving.backends.scripted import Scripted
from serving.caller_tools import check_bases, require_allowed

RULES = [
    {"match": "Tools:", "reply": "Thought: I look.\nAction: weather[Bern]", "times": 1},
    {"match": "Tools:", "reply": "Thought: it is known.\nAnswer: sunny"},
    {"match": "", "reply": "Answer: rainy"},
]
MENU = [
    {"strategy": "direct", "models": ["small"]},
    {"strategy": "react", "models": ["small"], "n": 3},
    {"strategy": "react", "models": ["large"], "n": 3, "tools": "calculator"},
    {"strategy": "cascade", "stages": ["small/direct", "small/react@3"]},
]


@asynccontextmanager
async def weather(seen: list[Any]) -> AsyncIterator[str]:
    """The caller's tool, on a server of its own; the URL that it stands under."""

    async def answer(request: web.Request) -> web.Response:
        seen.append(await request.json())
        return web.Response(text="sunny")

    app = web.Application()
    app.router.add_post("/ours/weather", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}/ours/"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def service(folder: Path, *under: str) -> AsyncIterator[Live]:
    """A service that lets requests bring tools from there."""
    values = tables(folder, RULES, menu=MENU, server={"caller_tools": list(under)})
    async with serving(values) as live:
        yield live


def tool(url: str, **more: Any) -> dict[str, Any]:
    return {"name": "weather", "url": url, "describe": "Tells the weather of a place.", **more}


async def test_a_callers_tool_is_used_by_the_arm_that_uses_tools(tmp_path: Path) -> None:
    """By the official client: the only arm that uses whatever tools there are is chosen, the tool gets the
    model's argument, and its result is shown to the model. The trace tells its name, not its address."""
    seen: list[Any] = []
    async with weather(seen) as base, service(tmp_path, base) as live:
        wishes = {"tools": [tool(base + "weather?key=sk-secret")]}
        reply = await live.client().chat.completions.create(**wishing("How is it in Bern?", **wishes))
        assert reply.model == "small/react@3"
        assert reply.choices[0].message.content == "Answer: sunny"
        [trace] = await live.traces(1)
        fake = live.service.backends["fake"]
        assert isinstance(fake, Scripted)
        assert any("Observation: sunny" in str(bill.call.messages) for bill in fake.billed)
        card = await live.card("How is it in Bern?", effortwise=wishes)
    assert seen == [{"argument": "Bern"}]
    assert trace.wishes["tools"] == ["weather"]
    assert "sk-secret" not in repr(trace)
    assert "uses no tools" in str(card)


@pytest.mark.parametrize(
    "target", ["small/direct", "large/react:calculator@3", "cascade(small/direct>small/react@3)"]
)
async def test_a_named_arm_without_tools_refuses_them(tmp_path: Path, target: str) -> None:
    """Instead of forgetting them: a plain one, one whose tools the operator has named, and one that may stop
    before any of its stages uses them."""
    async with service(tmp_path, "http://127.0.0.1:9/") as live:
        with pytest.raises(BadRequestError, match="uses no tools"):
            await live.client().chat.completions.create(
                **wishing("hello", target, tools=[tool("http://127.0.0.1:9/x")])
            )


@pytest.mark.parametrize("under", [(), ("http://127.0.0.1:9/ours/",)])
async def test_an_address_that_is_not_allowed_is_refused(tmp_path: Path, under: tuple[str, ...]) -> None:
    """By default every one; the error names the field, and the setting or what is allowed. The decision card
    says the same."""
    async with service(tmp_path, *under) as live:
        body = ask("hello", effortwise={"tools": [tool("http://127.0.0.1:9/theirs")]})
        for path in ("chat/completions", "plan"):
            reply = await live.post(path, body)
            assert reply.status_code == 400
            error = reply.json()["error"]
            assert error["param"] == "effortwise.tools[0].url"
            assert (under[0] if under else "server.caller_tools") in error["message"]


@pytest.mark.parametrize(
    "url",
    [
        "http://tools.example.com/ours",
        "http://tools.example.com/ourselves/x",
        "http://tools.example.com/ours/../secret",
        "http://tools.example.com/ours/%2e%2e/secret",
        "http://tools.example.com/ours/..;/secret",
        "HTTP://tools.example.com/ours/x",
        "https://tools.example.com/ours/x",
        "http://tools.example.com:8080/ours/x",
        "http://tools.example.com.evil.org/ours/x",
        "http://tools.example.com@evil.org/ours/x",
        "http://evil.org\\@tools.example.com/ours/x",
        "http://tools.example.com/ours/x\nhost: evil",
        "http://tools.example.com:port/ours/x",
        "file:///ours/x",
        "",
    ],
)
def test_no_spelling_leads_elsewhere(url: str) -> None:
    """Another path, server, port or scheme; a user that looks like a server; signs that readers of URLs
    understand in different ways."""
    query = Query([], wishes=Wishes(tools=[tool(url)]))
    with pytest.raises(InvalidQuery, match="must stand under"):
        require_allowed(query, ["http://tools.example.com/ours/"])
    require_allowed(Query([], wishes=Wishes(tools=[tool("http://tools.example.com/ours/x?y=1")])),
                    ["http://tools.example.com/ours/"])  # fmt: skip


@pytest.mark.parametrize(
    "base", ["tools.example.com/", "http://x/ours", "http://x/?a=/", "http://u@x/", "ftp://x/"]
)
def test_a_loose_beginning_is_refused_at_start(base: str) -> None:
    """Without a slash at its end it would let in its neighbours."""
    with pytest.raises(ConfigurationError, match=r"server\.caller_tools"):
        check_bases([base])


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([], "effortwise.tools"),
        ("weather", "effortwise.tools"),
        ([{"name": "x", "url": "http://x/"}], "effortwise.tools[0].describe"),
        ([tool("http://x/", name="no spaces")], "effortwise.tools[0].name"),
        ([tool("http://x/", argument=3)], "effortwise.tools[0].argument"),
        ([{"name": "x", "url": "http://x/", "describe": "  "}], "effortwise.tools[0].describe"),
        ([tool("http://x/", api_key="sk")], "effortwise.tools[0]"),
        ([tool("http://x/")] * 2, "effortwise.tools"),
        ([tool("http://x/", name=f"t{i}") for i in range(9)], "effortwise.tools"),
    ],
)
async def test_tools_of_a_wrong_form_are_refused(tmp_path: Path, tools: Any, param: str) -> None:
    """With the field that is wrong."""
    async with service(tmp_path, "http://x/") as live:
        reply = await live.chat("hello", effortwise={"tools": tools})
        assert reply.status_code == 400
        assert reply.json()["error"]["param"] == param
