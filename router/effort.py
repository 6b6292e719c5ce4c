"""Effort: how long a model is asked to think, in the callers' words and in each provider's own.

A caller's ``reasoning_effort`` is a wish (``EFFORTS``: its worth and its cap on calls). An operator's
``[models.<name>.effort]`` is a capability (``Effort``: which levels the model takes, and in what form).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from router.call import Completion
from router.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class EffortWish:
    """What a level of ``reasoning_effort`` means where the service decides. stakes: a factor on what a
    right answer is worth; calls: a cap on upstream calls per choice, ``None`` for none."""

    stakes: float
    calls: int | None = None


EFFORTS: Mapping[str, EffortWish] = {
    "none": EffortWish(0.125, 1),
    "minimal": EffortWish(0.25, 1),
    "low": EffortWish(0.5, 4),
    "medium": EffortWish(1.0),
    "high": EffortWish(2.0),
    "xhigh": EffortWish(4.0),
    "max": EffortWish(8.0),
}
"""The levels, in order. Each doubles the worth of a right answer; ``medium`` changes nothing."""

UNTHINKING = frozenset({"none", "minimal"})
"""Levels at which no thinking is promised."""

Parameters: TypeAlias = Mapping[str, Any]
Form: TypeAlias = Callable[[str, int | None], Parameters]
"""From a level and its thinking tokens, if it has any, to fields of the request's body."""


def _openai(level: str, tokens: int | None) -> Parameters:
    return {"reasoning_effort": level}


def _anthropic(level: str, tokens: int | None) -> Parameters:
    if tokens is not None:
        return {"thinking": {"type": "enabled", "budget_tokens": tokens}}
    return {"thinking": {"type": "adaptive"}, "output_config": {"effort": level}}


def _gemini(thinking: Parameters) -> Parameters:
    return {"extra_body": {"google": {"thinking_config": thinking}}}


def _gemini_budget(level: str, tokens: int | None) -> Parameters:
    return _gemini({"thinking_budget": tokens})


def _gemini_level(level: str, tokens: int | None) -> Parameters:
    return _gemini({"thinking_level": level})


def _openrouter(level: str, tokens: int | None) -> Parameters:
    return {"reasoning": {"effort": level} if tokens is None else {"max_tokens": tokens}}


def _vllm(level: str, tokens: int | None) -> Parameters:
    return {"thinking_token_budget": tokens}


def _sglang(level: str, tokens: int | None) -> Parameters:
    return {"custom_params": {"thinking_budget": tokens}}


def _llama_cpp(level: str, tokens: int | None) -> Parameters:
    return {"thinking_budget_tokens": tokens}


STYLES: Mapping[str, Form] = {
    "openai": _openai,
    "anthropic": _anthropic,
    "gemini_budget": _gemini_budget,
    "gemini_level": _gemini_level,
    "openrouter": _openrouter,
    "vllm": _vllm,
    "sglang": _sglang,
    "llama_cpp": _llama_cpp,
}
"""The forms that providers and servers take a level in. None is taken on trust: a probe asks."""

_BY_TOKENS = frozenset({"gemini_budget", "vllm", "sglang", "llama_cpp"})
_BY_NAME = frozenset({"openai", "gemini_level"})


@dataclass(frozen=True, slots=True)
class Effort:
    """The levels that one model takes.

    style: of ``STYLES``. levels: names of ``EFFORTS``, in their order. tokens: what a level may think at
    most, where the style counts tokens. also: further fields of the body that every level needs.
    Raises ``ConfigurationError`` where these do not fit one another.
    """

    style: str
    levels: Sequence[str]
    tokens: Mapping[str, int] = field(default_factory=dict, hash=False)
    also: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise ConfigurationError(f"Unknown effort style {self.style!r}. Known: {', '.join(STYLES)}.")
        ordered = [level for level in EFFORTS if level in self.levels]
        if not ordered or list(self.levels) != ordered:
            raise ConfigurationError(
                f"effort.levels: some of {', '.join(EFFORTS)}, in this order, not {list(self.levels)}."
            )
        self._check_tokens()

    def _check_tokens(self) -> None:
        unknown = [level for level in self.tokens if level not in self.levels]
        missing = [level for level in self.levels if level not in self.tokens]
        if unknown or (self.tokens and self.style in _BY_NAME):
            raise ConfigurationError(
                f"effort.tokens: the style {self.style!r} with these levels takes none for "
                f"{', '.join(unknown or self.tokens)}."
            )
        if missing and (self.tokens or self.style in _BY_TOKENS):
            raise ConfigurationError(
                f"effort.tokens: the style {self.style!r} needs the thinking tokens of {missing[0]!r}."
            )

    def parameters(self, level: str) -> dict[str, Any]:
        """What the request's body says at a level; ``KeyError`` at one that the model does not take."""
        if level not in self.levels:
            raise KeyError(level)
        return {**self.also, **STYLES[self.style](level, self.tokens.get(level))}

    def level_of(self, parameters: Parameters) -> str | None:
        """The level that a call's parameters ask for."""
        for level in self.levels:
            if all(parameters.get(key) == value for key, value in self.parameters(level).items()):
                return level
        return None

    def promises_thinking(self, level: str) -> bool:
        """Whether a model at this level is to think at all."""
        return level not in UNTHINKING and self.tokens.get(level) != 0


def thinking_tokens(completion: Completion) -> int | None:
    """The tokens of hidden thinking that a reply's usage tells; ``None`` where it tells none."""
    details = completion.usage_details.get("completion_tokens_details")
    count = details.get("reasoning_tokens") if isinstance(details, Mapping) else None
    return count if type(count) is int else None


def shows_thinking(completion: Completion) -> bool:
    """Whether the usage counts thinking, or the message holds some (``reasoning_content`` of vLLM and
    SGLang, ``reasoning`` of OpenRouter)."""
    said = completion.message
    return bool(thinking_tokens(completion) or said.get("reasoning_content") or said.get("reasoning"))
