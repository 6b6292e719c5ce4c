"""``effortwise train``: from traces to a registered challenger."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

from effortwise.bundled import BUNDLE, starting_bundle
from effortwise.commands.traces import open_store
from effortwise.programs import likeness_for
from router.behaviour import Likeness
from router.bundle import Bundle, cold_bundle, load_bundle
from router.configuration import Configuration, load_configuration
from router.configured import configured_menu, feature_options
from router.errors import BundleError, ConfigurationError, StoreError
from router.features import Extractor
from router.menu import Menu
from router.price import Price
from training.incumbent import LEAST_QUESTIONS as LEAST_COMPARED
from training.incumbent import Incumbent
from training.interchange import rounds_from_parquet
from training.likeness import Remembered
from training.recorded import read_recorded, replayed_rounds
from training.registry import BundleRegistry
from training.rounds import Rounds, rounds_from_traces
from training.train import TrainedBundle
from training.train import train as train_bundle

LEAST_QUESTIONS = 30
"""Judged, before a bundle is registered: with fewer nothing is held out that could tell it from a bad one."""
MOST_NAMED = 10
"""Arms in one line."""
SHIFTS = 3
"""How often each arm replays a recorded question, each time beginning at another draw."""


def train(
    config: Path, traces: Path | None, replay: Path | None, kind: str, out: Path | None, seed: int
) -> None:
    """Learn from the store, a table of traces, or a table of recorded draws that every arm replays."""
    configuration = load_configuration(config)
    menu = configured_menu(configuration)
    rounds, likeness = _rounds(configuration, menu, traces, replay, kind, seed)
    _say_rounds(rounds, menu)
    extractor = Extractor.of(configuration.decision.features, feature_options(configuration))
    serving = _incumbent(configuration, menu, registered=out is None)
    trained = train_bundle(rounds.rounds, menu, extractor, kind, seed, incumbent=serving, likeness=likeness)
    _say_metrics(trained)
    if serving is not None:
        _say_incumbent(trained)
    if out is not None:
        print(f"bundle {trained.save(out)} written to {out}")
    else:
        _register(configuration, trained)


def _rounds(
    configuration: Configuration,
    menu: Menu,
    traces: Path | None,
    replay: Path | None,
    kind: str,
    seed: int,
) -> tuple[Rounds, Likeness | None]:
    """And what tells which of their answers say the same."""
    if traces is not None and replay is not None:
        raise ConfigurationError("Give --traces or --replay, not both.")
    if replay is not None:
        return _replayed(configuration, menu, replay, kind, seed)
    rounds = _stored(configuration, menu) if traces is None else rounds_from_parquet([traces], menu)
    return rounds, likeness_for((r.query for r in rounds.rounds), configuration.sandbox)


def _stored(configuration: Configuration, menu: Menu) -> Rounds:
    store = open_store(configuration)
    try:
        return rounds_from_traces(store.traces(), store.outcomes(), menu)
    finally:
        store.close()


def _replayed(
    configuration: Configuration, menu: Menu, replay: Path, kind: str, seed: int
) -> tuple[Rounds, Likeness]:
    """Replayed twice: a cascade goes on or stops by what the predictor says, so what it will do in
    service shows only with a learnt one."""
    table = read_recorded(replay)
    price = Price(configuration.decision.price_per_usd)
    cold = cold_bundle(menu, configuration.decision.features, feature_options(configuration))
    replies = [table.replies[query.id] for query in table.queries]
    alike = Remembered.of(likeness_for(table.queries, configuration.sandbox), table.queries, replies)
    rounds = replayed_rounds(table, menu, cold, price, SHIFTS, alike).rounds
    first = train_bundle(rounds, menu, cold.extractor, kind, seed, likeness=alike)
    learnt = Bundle(cold.extractor, first.estimator(menu), first.confidence, "first pass")
    return replayed_rounds(table, menu, learnt, price, SHIFTS, alike), alike


def _say_rounds(rounds: Rounds, menu: Menu) -> None:
    print(f"{len(rounds.rounds)} rounds to learn from")
    others = Counter(r.arm for r in rounds.rounds if r.arm not in menu)
    if others:
        named = ", ".join(f"{arm} ({count})" for arm, count in others.most_common(MOST_NAMED))
        more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
        print(f"  {others.total()} of them only teach, since their arms are not on the menu: {named}{more}")
    for reason, count in rounds.dropped.items():
        print(f"  left out {count}: {reason}")
    shares = rounds.judged_shares()
    if shares:
        least, most = min(shares, key=lambda arm: shares[arm]), max(shares, key=lambda arm: shares[arm])
        print(
            f"  outcomes are missing unevenly: {shares[least]:.0%} of the answers of {least} have one, "
            f"{shares[most]:.0%} of those of {most}. Where an outcome depends on how good the answer was, "
            "what is learnt leans the same way: judge all answers, or a random part of each arm's"
        )


def _say_metrics(trained: TrainedBundle) -> None:
    summary = ", ".join(
        f"{key} {value}" for key, value in trained.summary.items() if not isinstance(value, Mapping)
    )
    print(f"trained: {summary}")
    for name, value in _numbers(trained.metrics):
        print(f"  {name:<44} {value:.4g}")
    gain = trained.metrics.get("gain", {})
    if gain and gain["low"] <= 0:
        print("  not shown to beat constants per arm: the interval of gain (log loss saved) reaches zero")


def _incumbent(configuration: Configuration, menu: Menu, *, registered: bool) -> Incumbent | None:
    """The bundle that serves now: what the registry's alias stands for, else the one of the configuration.
    registered: whether the registry may be asked."""
    section = configuration.registry
    with tempfile.TemporaryDirectory() as folder:
        try:
            fetched = None
            if section is not None and registered:
                fetched = configured_registry(configuration).fetch(section.alias, Path(folder))
            path = fetched or starting_bundle(configuration)
            if path is None:
                return None
            bundle = load_bundle(path, menu, feature_options(configuration))
        except (BundleError, StoreError) as error:
            print(f"not compared with the bundle that serves: {error}")
            return None
    learnt_until = (bundle.manifest.get("summary") or {}).get("last_at")
    return Incumbent(bundle, -inf if path == BUNDLE else learnt_until)  # what ships saw no trace


def _say_incumbent(trained: TrainedBundle) -> None:
    both = trained.metrics.get("incumbent")
    if both is None:
        print(
            f"not compared with the bundle that serves: it takes {2 * LEAST_COMPARED} questions that are "
            "later than all that it learnt from"
        )
        return
    gain = both["gain"]
    print(
        f"against bundle {both['version']}, which serves, on {both['rounds']} rounds that are new to both: "
        f"log loss {both['log_loss_of_this']:.4f}, its own {both['log_loss']:.4f}, "
        f"saved {gain['mean']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
    )
    if _is_worse(trained):
        print("  it predicts worse: `effortwise promote` refuses it without --anyway")


def _is_worse(trained: TrainedBundle) -> bool:
    both = trained.metrics.get("incumbent")
    return both is not None and both["gain"]["high"] < 0


def _numbers(metrics: Mapping[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for key, value in metrics.items():
        if isinstance(value, Mapping) and key not in ("arms", "incumbent"):
            found += _numbers(value, f"{prefix}{key}.")
        elif isinstance(value, int | float):
            found.append((prefix + key, float(value)))
    return found


def _register(configuration: Configuration, trained: TrainedBundle) -> None:
    questions = int(trained.summary["questions"])
    if questions < LEAST_QUESTIONS:
        raise ConfigurationError(
            f"{questions} judged questions are too few to learn from and to measure on: at least "
            f"{LEAST_QUESTIONS} are needed before a bundle may take another's place. `effortwise collect` "
            "gathers some; `train --out FOLDER` writes this one to look at."
        )
    registry = configured_registry(configuration)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle"
        version = trained.save(path)
        number = registry.register(path, dict(trained.summary), trained.metrics)
    print(f"bundle {version} is version {number} of {registry.model!r} in MLflow, alias challenger")
    if not _is_worse(trained):
        print("`effortwise promote` makes it the champion; a running service then swaps to it")


def configured_registry(configuration: Configuration) -> BundleRegistry:
    """The registry of the configuration; ``ConfigurationError`` without one."""
    section = configuration.registry
    if section is None:
        raise ConfigurationError("The configuration has no [registry]; `train --out FOLDER` needs none.")
    return BundleRegistry(section.tracking_uri, section.model)
