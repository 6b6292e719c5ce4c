"""Bundle: all that was learnt, in one folder that nothing in it can execute.

::

    manifest.json     what it is: format, features, arms, metrics, SHA-256 of every other file
    manifest.sha256   the manifest's own digest, as ``sha256sum -c`` reads it
    arrays.npz        the predictor's arrays
    <name>.txt        the predictor's texts (a booster's trees)
    confidence.json   the confidence predictor's state
    golden.json       fixed queries and what the predictor said of them when it was saved
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from router.confidence import CONFIDENCE, ConfidencePredictor
from router.confidence.agreement import Agreement
from router.errors import BundleError, ConfigurationError
from router.estimate import Estimate
from router.features import DEFAULT_FEATURES, Extractor
from router.menu import Menu
from router.newcomers import Widened, split
from router.predictors import PREDICTORS, DifficultyPredictor, Estimator, PredictorState
from router.predictors.constant import Constant
from router.query import Query

FORMAT = 1
PRIOR_VERSION = "prior"
_SUFFIXES = frozenset({".json", ".sha256", ".npz", ".txt"})
TOLERANCE = 1e-6
"""How far a restored predictor may be from what it said when it was saved, in an estimate's units."""

Options = Mapping[str, Mapping[str, Any]]

GOLDEN_QUERIES: tuple[Mapping[str, Any], ...] = (
    {"messages": [{"role": "user", "content": "What is 17 + 25? Answer with the number only."}]},
    {"messages": [{"role": "user", "content": "Explain why the sky is blue, step by step."}]},
    {
        "messages": [
            {"role": "system", "content": "You extract data."},
            {"role": "user", "content": 'JSON with name and age: "Zoë, who is 41, left."\n1. one\n2. two'},
        ],
        "max_completion_tokens": 64,
    },
    {"messages": [{"role": "user", "content": "def f(x):\n    return x * 2\n```\nFix the bug. " * 200}]},
    {"messages": [{"role": "user", "content": ""}]},
)
"""Made up, so that no bundle carries a user's words."""


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """What the decision needs of learning. version: first 12 hex digits of the manifest's SHA-256, or
    ``"prior"`` where nothing was learnt. manifest: see ``save_bundle``; empty for the prior. newcomers: ids
    of the menu's arms that it was not trained on; see ``router.newcomers``."""

    extractor: Extractor
    difficulty: Estimator
    confidence: ConfidencePredictor
    version: str
    manifest: Mapping[str, Any] = field(default_factory=dict)
    newcomers: tuple[str, ...] = ()


def cold_bundle(
    menu: Menu, features: Sequence[str] = DEFAULT_FEATURES, options: Options | None = None
) -> Bundle:
    """The bundle of a service that has learnt nothing: the documented priors, for any menu."""
    return Bundle(Extractor.of(features, options), Constant.prior(menu), Agreement(), PRIOR_VERSION)


def save_bundle(
    folder: Path,
    menu: Menu,
    extractor: Extractor,
    difficulty: DifficultyPredictor,
    confidence: ConfidencePredictor,
    *,
    metrics: Mapping[str, Any] | None = None,
    summary: Mapping[str, Any] | None = None,
) -> str:
    """Write a bundle, whole or not at all, in place of what stood in the folder; returns its version.

    metrics, summary: plain JSON values for the manifest: what was measured, and on what it was
    trained.
    """
    state = difficulty.state()
    golden = {"arms": menu.ids, "rows": _golden_rows(extractor, difficulty)}
    contents = _contents(state, confidence, golden)
    manifest = {
        "format": FORMAT,
        "created_at": time.time(),
        "predictor": difficulty.name,
        "values": dict(state.values),
        "texts": sorted(state.texts),
        "confidence": confidence.name,
        "features": {"names": list(extractor.names), "hash": extractor.hash},
        "menu": menu.hash,
        "arms": {arm.id: arm.description for arm in menu},
        "metrics": dict(metrics or {}),
        "summary": dict(summary or {}),
        "files": {name: _digest(content) for name, content in contents.items()},
    }
    text = json.dumps(manifest, indent=1, sort_keys=True).encode()
    digest = _digest(text)
    seal = f"{digest}  manifest.json\n".encode()
    _replace(folder, {**contents, "manifest.json": text, "manifest.sha256": seal})
    return digest[:12]


def load_bundle(folder: Path, menu: Menu, options: Options | None = None) -> Bundle:
    """The checked bundle of a folder for a menu that holds at least one of the arms that it was trained on.

    options: the features' keyword arguments, as for ``Extractor.of``. Raises ``BundleError`` where a
    file is missing or not what was written, the format is another, the features differ, no arm of the
    menu is known or one has another meaning, or the golden rows come out differently.
    """
    files, version = _verified(folder)
    manifest = json.loads(files["manifest.json"])
    if manifest.get("format") != FORMAT:
        found = manifest.get("format")
        raise BundleError(f"The bundle {folder} has format {found}; this version reads {FORMAT}.")
    extractor = _extractor(manifest["features"], options)
    _check_menu(manifest["arms"], menu)
    familiar, newcomers = split(list(manifest["arms"]), menu)
    try:
        difficulty = PREDICTORS[manifest["predictor"]].restore(_state(files, manifest), familiar)
        make_confidence: Callable[..., ConfidencePredictor] = CONFIDENCE[manifest["confidence"]]
        confidence = make_confidence(json.loads(files["confidence.json"]))
    except (ConfigurationError, KeyError, TypeError) as error:
        raise BundleError(f"The bundle {folder} cannot be restored: {error}.") from error
    _check_golden(json.loads(files["golden.json"]), extractor, difficulty, familiar)
    estimator = Widened.of(difficulty, familiar, menu) if newcomers else difficulty
    return Bundle(extractor, estimator, confidence, version, manifest, newcomers)


def _contents(
    state: PredictorState, confidence: ConfidencePredictor, golden: Mapping[str, Any]
) -> dict[str, bytes]:
    buffer = io.BytesIO()
    arrays: dict[str, NDArray[Any]] = dict(state.arrays)
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return {
        "arrays.npz": buffer.getvalue(),
        "confidence.json": json.dumps(confidence.state(), indent=1).encode(),
        "golden.json": json.dumps(golden, indent=1).encode(),
        **{f"{name}.txt": text.encode() for name, text in state.texts.items()},
    }


def _golden_rows(extractor: Extractor, difficulty: DifficultyPredictor) -> list[dict[str, list[float]]]:
    estimates = [difficulty.estimate(extractor(Query(**asked))) for asked in GOLDEN_QUERIES]
    return [{item.name: getattr(e, item.name).tolist() for item in fields(Estimate)} for e in estimates]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _replace(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Written beside, then renamed, so that no reader ever finds half a bundle. ``BundleError`` where
    something else than a bundle stands there."""
    _require_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as beside:
        fresh, old = Path(beside) / "fresh", Path(beside) / "old"
        fresh.mkdir()
        for name, content in contents.items():
            (fresh / name).write_bytes(content)
        if folder.exists():
            shutil.move(folder, old)
        fresh.rename(folder)


def _require_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else {folder.name}
    if held and not ("manifest.json" in held and all(Path(name).suffix in _SUFFIXES for name in held)):
        raise BundleError(f"{folder} is there and is no bundle: it is not replaced. Name another folder.")


def _verified(folder: Path) -> tuple[dict[str, bytes], str]:
    """The files by name, each as it was written, and the version."""
    manifest = _read(folder, "manifest.json")
    digest = _digest(manifest)
    if _read(folder, "manifest.sha256") != f"{digest}  manifest.json\n".encode():
        raise BundleError(f"The bundle {folder} is damaged: manifest.json is not what was written.")
    files = {"manifest.json": manifest}
    for name, written in json.loads(manifest)["files"].items():
        files[name] = _read(folder, Path(name).name)
        if _digest(files[name]) != written:
            raise BundleError(f"The bundle {folder} is damaged: {name} is not what was written.")
    return files, digest[:12]


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise BundleError(f"The bundle {folder} lacks {name}: {error.strerror}.") from error


def _extractor(features: Mapping[str, Any], options: Options | None) -> Extractor:
    try:
        extractor = Extractor.of(features["names"], options)
    except ConfigurationError as error:
        raise BundleError(f"The bundle's features cannot be made: {error}") from error
    if extractor.hash != features["hash"]:
        raise BundleError(
            f"The bundle was trained on features {features['hash']}; this version computes {extractor.hash} "
            f"from {', '.join(features['names'])}. Train again."
        )
    return extractor


def _check_menu(known: Mapping[str, str], menu: Menu) -> None:
    """Refuses arms that stand for something else now."""
    changed = [arm for arm in menu if arm.id in known and known[arm.id] != arm.description]
    if changed:
        lines = "; ".join(f"it knows {known[arm.id]!r}, the menu has {arm.description!r}" for arm in changed)
        raise BundleError(f"Arms have changed their meaning since the bundle was trained: {lines}.")


def _state(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> PredictorState:
    try:
        with np.load(io.BytesIO(files["arrays.npz"]), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (ValueError, zipfile.BadZipFile) as error:
        raise BundleError(f"The bundle's arrays cannot be read: {error}.") from error
    texts = {name: files[f"{name}.txt"].decode() for name in manifest["texts"]}
    return PredictorState(arrays, texts, manifest["values"])


def _check_golden(
    golden: Mapping[str, Any], extractor: Extractor, difficulty: DifficultyPredictor, menu: Menu
) -> None:
    where = [golden["arms"].index(arm_id) for arm_id in menu.ids]
    for written, found in zip(golden["rows"], _golden_rows(extractor, difficulty), strict=True):
        for name, values in found.items():
            expected = np.array(written[name])[where]
            worst = float(np.max(np.abs(expected - values)))
            if not worst <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
                raise BundleError(f"The bundle's {name} is off by {worst:g} on a golden query.")
