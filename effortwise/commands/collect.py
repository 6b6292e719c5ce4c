"""``effortwise collect``: drive a running service with checkable tasks, and post what came of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from effortwise.collection.checkable import Checkable
from effortwise.collection.client import connected
from effortwise.collection.collector import Collector
from effortwise.collection.journal import Journal
from effortwise.collection.summary import print_summary
from effortwise.collection.workload import tasks_of
from router.errors import ConfigurationError, EffortwiseError

_TABLE_WIDTH = 100
_INTERRUPTED = 130
"""The exit code of a command that ended by SIGINT."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where tasks go. api_key_env: the environment variable that holds the key."""

    url: str
    model: str
    concurrency: int
    api_key_env: str | None

    @property
    def api_key(self) -> str | None:
        """The key; ``ConfigurationError`` where its variable is not set."""
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env)
        if not key:
            raise ConfigurationError(
                f"--api-key-env: the environment variable {self.api_key_env} is not set."
            )
        return key


def collect(workload: str, count: int | None, seed: int, target: Target, out: Path) -> None:
    """Ask, judge and report every task that the journal does not hold as done; then print the summary."""
    console = Console(width=max(Console().width, _TABLE_WIDTH))
    _require_sound(target)
    tasks = tasks_of(workload, count, seed)
    collection = {"workload": workload, "seed": seed, "model": target.model}
    with Journal.open(out, collection) as journal:
        if journal.answered:
            console.print(f"{out}: going on, {len(journal.done)} tasks were collected before", soft_wrap=True)
        interrupted = asyncio.run(_run(console, journal, tasks, target))
    if interrupted:
        console.print(f"Stopped. The same command goes on from {out}.", soft_wrap=True)
        raise typer.Exit(_INTERRUPTED)
    if tasks and not any(task.id in journal.answered for task in tasks):
        raise EffortwiseError("No task was answered: see above why.")


def _require_sound(target: Target) -> None:
    if not target.url.startswith(("http://", "https://")):
        raise ConfigurationError(f"--url begins with http:// or https://, not {target.url!r}.")
    if target.concurrency < 1:
        raise ConfigurationError(f"--concurrency is 1 or more, not {target.concurrency}.")


async def _run(console: Console, journal: Journal, tasks: Sequence[Checkable], target: Target) -> bool:
    """Whether it was stopped on the way."""
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        before = sum(task.id in journal.done for task in tasks)
        bar = progress.add_task("collect", total=len(tasks), completed=before)

        def waiting(why: str) -> None:
            progress.console.print(why, markup=False)

        async with connected(target.url, target.api_key, waiting) as client:
            if before < len(tasks):
                await client.reach()
            collector = Collector(client, journal, target.model, lambda: progress.advance(bar))
            told = await _collected(collector, tasks, target.concurrency, progress)
    print_summary(console, collector, tasks)
    if told is not None:
        raise EffortwiseError(
            f"{told} What was collected stands in {journal.path}: the same command goes on."
        )
    return collector.stopping


async def _collected(
    collector: Collector, tasks: Sequence[Checkable], concurrency: int, progress: Progress
) -> str | None:
    """Collect until the end, or until told to stop; what ended it, where that was an error."""
    work = asyncio.ensure_future(collector.collect(tasks, concurrency))

    def interrupt() -> None:
        if collector.stopping:
            work.cancel()
            return
        collector.stop()
        progress.console.print(
            f"Stopping after the {collector.under_way} under way; once more cuts them off."
        )

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)
    try:
        with suppress(asyncio.CancelledError):
            await work
    except EffortwiseError as error:
        return str(error)
    finally:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
    return None
