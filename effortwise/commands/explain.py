"""``effortwise explain``: the decision card on the terminal."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from effortwise.bundled import starting_bundle
from router.configuration import load_configuration
from router.configured import configured_allocator, configured_menu
from router.domains import bound
from router.errors import InvalidQuery
from router.query import Query, Wishes
from router.verifiers import make_verifier
from serving.bundles import POINTER
from serving.decision_card import card_values
from serving.request_checks import WISHES
from serving.service import bundles_folder, first_bundle

_WIDTH = 140


def explain(
    config: Path,
    text: str,
    policy: str,
    max_cost_usd: float | None,
    deadline_s: float | None,
    stakes: float,
    verifier: str | None,
    json: bool,
) -> None:
    """Decide about a question without answering it, and print why."""
    configuration = load_configuration(config)
    menu = configured_menu(configuration)
    pointer = bundles_folder(configuration) / POINTER
    folder = Path(pointer.read_text().strip()) if pointer.exists() else starting_bundle(configuration)
    allocator = configured_allocator(configuration, first_bundle(folder, menu, configuration), menu)
    given = {"max_cost_usd": max_cost_usd, "deadline_s": deadline_s, "stakes": stakes}
    for name, value in given.items():
        if value is not None:
            WISHES[name](value, name)
    wishes = Wishes(max_cost_usd, deadline_s, stakes=stakes, verifier=_verifier(verifier))
    query = Query(({"role": "user", "content": text},), policy, wishes=wishes)
    values = card_values(allocator.card(bound(query, configuration.bindings)), menu)
    if json:
        print(json_module.dumps(values, indent=2))
    else:
        _print(values)


def _verifier(text: str | None) -> dict[str, Any] | None:
    """A request's verifier, checked as the service checks it."""
    if text is None:
        return None
    try:
        found = json_module.loads(text)
    except ValueError as error:
        raise InvalidQuery(f"--verifier takes JSON, as the field of a request does: {error}.") from None
    if not isinstance(found, dict):
        raise InvalidQuery('--verifier takes a JSON object, such as {"type": "exact", "reference": "4"}.')
    make_verifier(found)
    return found


def _print(values: dict[str, Any]) -> None:
    table = Table(
        title=f"{values['arm']}  (policy {values['versions']['policy']}, stakes {values['stakes']:g})"
    )
    table.add_column("arm", no_wrap=True)
    for name in ("P(success)", "USD per 1,000", "seconds", "utility", "propensity"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("excluded")
    for row in values["arms"]:
        table.add_row(
            ("[bold]" if row["arm"] == values["arm"] else "") + row["arm"],
            f"{row['quality']:.2f} ± {row['quality_sd']:.2f}",
            f"{1000 * row['cost_usd']:.4f}",
            f"{row['latency_s']:.2f}",
            f"{row['utility']:+.3f}",
            f"{row['propensity']:.3f}",
            row["excluded"] or "",
        )
    console = Console(width=max(Console().width, _WIDTH))
    console.print(table)
    price, versions = values["price"], values["versions"]
    console.print(
        f"price {price['per_usd']:g} per USD, {price['per_s']:g} per second; "
        f"reserves {values['reserved_usd']:.6f} USD; predictor {versions['predictor']}; "
        f"menu {versions['menu']}; configuration {versions['configuration']}"
    )
