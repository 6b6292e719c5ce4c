"""Bundles: written whole, checked whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from fakes_learning import arm, planted_rounds, small_menu

from router.arm import Arm
from router.budget import Budget
from router.bundle import Bundle, cold_bundle, load_bundle, save_bundle
from router.errors import BundleError
from router.features import Extractor
from router.menu import Menu
from router.query import Query
from training.train import TrainedBundle, train

MENU = small_menu()
EXTRACTOR = Extractor.of()
ASKED = Query([{"role": "user", "content": "What is the sum of 23 stars and 4 birds?"}])


@pytest.fixture(scope="module")
def trained() -> TrainedBundle:
    """A boosted bundle, as it has every kind of file."""
    return train(planted_rounds(MENU, 300), MENU, EXTRACTOR, "boosted")


@pytest.fixture
def folder(trained: TrainedBundle, tmp_path: Path) -> Path:
    """A saved bundle."""
    trained.save(tmp_path / "bundle")
    return tmp_path / "bundle"


def reseal(folder: Path) -> None:
    """Make the hashes right again, as whoever forges a bundle would."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for name in manifest["files"]:
        manifest["files"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    path.write_text(json.dumps(manifest))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.sha256").write_text(f"{digest}  manifest.json\n")


@pytest.mark.parametrize("held", ["thesis.txt", "effortwise.db", ""])
def test_nothing_but_a_bundle_is_replaced(trained: TrainedBundle, tmp_path: Path, held: str) -> None:
    """A folder that holds anything else, and a file, are left as they are."""
    taken = tmp_path / "taken"
    if held:
        taken.mkdir()
        (taken / held).write_text("mine")
    else:
        taken.write_text("mine")
    with pytest.raises(BundleError, match="is no bundle: it is not replaced"):
        trained.save(taken)
    assert (taken / held if held else taken).read_text() == "mine"
    (tmp_path / "empty").mkdir()
    for _ in range(2):
        trained.save(tmp_path / "empty")
    assert load_bundle(tmp_path / "empty", MENU).difficulty


def test_round_trip(trained: TrainedBundle, tmp_path: Path) -> None:
    """What is loaded says what was trained, and knows its version, metrics and summary."""
    version = trained.save(tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle", MENU)
    expected = trained.difficulty.estimate(EXTRACTOR(ASKED))
    found = bundle.difficulty.estimate(bundle.extractor(ASKED))
    np.testing.assert_allclose(found.quality, expected.quality)
    assert bundle.version == version
    assert bundle.manifest["summary"]["rounds"] == 300
    assert bundle.manifest["metrics"]["pooled"]["log_loss"] > 0
    assert bundle.confidence.state() == trained.confidence.state()


FILES = ["manifest.json", "manifest.sha256", "arrays.npz", "booster.txt", "confidence.json", "golden.json"]


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit(folder: Path, name: str) -> None:
    """A single changed bit in any file, anywhere in it, is refused."""
    path = folder / name
    content = path.read_bytes()
    for place in (0, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(BundleError):
            load_bundle(folder, MENU)
    path.write_bytes(content)
    load_bundle(folder, MENU)


def test_every_file_is_tested(folder: Path) -> None:
    """The files of a bundle are those whose damage is tested above."""
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_missing_file(folder: Path) -> None:
    """A file that is not there is named."""
    (folder / "arrays.npz").unlink()
    with pytest.raises(BundleError, match=r"arrays\.npz"):
        load_bundle(folder, MENU)


def test_no_bundle(tmp_path: Path) -> None:
    """A folder without a bundle is a clear error."""
    with pytest.raises(BundleError, match=r"manifest\.json"):
        load_bundle(tmp_path / "nothing", MENU)


def test_selection_of_the_menu(folder: Path) -> None:
    """A menu of some of the arms, in another order, is served."""
    whole, part = load_bundle(folder, MENU), Menu((MENU.arms[3], MENU.arms[1]))
    quality = load_bundle(folder, part).difficulty.estimate(EXTRACTOR(ASKED)).quality
    np.testing.assert_allclose(quality, whole.difficulty.estimate(EXTRACTOR(ASKED)).quality[[3, 1]])


def test_an_arm_more_than_was_trained_on(folder: Path) -> None:
    """It is named, and what was learnt of the others stands; of a menu of such arms nothing is known."""
    whole, more = load_bundle(folder, MENU), load_bundle(folder, Menu((arm("new"), *MENU.arms)))
    assert (whole.newcomers, more.newcomers) == ((), (arm("new").id,))
    found, expected = (each.difficulty.estimate(EXTRACTOR(ASKED)) for each in (more, whole))
    np.testing.assert_allclose(found.quality[1:], expected.quality)
    np.testing.assert_allclose(found.cost_usd[1:], expected.cost_usd)
    with pytest.raises(BundleError, match="does not know any arm"):
        load_bundle(folder, Menu((arm("new"),)))


def test_arm_with_another_meaning(folder: Path) -> None:
    """An id that stands for something else than in training is refused, with both meanings."""
    first = MENU.arms[0]
    changed = Arm(first.id, first.strategy, first.models, first.family, Budget(calls=7))
    with pytest.raises(BundleError, match="calls=7"):
        load_bundle(folder, Menu((changed, *MENU.arms[1:])))


def test_other_format(folder: Path) -> None:
    """A bundle of another format version is refused, even where all hashes are right."""
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    reseal(folder)
    with pytest.raises(BundleError, match="format 99"):
        load_bundle(folder, MENU)


def test_other_features(folder: Path) -> None:
    """A bundle trained on other features than this version computes is refused."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["features"]["hash"] = "0" * 16
    path.write_text(json.dumps(manifest))
    reseal(folder)
    with pytest.raises(BundleError, match="Train again"):
        load_bundle(folder, MENU)


def test_golden_rows_are_computed_again(folder: Path) -> None:
    """A bundle whose predictor does not say what it said when it was saved is refused, even where all
    hashes are right."""
    path = folder / "golden.json"
    golden = json.loads(path.read_text())
    golden["rows"][0]["quality"][0] += 1e-4
    path.write_text(json.dumps(golden))
    reseal(folder)
    with pytest.raises(BundleError, match="golden"):
        load_bundle(folder, MENU)


def test_no_pickle(folder: Path) -> None:
    """An array that needs pickle to be read is refused."""
    np.savez(folder / "arrays.npz", harm=np.array([{"a": 1}], dtype=object))
    reseal(folder)
    with pytest.raises(BundleError):
        load_bundle(folder, MENU)


def test_saving_replaces_whole(trained: TrainedBundle, folder: Path) -> None:
    """Saving over an older bundle leaves the new one alone, and nothing beside it."""
    (folder / "stale.txt").write_text("of the older bundle")
    save_bundle(folder, MENU, EXTRACTOR, trained.difficulty, trained.confidence, summary={"note": "second"})
    assert load_bundle(folder, MENU).manifest["summary"] == {"note": "second"}
    assert not (folder / "stale.txt").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_failed_save_leaves_the_old_one(
    trained: TrainedBundle, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save that fails half-way, as on a full disk, changes nothing."""

    def full(*_: object) -> int:
        raise OSError("no space left on device")

    before = load_bundle(folder, MENU).version
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        trained.save(folder)
    monkeypatch.undo()
    assert load_bundle(folder, MENU).version == before


def test_cold_bundle_serves_any_menu() -> None:
    """With nothing learnt there is a bundle all the same, and it says so."""
    bundle: Bundle = cold_bundle(MENU, ("length", "structure"))
    estimate = bundle.difficulty.estimate(bundle.extractor(ASKED))
    assert bundle.version == "prior"
    assert estimate.quality.shape == (len(MENU),)
