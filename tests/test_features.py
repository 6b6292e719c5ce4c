"""Features, over the registry."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import ConfigurationError
from router.estimate import FloatArray
from router.features import EXCERPT_CHARACTERS, FEATURES, Extractor, Feature
from router.features.embedding import Embedding
from router.query import Query


class FakeEncoder:
    """Vectors of length three from the text's length, the last token masked out."""

    identity = "f00dcafe"

    def tokens(self, text: str) -> tuple[FloatArray, FloatArray]:
        vectors = np.array([[1.0, len(text), 0.0], [1.0, 0.0, 1.0], [9.0, 9.0, 9.0]])
        return vectors, np.array([1.0, 1.0, 0.0])


OPTIONS: Mapping[str, Mapping[str, Any]] = {"embedding": {"encoder": FakeEncoder()}}

texts = st.text(max_size=300) | st.sampled_from(
    ["", " ", "\n", "7", "a" * 50_000, "\ud800", "😀" * 3000, "What is 2+2?\n(A) 3\n(B) 4", "$x^2$ ```py```"]
)


def asked(text: str) -> Query:
    return Query([{"role": "user", "content": text}])


@pytest.fixture(params=FEATURES.names())
def feature(request: pytest.FixtureRequest) -> Feature:
    """Every registered feature."""
    return FEATURES[request.param](**OPTIONS.get(request.param, {}))


@pytest.fixture(scope="module")
def everything() -> Extractor:
    """All registered features together."""
    return Extractor.of(FEATURES.names(), OPTIONS)


def test_says_what_it_is(feature: Feature) -> None:
    """A feature has a name, a summary of one line and distinct columns."""
    assert feature.name in FEATURES
    assert feature.summary
    assert "\n" not in feature.summary
    assert len(set(feature.columns)) == len(feature.columns)


@pytest.mark.parametrize(
    "query",
    [
        Query([]),
        asked(""),
        asked("What is 17 * 3?"),
        Query([{"role": "assistant", "content": None, "tool_calls": []}]),
        Query([{"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url"}]}]),
        Query([{"role": "user", "content": "hi"}], parameters={"tools": [{}], "response_format": {}}),
    ],
    ids=["no messages", "empty", "sum", "tool call", "parts", "tools"],
)
def test_keeps_its_shape(feature: Feature, query: Query) -> None:
    """Whatever the request looks like, there is one finite value per column and bucket."""
    dense = np.array(feature.dense(query), np.float64)
    buckets, values = feature.sparse(query)
    assert dense.shape == (len(feature.columns),)
    assert np.isfinite(dense).all()
    assert buckets.shape == values.shape
    assert len(set(buckets.tolist())) == len(buckets)
    assert ((buckets >= 0) & (buckets < max(feature.buckets, 1))).all()


@given(texts)
@settings(max_examples=60, deadline=None)
def test_any_text(everything: Extractor, text: str) -> None:
    """Any text, broken surrogates and huge ones included, has finite features within the buckets."""
    row = everything(asked(text))
    assert row.dense.shape == (len(everything.columns),)
    assert np.isfinite(row.dense).all()
    assert np.isfinite(row.values).all()
    assert len(row.indices) == len(np.unique(row.indices))
    assert not len(row.indices) or 0 <= row.indices.min() <= row.indices.max() < everything.buckets


def test_same_in_another_process() -> None:
    """Features do not depend on the process: its hash seed changes none of them."""
    code = (
        "from router.features import Extractor; from router.query import Query;"
        "row = Extractor.of()(Query([{'role': 'user', 'content': 'Add 12 to the números, please!'}]));"
        "print(row.indices.tolist(), row.values.tolist(), row.dense.tolist())"
    )
    root = Path(__file__).parent.parent
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1


def test_ngrams_share_numbers() -> None:
    """Questions that differ only in their digits have the same n-grams; in a word, different ones."""
    ngrams = FEATURES["ngrams"]()
    first, second = (ngrams.sparse(asked(f"Add {n} to it"))[0].tolist() for n in ("12", "97"))
    assert first == second
    assert first != ngrams.sparse(asked("Sub 12 to it"))[0].tolist()


def test_ngrams_are_normalised() -> None:
    """Words and characters each have l2 norm one, however long the text."""
    buckets, values = FEATURES["ngrams"]().sparse(asked("one two three " * 400))
    words = buckets < FEATURES["ngrams"]().buckets // 2
    assert values[words] @ values[words] == pytest.approx(1)
    assert values[~words] @ values[~words] == pytest.approx(1)


def test_order_of_words_matters() -> None:
    """Word pairs tell two orders of the same words apart."""
    ngrams = FEATURES["ngrams"]()
    assert set(ngrams.sparse(asked("dog bites man"))[0]) != set(ngrams.sparse(asked("man bites dog"))[0])


def test_long_texts_are_cut() -> None:
    """Of a very long text only the ends are read closely, so its middle changes no n-gram."""
    ngrams = FEATURES["ngrams"]()
    ends = "start " * EXCERPT_CHARACTERS, "end " * EXCERPT_CHARACTERS
    one, other = (ngrams.sparse(asked(middle.join(ends)))[0] for middle in ("x" * 1000, "y" * 1000))
    assert one.tolist() == other.tolist()


def test_structure_sees_what_is_there() -> None:
    """Flags and counts stand for what their names say."""
    structure = FEATURES["structure"]()
    text = "How many of 123 are primes?\n(A) 3\n(B) 4\nGive JSON, see $x^2$ and https://a.b ```c```"
    query = Query([{"role": "user", "content": text}], parameters={"tools": [{"type": "function"}]})
    seen = dict(zip(structure.columns, structure.dense(query), strict=True))
    for flag in ("asks_how_many", "choices", "json", "latex", "link", "code_fence", "tools"):
        assert seen[flag] == 1, flag
    assert seen["longest_number"] == 3
    assert seen["response_format"] == seen["asks_translate"] == seen["non_ascii_share"] == 0


def test_numbers_are_told_by_size() -> None:
    """Magnitudes are those of the numbers alone: a minus between two of them is no sign."""
    numbers = FEATURES["numbers"]()
    text = "Take 5-3, then 12.5 and -7; v2 and 3.4.5"
    seen = dict(zip(numbers.columns, numbers.dense(asked(text)), strict=True))
    assert seen["largest"] == pytest.approx(np.log1p(12.5))
    assert seen["second_largest"] == pytest.approx(np.log1p(7))
    assert seen["smallest"] == pytest.approx(np.log1p(3))
    assert (seen["first"], seen["last"]) == (pytest.approx(np.log1p(5)), pytest.approx(np.log1p(3.4)))
    assert (seen["any_negative"], seen["any_fraction"], seen["distinct_share"]) == (1, 1, 1)


def test_numbers_beyond_all_bounds() -> None:
    """Hundreds of digits are as large as a number can be; without one, magnitudes are below all others."""
    numbers = FEATURES["numbers"]()
    huge = numbers.dense(asked("Is " + "9" * 900 + " prime?"))
    assert huge[0] == pytest.approx(np.log1p(1e15))
    assert set(numbers.dense(asked("Is it prime?"))) == {-1.0, 0.0}


def test_length_counts_the_conversation() -> None:
    """The conversation, the system prompt and the caller's cap have columns of their own."""
    length = FEATURES["length"]()
    messages = [{"role": "system", "content": "s" * 99}, {"role": "user", "content": "u" * 9}]
    seen = dict(zip(length.columns, length.dense(Query(messages, max_completion_tokens=9)), strict=True))
    assert seen["log_characters"] == pytest.approx(np.log(10))
    assert seen["log_system_characters"] == pytest.approx(np.log(100))
    assert seen["log_conversation_characters"] == pytest.approx(np.log(109))
    assert (seen["reply_capped"], seen["log_reply_cap"]) == (1, pytest.approx(np.log(10)))


def test_extractor_offsets_do_not_overlap() -> None:
    """Two features' buckets stand beside each other, in the order of the names."""
    twice = Extractor((FEATURES["ngrams"](), FEATURES["ngrams"]()))
    row = twice(asked("some words"))
    half = len(row.indices) // 2
    assert (row.indices[half:] - row.indices[:half] == twice.buckets // 2).all()


def test_hash_names_the_set() -> None:
    """The same features have the same hash; another order or encoder has another."""
    assert Extractor.of().hash == Extractor.of().hash
    assert Extractor.of(("length", "structure")).hash != Extractor.of(("structure", "length")).hash
    other = FakeEncoder()
    other.identity = "0ther"
    first, second = (
        Extractor.of(("embedding",), {"embedding": {"encoder": e}}) for e in (FakeEncoder(), other)
    )
    assert first.hash != second.hash


def test_unknown_feature() -> None:
    """A feature that does not exist is an error that lists those that do."""
    with pytest.raises(ConfigurationError, match="length"):
        Extractor.of(("sentiment",))


def test_embedding_pools_what_is_not_masked() -> None:
    """The embedding is the mean of the unmasked token vectors, of length one."""
    pooled = np.array(Embedding(encoder=FakeEncoder()).dense(asked("four")))
    expected = np.array([1.0, 2.0, 0.5])
    assert pooled == pytest.approx(expected / np.linalg.norm(expected))


def test_embedding_needs_its_encoder(tmp_path: Path) -> None:
    """Without a folder, or with one that lacks its files, the error says what is missing."""
    with pytest.raises(ConfigurationError, match="embedding_model"):
        Embedding()
    with pytest.raises(ConfigurationError, match=r"model\.onnx and tokenizer\.json"):
        Embedding(path=tmp_path)


def test_embedding_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the runtime is not installed, the error names the extra that brings it."""
    for name in ("model.onnx", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigurationError, match=r"effortwise\[embedding\]"):
        Embedding(path=tmp_path)


def test_features_are_fast() -> None:
    """All default features of a 200-token prompt take well under a millisecond, even on a busy machine."""
    extractor, query = Extractor.of(), asked("Calculate how many of the 12 apples remain, please. " * 17)
    times = []
    for _ in range(200):
        start = time.perf_counter()
        extractor(query)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.001
