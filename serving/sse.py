"""Server-sent events, as OpenAI's streams use them: framing, and an incremental parser.

The format is that of the WHATWG HTML standard, section 9.2; of an event only its data is kept.
"""

from __future__ import annotations

from router.errors import MalformedReply

DONE_DATA = b"[DONE]"
DONE = b"data: [DONE]\n\n"
MAX_EVENT_BYTES = 16 * 1024 * 1024
"""An upstream that sends more without ending an event sends no chat completion."""

_LF = 10


def frame(data: bytes) -> bytes:
    """One event with one line of data."""
    return b"data: " + data + b"\n\n"


class EventParser:
    r"""Cuts a byte stream into events, whatever pieces it comes in.

    >>> parser = EventParser()
    >>> parser.feed(b"data: a\r"), parser.feed(b"\n: note\r\n\r\nda"), parser.feed(b"ta: b\n\n")
    ([], [b'a'], [b'b'])
    """

    __slots__ = ("_after_cr", "_data", "_held_bytes", "_tail")

    def __init__(self) -> None:
        self._tail: list[bytes] = []  # pieces of a line that has not ended
        self._data: list[bytes] = []  # data lines of an event that has not ended
        self._held_bytes = 0
        self._after_cr = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of every event that this piece ends. ``MalformedReply`` where one grows without end."""
        self._held_bytes += len(piece)
        events = []
        for line in self._lines(piece):
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                self._data.append(b"")
            elif not line:
                events += self._ended()
        if self._held_bytes > MAX_EVENT_BYTES:
            raise MalformedReply(f"An event of the upstream's stream exceeds {MAX_EVENT_BYTES} bytes.")
        return events

    def _ended(self) -> list[bytes]:
        data, self._data, self._held_bytes = self._data, [], 0
        return [data[0] if len(data) == 1 else b"\n".join(data)] if data else []

    def _lines(self, piece: bytes) -> list[bytes]:
        """The lines that the piece ends: by CR, LF or CRLF, also where the two come in two pieces."""
        if self._after_cr and piece:
            self._after_cr = False
            piece = piece[1:] if piece[0] == _LF else piece
        if not piece:
            return []
        lines = piece.splitlines()
        ended = piece.endswith((b"\n", b"\r"))
        self._after_cr = piece.endswith(b"\r")
        if self._tail and (ended or len(lines) > 1):
            lines[0] = b"".join((*self._tail, lines[0]))
            self._tail = []
        if not ended:
            self._tail.append(lines.pop())
        return lines
