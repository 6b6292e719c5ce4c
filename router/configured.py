"""From a checked configuration to the decision's own nouns: cards, menu, policies, price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import fields
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from router.allocator import Allocator
from router.arm import Arm
from router.budget import Budget
from router.bundle import Bundle
from router.configuration import Configuration
from router.effort import Effort
from router.errors import ConfigurationError
from router.menu import Menu
from router.model_card import ModelCard
from router.policies import POLICIES, Policy
from router.price import Price
from router.sections import MenuSection, ModelSection, PolicySection
from router.strategies import STRATEGIES, Strategy
from router.strategies.cascade import Stage
from router.tariff import Tariff, to_nano
from router.tools import DEFAULT_TOOLS


def model_cards(configuration: Configuration) -> dict[str, ModelCard]:
    """The configured models by name."""
    return {name: _card(name, section) for name, section in configuration.models.items()}


def _card(name: str, section: ModelSection) -> ModelCard:
    return ModelCard(
        name,
        Tariff(section.usd_per_million_prompt_tokens, section.usd_per_million_completion_tokens),
        section.max_completion_tokens,
        section.context_tokens,
        section.tools,
        section.logprobs,
        section.response_format,
        section.continues,
        _effort(name, section),
    )


def _effort(name: str, section: ModelSection) -> Effort | None:
    told = section.effort
    if told is None:
        return None
    try:
        effort = Effort(told.style, told.levels, dict(told.tokens), dict(told.also))
    except ConfigurationError as error:
        raise ConfigurationError(f"models.{name}: {error}") from None
    if told.tokens and max(told.tokens.values()) >= section.max_completion_tokens:
        raise ConfigurationError(
            f"models.{name}.effort.tokens: {max(told.tokens.values())} thinking tokens leave no room for an "
            f"answer within max_completion_tokens = {section.max_completion_tokens}."
        )
    return effort


def configured_menu(configuration: Configuration) -> Menu:
    """The menu: every ``[[menu]]`` entry's strategy times its models times its ladder. Entries with
    ``stages`` refer to arms of the entries before them."""
    cards = model_cards(configuration)
    tools = set(configuration.tools or DEFAULT_TOOLS)
    arms: dict[str, Arm] = {}
    for entry in configuration.menu:
        for strategy in _strategies(entry, arms):
            _check_tools(f"[[menu]] {entry.strategy}", strategy, tools)
            arm = _arm(strategy, entry, cards)
            if arm.id in arms:
                raise ConfigurationError(f"[[menu]]: the arm {arm.id!r} stands twice.")
            arms[arm.id] = arm
    return Menu(tuple(arms.values()))


def _arm(strategy: Strategy, entry: MenuSection, cards: Mapping[str, ModelCard]) -> Arm:
    unknown = [name for name in strategy.demand() if name not in cards]
    if unknown:
        known = ", ".join(cards)
        raise ConfigurationError(f"[[menu]] {entry.strategy}: unknown model {unknown[0]!r}. Known: {known}.")
    mute = [name for name in strategy.demand() if not cards[name].logprobs]
    if mute and strategy.traits.needs_logprobs:
        raise ConfigurationError(
            f"[[menu]] {entry.strategy}: these options need log-probabilities. Set logprobs = true under "
            f"[models.{mute[0]}] where its backend gives them, or take others."
        )
    _check_thinking(f"[[menu]] {entry.strategy}", strategy, cards)
    rung = "" if strategy.compute == 1 else f"@{strategy.compute:g}"
    cost = None if entry.max_cost_usd is None else to_nano(entry.max_cost_usd)
    return Arm(
        strategy.family + rung,
        strategy,
        tuple(cards[name] for name in strategy.demand()),
        strategy.family,
        Budget(cost_nano=cost, seconds=entry.max_s),
    )


def _check_thinking(where: str, strategy: Strategy, cards: Mapping[str, ModelCard]) -> None:
    """What a strategy does with its models' thinking, they must be able to."""
    traits = strategy.traits
    for card in (cards[name] for name in strategy.demand()):
        if traits.needs_continuing and not card.continues:
            raise ConfigurationError(
                f"{where}: {card.name!r} must go on with a partial reply. Where its server can, say "
                f"continues = true under [models.{card.name}]."
            )
    for name, level in sorted(traits.levels):
        effort = cards[name].effort
        levels = () if effort is None else effort.levels
        if level not in levels:
            raise ConfigurationError(
                f"{where}: {name!r} takes no effort {level!r}. "
                f"Known: {', '.join(levels) or 'none'} ([models.{name}.effort])."
            )


def _check_tools(where: str, strategy: Strategy, tools: Set[str]) -> None:
    """A misspelt tool would be missed by nobody but the model."""
    if unknown := sorted(strategy.traits.server_tools - tools):
        raise ConfigurationError(
            f"{where}: there is no tool {unknown[0]!r}. Known: {', '.join(sorted(tools))} ([tools.<name>])."
        )


def _strategies(entry: MenuSection, arms: Mapping[str, Arm]) -> Iterator[Strategy]:
    kind = STRATEGIES[entry.strategy]
    options = dict(entry.options)
    if "stages" in options:
        options["stages"] = _stages(options["stages"], arms)
    for models in _models(kind, entry.models):
        for rung in _ladder(options):
            yield _constructed(f"[[menu]] {entry.strategy}", kind, {**models, **options, **rung})


def _models(kind: type[Any], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """One arm of all models for a strategy that takes several, else an arm for each."""
    if any(field.name == "models" for field in fields(kind)):
        return [{"models": names}] if names else [{}]
    return [{"model": name} for name in names] or [{}]


def _ladder(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One option may be a list: the compute ladder."""
    lists = [name for name, value in options.items() if isinstance(value, list)]
    if len(lists) > 1:
        raise ConfigurationError(f"[[menu]]: only one option may be a ladder, not {' and '.join(lists)}.")
    if lists and not options[lists[0]]:
        raise ConfigurationError(f"[[menu]]: the ladder {lists[0]!r} has no rungs.")
    return [{lists[0]: value} for value in options[lists[0]]] if lists else [{}]


def _stages(arm_ids: object, arms: Mapping[str, Arm]) -> tuple[Stage, ...]:
    if not isinstance(arm_ids, list):
        raise ConfigurationError(f"[[menu]]: stages is a list of arms, not {arm_ids!r}.")
    for arm_id in arm_ids:
        if not isinstance(arm_id, str) or arm_id not in arms:
            known = ", ".join(arms) or "none"
            raise ConfigurationError(f"[[menu]]: the stage {arm_id!r} names no earlier arm. Known: {known}.")
    return tuple(Stage(arm_id, arms[arm_id].strategy) for arm_id in arm_ids)


def configured_policies(configuration: Configuration, menu: Menu) -> dict[str, Policy]:
    """The policies by name; without any, ``auto`` is softmax with its documented options."""
    sections = configuration.policies or {"auto": PolicySection(type="softmax")}
    policies = {name: _policy(name, section) for name, section in sections.items()}
    for name, policy in policies.items():
        for option in ("arm", "without", "further_without"):
            named = getattr(policy, option, ())
            unknown = [arm for arm in ([named] if isinstance(named, str) else named) if arm not in menu]
            if unknown:
                raise ConfigurationError(
                    f"policies.{name}.{option} = {unknown[0]!r} is not on the menu: {', '.join(menu.ids)}."
                )
    return policies


def _policy(name: str, section: PolicySection) -> Policy:
    policy: Policy = _constructed(f"policies.{name}", POLICIES[section.type], section.options)
    Price(getattr(policy, "price_per_usd", None) or 0.0)  # raises where its own price is none
    return policy


def _constructed(where: str, kind: type[Any], options: Mapping[str, Any]) -> Any:
    known = [field.name for field in fields(kind)]
    unknown = [key for key in options if key not in known]
    if unknown:
        raise ConfigurationError(f"{where}: unknown key {unknown[0]!r} (known: {', '.join(known)}).")
    _check_types(where, kind, options)
    try:
        return kind(**options)
    except TypeError as error:
        raise ConfigurationError(f"{where}: {error} (known keys: {', '.join(known)}).") from error


def _check_types(where: str, kind: type[Any], options: Mapping[str, Any]) -> None:
    """A number where the option is a number, a text where it is a text."""
    types = get_type_hints(kind)
    for key, value in options.items():
        if not isinstance(value, int | float | str):
            continue
        try:
            TypeAdapter(types[key]).validate_python(value, strict=True)
        except ValidationError as error:
            raise ConfigurationError(f"{where}.{key} = {value!r}: {error.errors()[0]['msg']}.") from None


def configured_allocator(configuration: Configuration, bundle: Bundle, menu: Menu) -> Allocator:
    """The decision of a configuration, beginning with a bundle made or loaded for its menu."""
    decision = configuration.decision
    return Allocator(
        menu,
        configured_policies(configuration, menu),
        decision.policy,
        Price(decision.price_per_usd, decision.price_per_s),
        bundle,
        model_cards(configuration),
        default_arm(configuration, menu),
        configuration.hash,
    )


def feature_options(configuration: Configuration) -> dict[str, dict[str, Any]]:
    """Keyword arguments of the features, by name."""
    path = configuration.decision.embedding_model
    return {} if path is None else {"embedding": {"path": path}}


def default_arm(configuration: Configuration, menu: Menu) -> Arm:
    """The arm for when no decision can be made; the menu's first where none is named."""
    name = configuration.decision.default_arm
    if name is None:
        return menu.arms[0]
    if name not in menu:
        raise ConfigurationError(
            f"decision.default_arm = {name!r} is not on the menu: {', '.join(menu.ids)}."
        )
    return menu[name]
