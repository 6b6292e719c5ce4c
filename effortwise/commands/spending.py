"""``effortwise spending``: what every account has spent, and what it has left."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from effortwise.commands.traces import open_store
from router.configuration import load_configuration
from serving.accounts import Accounts
from serving.spending import spending_values

_COLUMNS = ("account", "window", "spent_usd", "reserved_usd", "allowance_usd", "left_usd")


def spending(config: Path, json: bool) -> None:
    """Of the present windows, read from the store; a service may run meanwhile."""
    configuration = load_configuration(config)
    at = time.time()
    store = open_store(configuration)
    try:
        values = [
            spending_values(each, store.balance(each.account, each.key(at)), at)
            for each in Accounts.of(configuration).allowances
        ]
    finally:
        store.close()
    if json:
        print(orjson.dumps(values, option=orjson.OPT_INDENT_2).decode())
    else:
        _show(values)


def _show(values: list[dict[str, Any]]) -> None:
    table = Table(*_COLUMNS[:2], title="USD")
    for name in _COLUMNS[2:]:
        table.add_column(name.removesuffix("_usd"), justify="right")
    for each in values:
        table.add_row(*(_cell(each[name]) for name in _COLUMNS))
    Console().print(table)


def _cell(value: str | float | None) -> str:
    if value is None:
        return "no cap"
    return value if isinstance(value, str) else f"{value:.6f}"
