"""Swapping bundles while serving: whole, without a failed request, and never to a damaged one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from service_process import Live, serving, tables

from router.bundle import save_bundle
from router.confidence.agreement import Agreement
from router.configuration import parse_configuration
from router.configured import configured_menu
from router.estimate import Estimate
from router.features import Extractor
from router.menu import Menu
from router.predictors.constant import Constant
from serving.bundles import POINTER
from serving.service import bundles_folder

CLIENTS = 8


@pytest.fixture
def menu(tmp_path: Path) -> Menu:
    return configured_menu(parse_configuration(tables(tmp_path)))


def make_bundle(folder: Path, menu: Menu, quality: float) -> str:
    """A bundle that gives every arm this quality; its version."""
    prior = Constant.prior(menu)
    constants = replace(prior.constants, quality=np.full(len(menu), quality))
    predictor = Constant(prior.arms, constants)
    return save_bundle(folder, menu, Extractor.of(("length", "structure")), predictor, Agreement())


def point(live: Live, bundle: Path | str) -> None:
    """Name a bundle as whoever fetches them does: atomically."""
    pointer = live.service.watch.pointer
    pointer.parent.mkdir(parents=True, exist_ok=True)
    unfinished = pointer.with_name("unfinished")
    unfinished.write_text(f"{bundle}\n")
    unfinished.replace(pointer)


async def until_bundle(live: Live, version: str) -> None:
    async with asyncio.timeout(5):
        while (await live.ready())[1]["bundle"] != version:
            await asyncio.sleep(0.01)


async def until_refused(live: Live, words: str) -> None:
    async with asyncio.timeout(5):
        while words not in ((await live.ready())[1]["bundle_refused"] or ""):
            await asyncio.sleep(0.01)


@asynccontextmanager
async def watching(folder: Path, bundle: Path | None = None) -> AsyncIterator[Live]:
    async with serving(tables(folder), bundle=bundle) as live:
        live.service.watch.every_s = 0.02
        await asyncio.sleep(0.5)  # the first look waits as long as it did before
        yield live


@asynccontextmanager
async def traffic(live: Live) -> AsyncIterator[list[tuple[int, str]]]:
    """Clients that send without pause; (status, trace id) of each reply."""
    replies: list[tuple[int, str]] = []
    ending = asyncio.Event()

    async def send() -> None:
        while not ending.is_set():
            reply = await live.chat("hello", model="auto")
            replies.append((reply.status_code, reply.headers["x-effortwise-trace-id"]))

    senders = [asyncio.ensure_future(send()) for _ in range(CLIENTS)]
    try:
        yield replies
    finally:
        ending.set()
        await asyncio.gather(*senders)


async def after(replies: list[Any]) -> None:
    """Until every client has had two more replies."""
    enough = len(replies) + 2 * CLIENTS
    async with asyncio.timeout(10):
        while len(replies) < enough:
            await asyncio.sleep(0.01)


async def test_a_swap_under_load_fails_nobody(tmp_path: Path, menu: Menu) -> None:
    """Traces go from the prior to the first bundle to the second, never back, never to a damaged
    third, and every request is answered."""
    first = make_bundle(tmp_path / "one", menu, 0.4)
    second = make_bundle(tmp_path / "two", menu, 0.6)
    make_bundle(tmp_path / "three", menu, 0.8)
    damage(tmp_path / "three" / "arrays.npz")
    async with watching(tmp_path) as live:
        async with traffic(live) as replies:
            await after(replies)
            for name, version in (("one", first), ("two", second)):
                point(live, tmp_path / name)
                await until_bundle(live, version)
                await after(replies)
            point(live, tmp_path / "three")
            await until_refused(live, "three")
            await after(replies)
            status, ready = await live.ready()
            assert (status, ready["bundle"]) == (200, second)
        assert {status for status, _ in replies} == {200}
        traces = await live.traces(len(replies))
        versions = [trace.plan["predictor"] for trace in sorted(traces, key=lambda trace: trace.created_at)]
        assert list(dict.fromkeys(versions)) == ["prior", first, second]
        assert versions == sorted(versions, key=["prior", first, second].index)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def misfits(folder: Path, menu: Menu) -> Iterator[tuple[str, str]]:
    """Folders of bundles that cannot be served, each with a word of the reason."""
    make_bundle(folder / "damaged", menu, 0.5)
    damage(folder / "damaged" / "manifest.json")
    yield "damaged", "damaged"
    make_bundle(folder / "lacking", menu, 0.5)
    (folder / "lacking" / "arrays.npz").unlink()
    yield "lacking", "lacks arrays.npz"
    stranger = replace(menu.arms[0], id="stranger")
    make_bundle(folder / "strange", Menu((stranger,)), 0.5)
    yield "strange", "does not know any arm"
    changed = replace(menu.arms[0], strategy=menu.arms[1].strategy)
    make_bundle(folder / "changed", Menu((changed, *menu.arms[1:])), 0.5)
    yield "changed", "changed their meaning"
    make_nan_bundle(folder / "nan", menu)
    yield "nan", "nan"
    yield "nowhere", "lacks manifest.json"


def make_nan_bundle(folder: Path, menu: Menu) -> None:
    nothing = np.full(len(menu), np.nan)
    constants = Estimate(**{item.name: nothing for item in fields(Estimate)})
    save_bundle(folder, menu, Extractor.of(("length",)), Constant(tuple(menu.ids), constants), Agreement())


async def test_a_bundle_that_does_not_fit_is_told_and_left(
    tmp_path: Path, menu: Menu, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is wrong with it, the old one serves on, /readyz and the log say why, and a good one
    after it is taken."""
    good = make_bundle(tmp_path / "good", menu, 0.5)
    async with watching(tmp_path) as live:
        point(live, tmp_path / "good")
        await until_bundle(live, good)
        for name, words in misfits(tmp_path, menu):
            point(live, tmp_path / name)
            await until_refused(live, words)
            reply = await live.chat("hello", model="auto")
            trace = await live.trace(reply.headers["x-effortwise-trace-id"])
            assert trace["plan"]["predictor"] == good, name
            assert (await live.ready())[0] == 200
            assert any(
                words in record.message for record in caplog.records if record.levelno == logging.ERROR
            )
        point(live, tmp_path / "good")
        async with asyncio.timeout(5):
            while (await live.ready())[1]["bundle_refused"]:
                await asyncio.sleep(0.01)


async def test_a_pointer_that_cannot_be_read_is_told(tmp_path: Path, menu: Menu) -> None:
    """A pointer that is no text leaves the bundle as it is, at the start and later."""
    pointer = bundles_folder(parse_configuration(tables(tmp_path))) / POINTER
    pointer.parent.mkdir(parents=True)
    pointer.write_bytes(b"\xff\xfe\xff")
    async with watching(tmp_path) as live:
        await until_refused(live, "cannot be read")
        good = make_bundle(tmp_path / "good", menu, 0.5)
        point(live, tmp_path / "good")
        await until_bundle(live, good)
        assert (await live.ready())[1]["bundle_refused"] is None


async def test_a_start_takes_the_bundle_that_was_served_last(tmp_path: Path, menu: Menu) -> None:
    """The pointer outlives the process, and wins over the bundle to begin with."""
    begin = make_bundle(tmp_path / "begin", menu, 0.3)
    later = make_bundle(tmp_path / "later", menu, 0.5)
    async with watching(tmp_path, tmp_path / "begin") as live:
        assert live.service.allocator.bundle.version == begin
        point(live, tmp_path / "later")
        await until_bundle(live, later)
    async with serving(tables(tmp_path), bundle=tmp_path / "begin") as live:
        assert live.service.allocator.bundle.version == later


async def test_a_damaged_bundle_to_begin_with_leaves_the_prior(
    tmp_path: Path, menu: Menu, caplog: pytest.LogCaptureFixture
) -> None:
    """A start with nothing usable is a cold start, told in the log and by /readyz, not a failure."""
    make_bundle(tmp_path / "begin", menu, 0.3)
    damage(tmp_path / "begin" / "arrays.npz")
    async with serving(tables(tmp_path), bundle=tmp_path / "begin") as live:
        status, ready = await live.ready()
        assert (status, ready["bundle"]) == (200, "prior")
        assert "refused at the start" in ready["bundle_refused"]
        assert (await live.chat("hello", model="auto")).status_code == 200
    assert "is refused; the cold-start prior decides" in caplog.text


async def test_without_a_pointer_what_serving_began_with_comes_back(tmp_path: Path, menu: Menu) -> None:
    """As after the rollback of the first champion."""
    first, champion = (
        make_bundle(tmp_path / name, menu, quality) for name, quality in (("a", 0.4), ("b", 0.6))
    )
    async with watching(tmp_path, bundle=tmp_path / "a") as live:
        assert (await live.ready())[1]["bundle"] == first
        point(live, tmp_path / "b")
        await until_bundle(live, champion)
        live.service.watch.pointer.unlink()
        await until_bundle(live, first)
        point(live, tmp_path / "b")
        await until_bundle(live, champion)


async def test_an_arm_that_the_bundle_does_not_know_is_served_and_told(
    tmp_path: Path, menu: Menu, caplog: pytest.LogCaptureFixture
) -> None:
    """One arm more on the menu does not throw away what was learnt of the others: the bundle serves, at
    the start and when it is swapped in, and /readyz and the log name the newcomer."""
    newcomer = menu.ids[-1]
    version = make_bundle(tmp_path / "fewer", Menu(menu.arms[:-1]), 0.5)
    async with watching(tmp_path, bundle=tmp_path / "fewer") as live:
        ready = (await live.ready())[1]
        assert (ready["bundle"], ready["newcomers"], ready["bundle_refused"]) == (version, [newcomer], None)
        reply = await live.chat("hello", model="auto")
        trace = await live.trace(reply.headers["x-effortwise-trace-id"])
        assert trace["plan"]["predictor"] == version
        whole = make_bundle(tmp_path / "whole", menu, 0.6)
        point(live, tmp_path / "whole")
        await until_bundle(live, whole)
        assert (await live.ready())[1]["newcomers"] == []
        told = [record for record in caplog.records if f"was not trained on {newcomer}" in record.message]
        assert len(told) == 1
        again = make_bundle(tmp_path / "again", Menu(menu.arms[1:]), 0.6)
        point(live, tmp_path / "again")
        await until_bundle(live, again)
    assert any(f"was not trained on {menu.ids[0]}" in record.message for record in caplog.records)


async def test_a_configured_bundle_that_was_refused_stays_told(tmp_path: Path, menu: Menu) -> None:
    """A champion takes its place; when that is withdrawn, /readyz says again why the prior decides. A pointer
    that is empty, or was unreadable for a while, is not taken for a withdrawal."""
    (tmp_path / "broken").mkdir()
    champion = make_bundle(tmp_path / "champion", menu, 0.6)
    async with watching(tmp_path, bundle=tmp_path / "broken") as live:
        refused = (await live.ready())[1]["bundle_refused"]
        assert "refused at the start" in refused
        point(live, tmp_path / "champion")
        await until_bundle(live, champion)
        live.service.watch.pointer.write_text("")
        await until_refused(live, "cannot be read")
        assert (await live.ready())[1]["bundle"] == champion
        live.service.watch.pointer.unlink()
        await until_bundle(live, "prior")
        assert (await live.ready())[1]["bundle_refused"] == refused


def test_services_in_one_folder_have_a_pointer_each(tmp_path: Path) -> None:
    """The champion of one does not serve in the other."""
    one, other = (
        bundles_folder(parse_configuration(tables(tmp_path, store={"path": str(tmp_path / name)})))
        for name in ("one.db", "one.sqlite")
    )
    assert one.parent == other.parent == tmp_path
    assert one != other
