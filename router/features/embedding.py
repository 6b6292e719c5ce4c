"""Embedding: a sentence encoder's vector, for those who can wait for it. Off by default."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Protocol

import numpy as np

from router.errors import ConfigurationError
from router.estimate import FloatArray
from router.features import Sparse, excerpt
from router.query import Query

TOKENS = 256
"""What a text is cut to, as most sentence encoders are trained on no more."""


class Encoder(Protocol):
    """Turns a text into one vector per token."""

    identity: str
    """Names the weights: two encoders of the same identity give the same vectors."""

    def tokens(self, text: str) -> tuple[FloatArray, FloatArray]:
        """Token vectors, shape (tokens, size), and their attention mask, shape (tokens,)."""
        ...


class OnnxEncoder:
    """A folder with ``model.onnx`` and ``tokenizer.json``, on one thread of ONNX Runtime."""

    def __init__(self, path: str | Path) -> None:
        folder = Path(path)
        missing = [name for name in ("model.onnx", "tokenizer.json") if not (folder / name).is_file()]
        if missing:
            raise ConfigurationError(f"The sentence encoder {folder} lacks {' and '.join(missing)}.")
        runtime, tokenizers = _library("onnxruntime"), _library("tokenizers")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.identity = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()[:8]
        self._session: Any = runtime.InferenceSession(
            str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer: Any = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(TOKENS)
        self._inputs = [node.name for node in self._session.get_inputs()]

    def tokens(self, text: str) -> tuple[FloatArray, FloatArray]:
        """The last hidden states; the inputs that the model does not declare are left out."""
        encoding = self._tokenizer.encode(text)
        fed: Mapping[str, Sequence[int]] = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        feed = {name: np.array([fed[name]], np.int64) for name in self._inputs}
        hidden = self._session.run(None, feed)[0]
        return np.asarray(hidden[0], np.float64), np.asarray(encoding.attention_mask, np.float64)


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigurationError(
            f"The feature 'embedding' needs {name}: pip install 'effortwise[embedding]'."
        ) from None


class Embedding:
    """The mean of the question's token vectors, of l2 norm one [mean pooling, Reimers & Gurevych 2019].

    path: folder of the encoder (``decision.embedding_model`` in the configuration); ``encoder``
    replaces it. The columns' names hold the encoder's identity, so that a predictor learnt on one
    encoder is never served on another.
    """

    name: ClassVar[str] = "embedding"
    summary: ClassVar[str] = "mean-pooled vector of an ONNX sentence encoder (tens of milliseconds)"
    columns: Sequence[str]
    buckets = 0

    def __init__(self, path: str | Path | None = None, encoder: Encoder | None = None) -> None:
        if encoder is None and path is None:
            raise ConfigurationError("The feature 'embedding' needs decision.embedding_model: a folder.")
        self._encoder: Encoder = encoder or OnnxEncoder(path or "")
        size = self._encoder.tokens("size")[0].shape[1]
        self.columns = tuple(f"embedding_{self._encoder.identity}_{i}" for i in range(size))

    def dense(self, query: Query) -> Sequence[float]:
        """Shape (encoder's size,)."""
        vectors, mask = self._encoder.tokens(excerpt(query.text))
        pooled = mask @ vectors / max(float(mask.sum()), 1.0)
        return [float(value) for value in pooled / max(float(np.linalg.norm(pooled)), 1e-12)]

    def sparse(self, query: Query) -> Sparse:
        """Nothing is hashed."""
        return np.zeros(0, np.int64), np.zeros(0)
