"""``effortwise demo``: the whole loop, on real parts, in a few minutes."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import orjson
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from effortwise.bundled import DATA
from effortwise.demonstration.client import send_all
from effortwise.demonstration.comparison import Row, live_row, replayed_row
from effortwise.demonstration.picture import draw_picture
from effortwise.demonstration.server import Server, running_server
from effortwise.pool import record_tasks
from effortwise.task import Task
from effortwise.workload import generate
from router.bundle import load_bundle
from router.configuration import load_configuration
from router.configured import configured_menu
from router.errors import ConfigurationError
from router.feasibility import lack
from router.price import Price
from serving.bundles import POINTER
from serving.service import bundles_folder
from training.recorded import read_recorded, simulation_of

DRAWS = 4
"""Recorded draws of each prompt template per fresh task: as many as the largest fixed arm takes."""
LIVE = {"learnt policy, quality": "quality", "learnt policy, thrift": "thrift"}
_TABLE_WIDTH = 124


def demo(folder: Path, seed: int, explore: int, fresh: int) -> None:
    """Serve, explore, judge, train, promote, swap, and compare on fresh tasks."""
    began = time.monotonic()
    folder = _clean(folder)
    config = folder / "demo.toml"
    shutil.copy(DATA / "demo.toml", config)
    console = Console(width=max(Console().width, _TABLE_WIDTH))
    learnt_from, compared_on = _tasks(seed, explore, fresh)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        with running_server(folder, config) as server:
            _explore(server, learnt_from, progress)
            bundle = _learn(server, progress)
            rows = _served(server, compared_on, progress)
        rows = [*_replayed(folder, config, compared_on, progress), *rows]
    _show(console, rows, f"{fresh} fresh tasks; bundle {bundle}, learnt from {explore} tasks")
    draw_picture(rows, folder / "demo.png")
    (folder / "demo.json").write_bytes(
        orjson.dumps([asdict(row) for row in rows], option=orjson.OPT_INDENT_2)
    )
    console.print(
        f"{folder}/demo.png, demo.svg and demo.json written; {time.monotonic() - began:.0f} s in all"
    )


def _clean(folder: Path) -> Path:
    """An empty folder; one that another demonstration left is emptied, anything else is spared."""
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file: name another --folder.")
    if folder.exists() and any(folder.iterdir()) and not (folder / "demo.toml").exists():
        raise ConfigurationError(f"{folder} is not empty and not a demonstration's: name another --folder.")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder.resolve()


def _tasks(seed: int, explore: int, fresh: int) -> tuple[list[Task], list[Task]]:
    """Tasks to learn from, and fresh ones of the same families whose prompts are not among them."""
    learnt_from = generate(seed, explore)
    known = {task.prompt for task in learnt_from}
    others = [task for task in generate(seed + 1, 3 * fresh) if task.prompt not in known]
    return learnt_from, others[:fresh]


def _explore(server: Server, tasks: Sequence[Task], progress: Progress) -> None:
    bar = progress.add_task("explore: every feasible arm alike", total=len(tasks))
    asyncio.run(send_all(server.url, tasks, "explore", lambda: progress.advance(bar)))


def _learn(server: Server, progress: Progress) -> str:
    bar = progress.add_task("train, register, promote, swap", total=3)
    before = str((server.ready() or {}).get("bundle"))
    server.command("train")
    progress.advance(bar)
    server.command("promote")
    progress.advance(bar)
    version = server.await_bundle(before)
    progress.advance(bar)
    return version


def _served(server: Server, tasks: Sequence[Task], progress: Progress) -> list[Row]:
    rows = []
    for name, policy in LIVE.items():
        bar = progress.add_task(f"serve fresh tasks: {name}", total=len(tasks))
        attempts = asyncio.run(send_all(server.url, tasks, policy, lambda bar=bar: progress.advance(bar)))  # type: ignore[misc]  # bound early on purpose
        rows.append(live_row(name, attempts))
    return rows


def _replayed(folder: Path, config: Path, tasks: Sequence[Task], progress: Progress) -> list[Row]:
    """One pool of answers to the fresh tasks, sampled once; every fixed arm replays it."""
    bar = progress.add_task("sample answers for the fixed arms", total=len(tasks) * DRAWS * 2)
    path = record_tasks(folder / "fresh.parquet", tasks, DRAWS, lambda: progress.advance(bar))
    table = read_recorded(path)
    configuration = load_configuration(config)
    menu = configured_menu(configuration)
    bundle = load_bundle(Path((folder / bundles_folder(configuration) / POINTER).read_text()), menu)
    price = Price(configuration.decision.price_per_usd)
    simulation = simulation_of(table, menu, bundle, price)
    pairs = [(query, arm) for query in table.queries for arm in menu if lack(query, arm) is None]
    replays = [replayed for shift in range(DRAWS) for replayed in simulation.replay(pairs, shift)]
    rows = [replayed_row("random arm", replays)]
    for arm in menu:
        own = [replayed for replayed in replays if replayed.arm == arm.id]
        if len({replayed.query_id for replayed in own}) == len(tasks):  # an arm that can serve every task
            rows.append(replayed_row(_short(arm.id), own))
    return rows


def _short(arm_id: str) -> str:
    for long, short in _SHORT.items():
        arm_id = arm_id.replace(long, short)
    return arm_id


_SHORT = {
    "smollm2/": "",
    "self_consistency:direct": "vote",
    "self_consistency": "vote:thought",
    "chain_of_thought": "thought",
}


def _show(console: Console, rows: Sequence[Row], title: str) -> None:
    table = Table(title=title)
    table.add_column("way of answering", no_wrap=True)
    for name in ("success", "95 %", "tokens", "USD per 1,000", "95 %", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            ("[bold]" if row.live else "") + row.name,
            f"{row.success.mean:.3f}",
            f"{row.success.low:.3f} to {row.success.high:.3f}",
            f"{row.tokens:.0f}",
            f"{row.cost.mean:.4f}",
            f"{row.cost.low:.4f} to {row.cost.high:.4f}",
            f"{row.latency_s:.2f}",
        )
    console.print(table)
    console.print(
        "seconds: the live rows waited behind each other on the same slots, the replayed ones did not"
    )
