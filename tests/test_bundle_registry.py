"""The MLflow registry, a real one on a temporary SQLite file."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from effortwise.commands.registry import fetch_for
from router.errors import BundleError, StoreError
from serving.bundles import POINTER
from training.registry import CHALLENGER, CHAMPION, BundleRegistry


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that does not exist yet, in a folder that does not either."""
    return tmp_path_factory.mktemp("registry") / "state" / "mlflow.db"


@pytest.fixture
def registry(database: Path, request: pytest.FixtureRequest) -> BundleRegistry:
    """A model of its own for each test."""
    return BundleRegistry(f"sqlite:///{database}", request.node.name)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A folder that stands for a bundle."""
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"made": 1}')
    return folder


def register(registry: BundleRegistry, bundle: Path, mark: int) -> int:
    """Register a bundle that says its mark."""
    (bundle / "manifest.json").write_text(f'{{"made": {mark}}}')
    metrics = {"pooled": {"log_loss": 0.5, "auroc": None}, "arms": {"a@2": {"brier": 1.0}}, "rounds": 7}
    return registry.register(bundle, {"kind": "logistic", "seed": 0}, metrics)


def test_life_of_versions(registry: BundleRegistry, bundle: Path, tmp_path: Path) -> None:
    """A registered bundle is the challenger; promoted, the champion; rolled back, the one before it is
    again, whole as it was."""
    assert registry.version(CHALLENGER) is None
    first = register(registry, bundle, 1)
    assert registry.version(CHALLENGER) == first
    assert registry.fetch(CHAMPION, tmp_path / "served") is None
    assert registry.promote() == first
    assert registry.version(CHALLENGER) is None
    second = register(registry, bundle, 2)
    assert registry.version(CHAMPION) == first
    assert registry.promote() == second
    served = registry.fetch(CHAMPION, tmp_path / "served")
    assert served == tmp_path / "served" / f"v{second}"
    assert (served / "manifest.json").read_text() == '{"made": 2}'
    assert registry.rollback() == first
    back = registry.fetch(CHAMPION, tmp_path / "served")
    assert back is not None
    assert (back / "manifest.json").read_text() == '{"made": 1}'


def test_the_first_champion_is_withdrawn(registry: BundleRegistry, bundle: Path, tmp_path: Path) -> None:
    """There is none before it: then nothing is the champion, which the registry tells apart from one that
    never had any; until another is promoted."""
    assert not registry.withdrawn()
    register(registry, bundle, 1)
    registry.promote()
    assert not registry.withdrawn()
    assert registry.rollback() is None
    assert registry.withdrawn()
    assert registry.version(CHAMPION) is None
    assert registry.fetch(CHAMPION, tmp_path / "served") is None
    with pytest.raises(BundleError, match="no champion"):
        registry.rollback()
    second = register(registry, bundle, 2)
    assert registry.promote() == second
    assert not registry.withdrawn()
    assert registry.rollback() is None


def test_a_version_that_comes_back_forgets_whom_it_replaced(registry: BundleRegistry, bundle: Path) -> None:
    """Made challenger again by hand after all was rolled back, it is a first champion."""
    register(registry, bundle, 1)
    registry.promote()
    second = register(registry, bundle, 2)
    registry.promote()
    registry.rollback()
    assert registry.rollback() is None
    from mlflow import MlflowClient

    client = MlflowClient(registry.tracking_uri, registry.tracking_uri)
    client.set_registered_model_alias(registry.model, CHALLENGER, str(second))
    assert registry.promote() == second
    assert registry.rollback() is None


def test_the_follower_takes_the_pointer_away_only_from_a_withdrawn_champion(
    registry: BundleRegistry, bundle: Path, tmp_path: Path
) -> None:
    """A registry that was lost, and knows of no champion, leaves what serves."""
    served, pointer = tmp_path / "served", tmp_path / "served" / POINTER
    register(registry, bundle, 1)
    registry.promote()
    fetch_for(registry, CHAMPION, served)
    assert pointer.read_text() == str(served / "v1")
    fetch_for(replace(registry, model="lost"), CHAMPION, served)
    assert pointer.exists()
    registry.rollback()
    fetch_for(registry, CHAMPION, served)
    assert not pointer.exists()


def test_promoting_a_rolled_back_version_again(registry: BundleRegistry, bundle: Path) -> None:
    """After a rollback the next challenger replaces the restored champion, and rolls back to it."""
    first = register(registry, bundle, 1)
    registry.promote()
    register(registry, bundle, 2)
    registry.promote()
    registry.rollback()
    third = register(registry, bundle, 3)
    assert registry.promote() == third
    assert registry.rollback() == first


def test_nothing_to_promote(registry: BundleRegistry) -> None:
    """Without a challenger, or a model at all, promotion and rollback say so."""
    with pytest.raises(BundleError, match="no challenger"):
        registry.promote()
    with pytest.raises(BundleError, match="no champion"):
        registry.rollback()


@pytest.mark.parametrize(("gain", "refused"), [((-0.03, -0.01), True), ((-0.03, 0.01), False)])
def test_what_predicts_worse_than_the_incumbent_is_not_promoted(
    registry: BundleRegistry, bundle: Path, gain: tuple[float, float], refused: bool
) -> None:
    """Worse with its whole interval, a challenger needs to be asked for; in doubt it does not."""
    low, high = gain
    metrics = {"incumbent": {"version": "abc", "gain": {"mean": -0.02, "low": low, "high": high}}}
    number = registry.register(bundle, {}, metrics)
    if refused:
        with pytest.raises(BundleError, match=r"higher by 0\.0100 to 0\.0300.*--anyway"):
            registry.promote()
        assert registry.version(CHAMPION) is None
        assert registry.version(CHALLENGER) == number
    assert registry.promote(anyway=refused) == number


def test_a_version_that_was_rolled_back_can_be_promoted_again(registry: BundleRegistry, bundle: Path) -> None:
    """By its number, while another challenger waits, which it leaves where it is."""
    first = register(registry, bundle, 1)
    registry.promote()
    second = register(registry, bundle, 2)
    registry.promote()
    registry.rollback()
    third = register(registry, bundle, 3)
    assert registry.promote(second) == second
    assert (registry.version(CHAMPION), registry.version(CHALLENGER)) == (second, third)
    assert registry.rollback() == first
    assert registry.promote(third) == third
    assert registry.version(CHALLENGER) is None
    with pytest.raises(BundleError, match="has no version 99"):
        registry.promote(99)


def test_fetched_once(registry: BundleRegistry, bundle: Path, tmp_path: Path) -> None:
    """A version that is there is not downloaded again, and nothing else is left in the folder."""
    register(registry, bundle, 1)
    folder = registry.fetch(CHALLENGER, tmp_path / "served")
    assert folder is not None
    (folder / "mark").touch()
    assert registry.fetch(CHALLENGER, tmp_path / "served") == folder
    assert (folder / "mark").exists()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_run_holds_what_was_measured(registry: BundleRegistry, bundle: Path, database: Path) -> None:
    """The run has parameters and finite metrics by dotted names; artefacts stand beside the database."""
    from mlflow import MlflowClient

    number = register(registry, bundle, 1)
    client = MlflowClient(registry.tracking_uri, registry.tracking_uri)
    run = client.get_run(client.get_model_version(registry.model, str(number)).run_id)
    assert run.data.metrics == {"pooled.log_loss": 0.5, "rounds": 7.0}
    assert run.data.params == {"kind": "logistic", "seed": "0"}
    assert run.info.status == "FINISHED"
    assert (database.parent / "mlartifacts").is_dir()


def test_lost_artefact(registry: BundleRegistry, bundle: Path, tmp_path: Path, database: Path) -> None:
    """Where the artefact is gone the fetch fails as ours and leaves no half of it."""
    import shutil

    register(registry, bundle, 1)
    shutil.move(database.parent / "mlartifacts", tmp_path / "elsewhere")
    try:
        with pytest.raises(StoreError, match="registry"):
            registry.fetch(CHALLENGER, tmp_path / "served")
        assert list((tmp_path / "served").iterdir()) == []
    finally:
        shutil.move(tmp_path / "elsewhere", database.parent / "mlartifacts")


def test_unreachable(tmp_path: Path) -> None:
    """A database that cannot be opened is a store error that names it."""
    (tmp_path / "mlflow.db").write_text("this is no database, not even an empty one" * 9)
    with pytest.raises(StoreError, match=r"mlflow\.db"):
        BundleRegistry(f"sqlite:///{tmp_path / 'mlflow.db'}").version(CHAMPION)


def test_quiet(tmp_path: Path) -> None:
    """Nothing of MLflow's start-up is printed."""
    code = (
        "from training.registry import BundleRegistry;"
        f"print(BundleRegistry('sqlite:///{tmp_path}/mlflow.db').version('champion'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("None", "")
