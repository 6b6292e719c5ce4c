"""``effortwise models``: the configured models, and the probe of their native effort."""

from __future__ import annotations

import asyncio
import json as json_module
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from router.call import Call, Completion
from router.configuration import Configuration, load_configuration
from router.configured import model_cards
from router.errors import ConfigurationError
from router.model_card import ModelCard
from serving.effort_probe import PROBE, Probed, probe
from serving.service import configured_backends


def models(config: Path, json: bool) -> None:
    """Print every configured model with its prices and what its upstream takes."""
    cards = model_cards(load_configuration(config))
    if json:
        print(json_module.dumps({name: asdict(card) for name, card in cards.items()}, indent=2))
        return
    rows = [
        (card.name, *_prices(card), str(card.context_tokens), _abilities(card)) for card in cards.values()
    ]
    _print_table(("model", "USD/M prompt", "USD/M completion", "context", "takes"), rows)


def _prices(card: ModelCard) -> tuple[str, str]:
    tariff = card.tariff
    return f"{tariff.usd_per_million_prompt_tokens:g}", f"{tariff.usd_per_million_completion_tokens:g}"


def _abilities(card: ModelCard) -> str:
    names = ("tools", "logprobs", "response_format", "continues")
    able = [name for name in names if getattr(card, name)]
    levels = () if card.effort is None else (f"effort ({card.effort.style}): {' '.join(card.effort.levels)}",)
    return ", ".join((*able, *levels)) or "messages only"


def probe_model(config: Path, name: str, json: bool) -> None:
    """Make one small call per declared level of a model's effort, and print what came back. The calls are
    billed by the upstream, and stand on no trace."""
    configuration = load_configuration(config)
    cards = model_cards(configuration)
    if name not in cards or cards[name].effort is None:
        able = [card.name for card in cards.values() if card.effort is not None]
        raise ConfigurationError(
            f"No model {name!r} with an effort ([models.{name}.effort]). Known: {', '.join(able) or 'none'}."
        )
    found = asyncio.run(_probed(configuration, cards[name]))
    if json:
        print(json_module.dumps([asdict(probed) for probed in found], indent=2))
        return
    columns = ("level", "status", "thinking tokens", "completion tokens", "remark")
    _print_table(columns, [_row(probed) for probed in found])


def _row(probed: Probed) -> tuple[str, ...]:
    thinking = "not told" if probed.thinking_tokens is None else str(probed.thinking_tokens)
    return probed.level, probed.status, thinking, str(probed.completion_tokens), probed.remark


async def _probed(configuration: Configuration, card: ModelCard) -> list[Probed]:
    name = configuration.models[card.name].backend
    only = configuration.model_copy(update={"backends": {name: configuration.backends[name]}})
    backend = configured_backends(only, os.environ)[name]

    async def ask(card: ModelCard, parameters: Mapping[str, Any], cap: int) -> Completion:
        return await backend.complete(Call(card.name, PROBE, cap, parameters))

    try:
        return await probe(card, ask)
    finally:
        await backend.aclose()


def _print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
