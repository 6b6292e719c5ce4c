"""Journal: what a collection has done so far, one JSON object a line, so that it can go on after its end.

Lines are only appended. The first tells which collection it is; then come, per task, ``answered`` (with
the reply, so that it can be judged again) and ``done`` (the service acknowledged the outcome, or there is
none to post). What a killed process left of its last line is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import orjson

from effortwise.collection.client import Reply
from router.errors import ConfigurationError


@dataclass(slots=True)
class Journal:
    """answered: replies by task. done: rewards by task, ``None`` where the judge could not tell."""

    path: Path
    file: BinaryIO
    answered: dict[str, Reply] = field(default_factory=dict)
    done: dict[str, float | None] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, collection: Mapping[str, Any]) -> Journal:
        """The journal of a collection, new or from where it stopped. ``ConfigurationError`` where the file
        holds another collection, or none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        whole, lines = _whole_lines(path)
        if lines:
            _require_same(path, lines[0], collection)
        journal = cls(path, path.open("ab"))
        journal.file.truncate(whole)
        if not lines:
            journal._append({"collection": dict(collection)})
        for line in lines[1:]:
            journal._recall(line)
        return journal

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def answer(self, task_id: str, reply: Reply) -> None:
        """A reply came, and is not judged yet."""
        self.answered[task_id] = reply
        self._append({"task": task_id, "answered": asdict(reply)})

    def finish(self, task_id: str, reward: float | None) -> None:
        """The service acknowledged the outcome; ``None``: there was none to post."""
        self.done[task_id] = reward
        self._append({"task": task_id, "done": reward})

    def forget(self, task_id: str) -> None:
        """The service does not know the reply's trace any more: the task is to be asked again."""
        self.answered.pop(task_id, None)

    def _recall(self, line: Mapping[str, Any]) -> None:
        if "answered" in line:
            self.answered[line["task"]] = Reply(**line["answered"])
        else:
            self.done[line["task"]] = line["done"]

    def _append(self, line: Mapping[str, Any]) -> None:
        self.file.write(orjson.dumps(line) + b"\n")
        self.file.flush()


def _whole_lines(path: Path) -> tuple[int, list[dict[str, Any]]]:
    """How many bytes are of whole lines, and these."""
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    try:
        return len(whole), [dict(orjson.loads(line)) for line in whole.splitlines()]
    except (orjson.JSONDecodeError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{path} is no journal of a collection: name another --out.") from error


def _require_same(path: Path, first: Mapping[str, Any], collection: Mapping[str, Any]) -> None:
    held = first.get("collection")
    if not isinstance(held, dict):
        raise ConfigurationError(f"{path} is no journal of a collection: name another --out.")
    differing = [f"{key} = {held.get(key)}" for key, value in collection.items() if held.get(key) != value]
    if differing:
        raise ConfigurationError(
            f"{path} holds another collection ({', '.join(differing)}): name another --out, or delete it."
        )
