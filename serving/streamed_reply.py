"""StreamedReply: puts the chunks of an upstream's stream together again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router.call import Delta

_NAMES = frozenset({"id", "type", "name", "role", "index", "format"})
"""Strings that name something: they come whole, and some servers repeat them in every chunk."""


@dataclass(slots=True)
class StreamedReply:
    """One choice so far. ``usage`` and ``finish_reason`` stay ``None`` until the upstream tells them."""

    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    logprobs: dict[str, Any] = field(default_factory=dict)
    begun: bool = False
    _texts: dict[str, list[str]] = field(default_factory=dict)
    _parts: dict[str, Any] = field(default_factory=dict)

    def take(self, chunk: Mapping[str, Any]) -> Delta | None:
        """Add one chunk and give its piece, if it has one. ``TypeError``, ``KeyError`` or
        ``AttributeError`` where it has another shape than a chunk."""
        usage = chunk.get("usage")
        if usage:
            self.usage = usage
        choices = chunk.get("choices")
        if not choices:
            return None
        self.begun = True
        return self._take_choice(choices[0])

    def _take_choice(self, choice: Mapping[str, Any]) -> Delta:
        piece = choice.get("delta") or {}
        finish_reason, logprobs = choice.get("finish_reason"), choice.get("logprobs")
        self.finish_reason = finish_reason or self.finish_reason
        for key, value in piece.items():
            if type(value) is str and key not in _NAMES:
                self._texts.setdefault(key, []).append(value)
            else:
                _merge(self._parts, key, value)
        if logprobs:
            for key, value in logprobs.items():
                _merge(self.logprobs, key, value)
        prompt_tokens = self._running_total("prompt_tokens")
        return Delta(piece, finish_reason, logprobs, prompt_tokens, self._running_total("completion_tokens"))

    def _running_total(self, key: str) -> int | None:
        count = None if self.usage is None else self.usage.get(key)
        return count if type(count) is int else None

    @property
    def message(self) -> dict[str, Any]:
        """OpenAI's assistant message, as it would have come unstreamed."""
        texts = {key: "".join(pieces) for key, pieces in self._texts.items()}
        parts = {key: _unindexed(value) for key, value in self._parts.items()}
        return {"role": "assistant", "content": None, **texts, **parts}


def _merge(into: dict[str, Any], key: str, value: Any) -> None:
    """Add a piece: texts and lists grow, objects merge, items of lists are matched by their ``index``."""
    known = into.get(key)
    if value is None or (known is not None and key in _NAMES):
        return
    if isinstance(value, dict):
        target = into[key] = known if isinstance(known, dict) else {}
        for name, item in value.items():
            _merge(target, name, item)
    elif isinstance(value, list):
        target_list = into[key] = known if isinstance(known, list) else []
        for item in value:
            _merge_item(target_list, item)
    elif isinstance(value, str) and isinstance(known, str):
        into[key] = known + value
    else:
        into[key] = value


def _merge_item(items: list[Any], item: Any) -> None:
    if not isinstance(item, dict) or "index" not in item:
        items.append(item)
        return
    same = next(
        (known for known in items if isinstance(known, dict) and known.get("index") == item["index"]), None
    )
    if same is None:
        same = {}
        items.append(same)
    for key, value in item.items():
        _merge(same, key, value)


def _unindexed(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    return [
        {k: v for k, v in item.items() if k != "index"} if isinstance(item, dict) else item for item in value
    ]
