"""Configuration: one file, checked whole at start, and every mistake named."""

from __future__ import annotations

import copy
import inspect
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from router.bundle import cold_bundle
from router.configuration import Configuration, _section_at, load_configuration, parse_configuration
from router.configured import (
    configured_allocator,
    configured_menu,
    configured_policies,
    default_arm,
    model_cards,
)
from router.errors import ConfigurationError
from router.model_card import ModelCard
from router.policies import POLICIES
from router.query import Query
from router.sections import BackendSection, MenuSection, PolicySection, ToolSection
from router.strategies import STRATEGIES
from router.tariff import Tariff
from serving.backends import BACKENDS

ROOT = Path(__file__).parent.parent
SHIPPED = ["config/local.toml", "config/example.toml", "effortwise/data/demo.toml"]
MODEL = {"backend": "fake", "usd_per_million_prompt_tokens": 1.0, "usd_per_million_completion_tokens": 2.0}
SMALLEST: Mapping[str, Any] = {
    "backends": {"fake": {"type": "scripted"}},
    "models": {"small": MODEL, "large": {**MODEL, "tools": True}},
    "menu": [{"strategy": "direct", "models": ["small", "large"]}],
}


def smallest(**tables: Any) -> dict[str, Any]:
    """The smallest configuration, with tables replaced or added."""
    return {**copy.deepcopy(dict(SMALLEST)), **tables}


def menu_error(*entries: Mapping[str, Any]) -> str:
    with pytest.raises(ConfigurationError) as raised:
        configured_menu(parse_configuration(smallest(menu=list(entries))))
    return str(raised.value)


def test_the_smallest_configuration_is_enough() -> None:
    """Backends, models and a menu; all else has a default that is documented."""
    parsed = parse_configuration(smallest())
    menu = configured_menu(parsed)
    assert menu.ids == ["small/direct", "large/direct"]
    assert list(configured_policies(parsed, menu)) == ["auto"]
    allocator = configured_allocator(parsed, cold_bundle(menu), menu)
    assert allocator.plan(Query([{"role": "user", "content": "hi"}])).propensity


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_files_make_their_menus(name: str) -> None:
    """Each file parses, its policies and its default arm stand, and a decision comes of it."""
    parsed = load_configuration(ROOT / name)
    menu = configured_menu(parsed)
    allocator = configured_allocator(parsed, cold_bundle(menu), menu)
    assert allocator.default.id in menu
    for target in ("auto", *parsed.policies):
        assert allocator.plan(Query([{"role": "user", "content": "2 + 3?"}], target=target)).arm.id in menu


def documented() -> Mapping[str, Any]:
    """The example file's values, with those that stand in a comment because they have no default."""
    lines = (ROOT / "config/example.toml").read_text()
    return tomllib.loads(re.sub(r"(?m)^# (\w+ = )", r"\1", lines))


def keys_of(*tables: Mapping[str, Any]) -> set[str]:
    return {key for table in tables for key in table}


@pytest.mark.parametrize("name", Configuration.model_fields)
def test_the_example_documents_every_key_of_every_section(name: str) -> None:
    """A new key without a line in ``config/example.toml`` fails here."""
    open_sections = {
        "backends": BackendSection,
        "menu": MenuSection,
        "policies": PolicySection,
        "tools": ToolSection,
    }
    section = open_sections.get(name) or _section_at((name,))
    written = documented()[name]
    if name in ("backends", "models", "policies", "domains", "tools"):
        written = keys_of(*written.values())
    elif name in ("menu", "accounts"):
        written = keys_of(*written)
    assert section is not Configuration
    assert set(section.model_fields) - set(written) == set()


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_example_documents_every_option_of_a_strategy(name: str) -> None:
    """Each strategy has an entry on the example's menu, and each of its options stands in one."""
    written = keys_of(*(entry for entry in documented()["menu"] if entry["strategy"] == name))
    options = {item.name for item in fields(STRATEGIES[name])} - {"model"}  # models names them
    assert written
    assert options - written == set()


@pytest.mark.parametrize("name", POLICIES)
def test_the_example_documents_every_option_of_a_policy(name: str) -> None:
    """Each policy has a section in the example, and each of its options stands in one."""
    written = keys_of(*(each for each in documented()["policies"].values() if each["type"] == name))
    assert written
    assert {item.name for item in fields(POLICIES[name])} - written == set()


@pytest.mark.parametrize("name", BACKENDS)
def test_the_example_documents_every_option_of_a_backend(name: str) -> None:
    """Each backend has a section in the example, and each argument of its constructor stands in one; keys
    are named by their environment variable, and upstream names stand with the models."""
    written = keys_of(*(each for each in documented()["backends"].values() if each["type"] == name))
    arguments = inspect.signature(BACKENDS[name]).parameters
    taken = {"api_key_env" if key == "api_key" else key for key in arguments}
    assert written
    assert taken - {"upstream"} - written == set()


WRONG: Mapping[str, tuple[dict[str, Any], str]] = {
    "unknown section": (smallest(servers={}), "unknown key 'servers' (known: accounts, backends, "),
    "unknown key of the server": (
        smallest(server={"prot": 1}),
        "unknown key 'server.prot' (known: caller_tools, ",
    ),
    "unknown key of the store": (smallest(store={"file": "x"}), "unknown key 'store.file' (known: path, "),
    "unknown key of the registry": (smallest(registry={"x": 1}), "unknown key 'registry.x' (known: alias, "),
    "unknown key of the decision": (
        smallest(decision={"lambda": 1}),
        "unknown key 'decision.lambda' (known: bundle, default_arm, ",
    ),
    "unknown key of the resilience": (
        smallest(resilience={"retries": 1}),
        "unknown key 'resilience.retries' (known: attempts, ",
    ),
    "unknown key of a model": (
        smallest(models={"small": {**MODEL, "max_tokens": 5}}),
        "unknown key 'models.small.max_tokens' (known: backend, context_tokens, ",
    ),
    "unknown key of an account": (
        smallest(accounts=[{"name": "a", "cap": 1}]),
        "unknown key 'accounts.0.cap' (known: allowance_usd, ",
    ),
    "missing section": ({"backends": {}, "models": {}}, "missing key 'menu'"),
    "missing price": (
        smallest(models={"small": {"backend": "fake", "usd_per_million_prompt_tokens": 1.0}}),
        "missing key 'models.small.usd_per_million_completion_tokens' (every model needs its price; 0 must",
    ),
    "negative price": (
        smallest(models={"small": {**MODEL, "usd_per_million_prompt_tokens": -1}}),
        "models.small.usd_per_million_prompt_tokens: ",
    ),
    "infinite price": (smallest(decision={"price_per_usd": float("inf")}), "decision.price_per_usd: "),
    "infinite allowance": (
        smallest(accounts=[{"name": "a", "allowance_usd": float("inf")}]),
        "accounts.0.allowance_usd: ",
    ),
    "unknown backend": (
        smallest(models={"small": {**MODEL, "backend": "nowhere"}}),
        "models.small.backend = 'nowhere' is not configured; known: fake",
    ),
    "unknown model on the menu": (
        smallest(menu=[{"strategy": "direct", "models": ["medium"]}]),
        "menu.0.models = 'medium' is not configured; known: large, small",
    ),
    "unknown policy": (
        smallest(decision={"policy": "wise"}),
        "decision.policy = 'wise' is not configured; known: none",
    ),
    "auto among other policies": (
        smallest(policies={"cheap": {"type": "greedy"}}),
        "decision.policy = 'auto' is not configured; known: cheap",
    ),
    "model named like a policy": (
        smallest(decision={"policy": "small"}, policies={"small": {"type": "greedy"}}),
        "models.small: a caller who asks for 'small' gets a policy",
    ),
    "account twice": (smallest(accounts=[{"name": "a"}, {"name": "a"}]), "accounts: 'a' stands twice"),
    "key that is no digest": (
        smallest(accounts=[{"name": "a", "api_keys_sha256": ["secret"]}]),
        "accounts.0.api_keys_sha256.0: ",
    ),
    "unknown window": (smallest(accounts=[{"name": "a", "window": "year"}]), "accounts.0.window: "),
    "empty menu": (smallest(menu=[]), "menu: "),
    "wrong type": (smallest(server={"port": "high"}), "server.port: "),
    "section that is none": (smallest(server=3), "server: "),
}


@pytest.mark.parametrize(("values", "message"), WRONG.values(), ids=list(WRONG))
def test_a_mistake_is_named_with_its_key_and_the_known_choices(values: dict[str, Any], message: str) -> None:
    """The message starts at the file and says what to change."""
    with pytest.raises(ConfigurationError) as raised:
        parse_configuration(values, "my.toml")
    assert str(raised.value).startswith("my.toml: ")
    assert message in str(raised.value)


def test_several_mistakes_are_told_at_once() -> None:
    """One start shows all that is wrong with the values."""
    with pytest.raises(ConfigurationError, match=r"server\.prot.*store\.file"):
        parse_configuration(smallest(server={"prot": 1}, store={"file": 1}))


MENUS: Mapping[str, tuple[list[dict[str, Any]], str]] = {
    "unknown strategy": (
        [{"strategy": "oracle", "models": ["small"]}],
        "Unknown strategy 'oracle'. Known: agreement_cascade, ",
    ),
    "unknown option": (
        [{"strategy": "best_of_n", "models": ["small"], "k": 4}],
        "unknown key 'k' (known: model, n, template, judge, ",
    ),
    "missing option": ([{"strategy": "best_of_n", "models": ["small"]}], "'n'"),
    "missing models": ([{"strategy": "direct"}], "'model'"),
    "option of another type": (
        [{"strategy": "best_of_n", "models": ["small"], "n": 2.5}],
        "best_of_n.n = 2.5",
    ),
    "text for a number": (
        [{"strategy": "best_of_n", "models": ["small"], "n": "four"}],
        "best_of_n.n = 'four'",
    ),
    "number for a text": (
        [{"strategy": "best_of_n", "models": ["small"], "n": 4, "judge": 3}],
        "best_of_n.judge = 3",
    ),
    "option out of range": ([{"strategy": "best_of_n", "models": ["small"], "n": 1}], "n >= 2"),
    "unknown template": (
        [{"strategy": "self_consistency", "models": ["small"], "n": 4, "template": "rhyme"}],
        "Unknown template 'rhyme'. Known: ",
    ),
    "unknown judge": (
        [{"strategy": "best_of_n", "models": ["small"], "n": 4, "judge": "sage"}],
        "unknown model 'sage'. Known: small, large",
    ),
    "two ladders": (
        [{"strategy": "self_consistency", "models": ["small"], "n": [4, 8], "stop_at": [0.9, 1.0]}],
        "only one option may be a ladder, not n and stop_at",
    ),
    "ladder without rungs": (
        [{"strategy": "best_of_n", "models": ["small"], "n": []}],
        "the ladder 'n' has no rungs",
    ),
    "arm twice": (
        [{"strategy": "direct", "models": ["small", "small"]}],
        "the arm 'small/direct' stands twice",
    ),
    "unknown stage": (
        [{"strategy": "cascade", "stages": ["small/direct", "large/direct"]}],
        "the stage 'small/direct' names no earlier arm. Known: none",
    ),
    "stages that are no list": (
        [{"strategy": "cascade", "stages": "small/direct"}],
        "stages is a list of arms",
    ),
    "stage that is no name": ([{"strategy": "cascade", "stages": [["x"]]}], "the stage ['x'] names no"),
    "too few stages": ([{"strategy": "cascade", "stages": []}], "two or more stages"),
}  # fmt: skip


@pytest.mark.parametrize(("entries", "message"), MENUS.values(), ids=list(MENUS))
def test_a_mistake_on_the_menu_is_named(entries: list[dict[str, Any]], message: str) -> None:
    """Before any request, with the entry's strategy and the known choices."""
    assert message in menu_error(*entries)


BETWEEN = {"type": "between", "price_per_usd": 1.0, "further_per_usd": 2.0, "share": 0.5}
POLICY_MISTAKES: Mapping[str, tuple[dict[str, Any], str]] = {
    "unknown type": ({"type": "wise"}, "Unknown policy 'wise'. Known: between, epsilon_greedy, "),
    "unknown option": ({"type": "softmax", "heat": 1}, "unknown key 'heat' (known: temperature, top, "),
    "option out of range": ({"type": "softmax", "temperature": 0.0}, "softmax needs temperature > 0"),
    "option of another type": ({"type": "softmax", "top": 2.5}, "policies.auto.top = 2.5"),
    "text for a number": ({"type": "softmax", "temperature": "hot"}, "policies.auto.temperature = 'hot'"),
    "negative price": ({"type": "greedy", "price_per_usd": -1.0}, "Prices must be 0 or more"),
    "missing arm": ({"type": "fixed"}, "'arm'"),
    "unknown arm": (
        {"type": "fixed", "arm": "medium/direct"},
        "policies.auto.arm = 'medium/direct' is not on the menu: small/direct, large/direct",
    ),
    "unknown arm left out": (
        {**BETWEEN, "further_without": ["small/direct", "medium/direct"]},
        "policies.auto.further_without = 'medium/direct' is not on the menu: small/direct, large/direct",
    ),
    "one arm for a list": ({**BETWEEN, "without": "small/direct"}, "policies.auto.without = 'small/direct'"),
}


@pytest.mark.parametrize(("section", "message"), POLICY_MISTAKES.values(), ids=list(POLICY_MISTAKES))
def test_a_mistake_in_a_policy_is_named(section: dict[str, Any], message: str) -> None:
    """Before any request, with the policy's name and the known choices."""
    parsed = parse_configuration(smallest(policies={"auto": section}))
    with pytest.raises(ConfigurationError) as raised:
        configured_policies(parsed, configured_menu(parsed))
    assert message in str(raised.value)


def test_a_default_arm_must_be_on_the_menu() -> None:
    """Without one it is the menu's first."""
    parsed = parse_configuration(smallest(decision={"default_arm": "large/direct"}))
    assert default_arm(parsed, configured_menu(parsed)).id == "large/direct"
    assert default_arm(parse_configuration(smallest()), configured_menu(parsed)).id == "small/direct"
    unknown = parse_configuration(smallest(decision={"default_arm": "medium/direct"}))
    with pytest.raises(ConfigurationError, match="default_arm = 'medium/direct' is not on the menu: small"):
        default_arm(unknown, configured_menu(parsed))


def test_a_ladder_makes_an_arm_for_every_rung_and_model() -> None:
    """Ids carry the rung; arms of one family differ in compute only; caps stand on every arm."""
    entry = {
        "strategy": "best_of_n", "models": ["small", "large"], "n": [2, 4], "max_cost_usd": 0.5, "max_s": 9.0,
    }  # fmt: skip
    menu = configured_menu(parse_configuration(smallest(menu=[entry])))
    assert menu.ids == ["small/best_of_n@2", "small/best_of_n@4", "large/best_of_n@2", "large/best_of_n@4"]
    assert [arm.family for arm in menu][:2] == ["small/best_of_n"] * 2
    assert {(arm.budget.cost_nano, arm.budget.seconds) for arm in menu} == {(500_000_000, 9.0)}


def test_a_cascade_is_made_of_earlier_arms() -> None:
    """Its models are those of its stages."""
    entries = [*SMALLEST["menu"], {"strategy": "cascade", "stages": ["small/direct", "large/direct"]}]
    arm = configured_menu(parse_configuration(smallest(menu=entries))).arms[-1]
    assert arm.id == "cascade(small/direct>large/direct)"
    assert {card.name for card in arm.models} == {"small", "large"}


def test_cards_carry_what_the_file_says() -> None:
    """Every field of a model reaches its card."""
    values = {**MODEL, "max_completion_tokens": 7, "context_tokens": 70, "tools": True, "logprobs": True}
    models = {"small": {**values, "response_format": True}, "large": MODEL}
    cards = model_cards(parse_configuration(smallest(models=models)))
    assert cards["small"] == ModelCard("small", Tariff(1.0, 2.0), 7, 70, True, True, True)
    assert cards["large"] == ModelCard("large", Tariff(1.0, 2.0), 1024, 8192, False, False, False)


def leaves(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all plain values."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield from leaves(value, (*path, key))
    elif isinstance(values, list):
        for i, value in enumerate(values):
            yield from leaves(value, (*path, i))
    else:
        yield path


def test_the_hash_changes_with_any_value() -> None:
    """Every value of the example file counts, options of backends, strategies and policies included."""
    values = tomllib.loads((ROOT / "config/example.toml").read_text())
    original = parse_configuration(values).hash
    assert parse_configuration(copy.deepcopy(values)).hash == original
    changed = 0
    for path in leaves(values):
        other = copy.deepcopy(values)
        place: Any = other
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = _another(place[path[-1]])
        try:
            parsed = parse_configuration(other)
        except ConfigurationError:
            continue  # a name that other values refer to
        changed += 1
        assert parsed.hash != original, path
    assert changed > 40


def _another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    same = {"whole": "none", "normal": "full", "month": "day"}
    return same.get(value, value[::-1] if len(value) == 64 else f"{value}x")


def test_defaults_count_in_the_hash_like_what_is_written() -> None:
    """A file that spells a default out decides the same, and has the same hash."""
    assert parse_configuration(smallest(server={"port": 8000})).hash == parse_configuration(smallest()).hash


@pytest.mark.parametrize(
    ("content", "message"), [(b"[server", "no readable TOML"), (b"\xff\xfe", "no readable TOML")]
)
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    """The path and the parser's own words."""
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=message) as raised:
        load_configuration(path)
    assert str(path) in str(raised.value)


def test_a_missing_file_points_to_the_shipped_one(tmp_path: Path) -> None:
    """A folder is no file either."""
    with pytest.raises(ConfigurationError, match=r"No configuration file .*; try config/local\.toml"):
        load_configuration(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="no readable TOML"):
        load_configuration(tmp_path)


def test_a_configuration_never_changes() -> None:
    """Its hash stands on every trace."""
    parsed: Configuration = parse_configuration(smallest())
    with pytest.raises(ValueError, match="frozen"):
        parsed.server.port = 1
