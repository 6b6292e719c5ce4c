"""Registry: bundles as versions of an MLflow model. The only file that imports MLflow, and it does so
late: the import takes seconds."""

from __future__ import annotations

import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from router.errors import BundleError, StoreError

CHALLENGER = "challenger"
CHAMPION = "champion"
EXPERIMENT = "effortwise"

_PREVIOUS = "previous_champion"
_WITHDRAWN = "champion_withdrawn"
_ARTEFACT = "bundle"
_GAIN = "incumbent.gain"
_UNMEASURED = "arms"  # their ids are no metric names; the bundle's manifest has them


@dataclass(frozen=True, slots=True)
class BundleRegistry:
    """The versions of one registered model and its two aliases.

    tracking_uri: an MLflow server's, or ``sqlite:///<file>``, whose folder is made if missing and where
    the artefacts stand beside the file. Every method raises ``StoreError`` where MLflow fails.
    """

    tracking_uri: str
    model: str = "effortwise"

    def register(
        self, folder: Path, parameters: Mapping[str, Any], metrics: Mapping[str, Any], alias: str = CHALLENGER
    ) -> int:
        """Log a run with a saved bundle as its artefact, register that as a version under the alias, and
        return its number. Of the metrics, the finite numbers are logged, nested names joined by dots."""
        with _mlflow(self.tracking_uri) as client:
            run = client.create_run(_experiment(client, self.tracking_uri)).info
            _log(client, run.run_id, parameters, metrics)
            client.log_artifacts(run.run_id, str(folder), _ARTEFACT)
            client.set_terminated(run.run_id)
            _ensure_model(client, self.model)
            source = f"{run.artifact_uri}/{_ARTEFACT}"
            version = int(client.create_model_version(self.model, source, run.run_id).version)
            client.set_registered_model_alias(self.model, alias, str(version))
            return version

    def version(self, alias: str) -> int | None:
        """The number that the alias stands for, ``None`` where it stands for none."""
        with _mlflow(self.tracking_uri) as client:
            found = _aliased(client, self.model, alias)
            return None if found is None else int(found.version)

    def promote(self, number: int | None = None, *, anyway: bool = False) -> int:
        """The challenger, or the version of that number, becomes the champion; returns its number.
        ``BundleError`` where there is none, and where it was shown to predict worse than the bundle that
        served when it was trained (see ``training.incumbent``), unless it is to be promoted ``anyway``."""
        with _mlflow(self.tracking_uri) as client:
            challenger = _aliased(client, self.model, CHALLENGER)
            waiting = None if challenger is None else challenger.version
            if number is not None:
                challenger = _numbered(client, self.model, number)
            if challenger is None:
                raise BundleError(f"The model {self.model!r} has no challenger to promote: train one first.")
            if not anyway:
                _refuse_worse(client, challenger)
            champion = _aliased(client, self.model, CHAMPION)
            if champion is None and _PREVIOUS in challenger.tags:  # of an earlier time
                client.delete_model_version_tag(self.model, challenger.version, _PREVIOUS)
            if champion is not None and champion.version != challenger.version:
                _tag(client, challenger, _PREVIOUS, champion.version)
            if _withdrawn(client, self.model):
                client.delete_registered_model_tag(self.model, _WITHDRAWN)
            client.set_registered_model_alias(self.model, CHAMPION, challenger.version)
            if waiting == challenger.version:
                client.delete_registered_model_alias(self.model, CHALLENGER)
            return int(challenger.version)

    def gain(self, number: int) -> tuple[float, float, float] | None:
        """Of a version, the log loss that it saves against the bundle that served when it was trained: mean,
        low and high of its interval; ``None`` where they were not compared."""
        with _mlflow(self.tracking_uri) as client:
            return _gain(client, client.get_model_version(self.model, str(number)).run_id)

    def rollback(self) -> int | None:
        """The champion that the present one replaced becomes champion again; returns its number, ``None``
        where it replaced none and is withdrawn. ``BundleError`` without a champion."""
        with _mlflow(self.tracking_uri) as client:
            champion = _aliased(client, self.model, CHAMPION)
            if champion is None:
                raise BundleError(f"The model {self.model!r} has no champion to roll back.")
            _tag(client, champion, "rolled_back_at", f"{time.time():.0f}")
            previous = champion.tags.get(_PREVIOUS)
            if previous is None:
                client.set_registered_model_tag(self.model, _WITHDRAWN, champion.version)
                client.delete_registered_model_alias(self.model, CHAMPION)
                return None
            client.set_registered_model_alias(self.model, CHAMPION, previous)
            return int(previous)

    def withdrawn(self) -> bool:
        """Whether the first champion was rolled back, and none has followed: unlike a registry that was lost,
        which tells nothing of what should serve."""
        with _mlflow(self.tracking_uri) as client:
            return _withdrawn(client, self.model)

    def fetch(self, alias: str, into: Path) -> Path | None:
        """The bundle of the alias's version, as the folder ``<into>/v<number>``: downloaded once, whole or
        not at all. ``None`` where the alias stands for no version."""
        with _mlflow(self.tracking_uri) as client:
            found = _aliased(client, self.model, alias)
            if found is None:
                return None
            folder = into / f"v{found.version}"
            if not folder.exists():
                _download(self.tracking_uri, found, folder)
            return folder


@contextmanager
def _mlflow(tracking_uri: str) -> Iterator[Any]:
    """A client, its noise silenced and its failures as ours."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    warnings.filterwarnings("ignore", module=r"(mlflow|sqlalchemy|alembic)(\.|$)")
    file = _sqlite_file(tracking_uri)
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("alembic").setLevel(logging.ERROR)
    try:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        yield MlflowClient(tracking_uri, tracking_uri)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise StoreError(f"The registry {tracking_uri} failed: {error}") from error


def _sqlite_file(tracking_uri: str) -> Path | None:
    prefix = "sqlite:///"
    return Path(tracking_uri.removeprefix(prefix)) if tracking_uri.startswith(prefix) else None


def _experiment(client: Any, tracking_uri: str) -> str:
    known = client.get_experiment_by_name(EXPERIMENT)
    if known is not None:
        return str(known.experiment_id)
    file = _sqlite_file(tracking_uri)
    beside = None if file is None else (file.parent.resolve() / "mlartifacts").as_uri()
    return str(client.create_experiment(EXPERIMENT, artifact_location=beside))


def _log(client: Any, run_id: str, parameters: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    measured = [Metric(name, number, now, 0) for name, number in _numbers(metrics)]
    client.log_batch(run_id, measured, [Param(name, str(value)) for name, value in parameters.items()])


def _numbers(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            if name != _UNMEASURED:
                yield from _numbers(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and isfinite(value):
            yield f"{prefix}{name}", float(value)


def _ensure_model(client: Any, model: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _aliased(client: Any, model: str, alias: str) -> Any:
    """The version of an alias; ``None`` where model or alias does not exist."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(model, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _refuse_worse(client: Any, challenger: Any) -> None:
    gain = _gain(client, challenger.run_id)
    if gain is not None and gain[2] < 0:
        _, low, high = gain
        raise BundleError(
            f"Version {challenger.version} predicts worse than the bundle that served when it was trained: "
            f"its log loss on rounds new to both is higher by {-high:.4f} to {-low:.4f}. Train on more, or "
            "`promote --anyway`."
        )


def _gain(client: Any, run_id: str) -> tuple[float, float, float] | None:
    measured = client.get_run(run_id).data.metrics
    found = [measured.get(f"{_GAIN}.{name}") for name in ("mean", "low", "high")]
    return None if None in found else (found[0], found[1], found[2])


def _numbered(client: Any, model: str, number: int) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(model, str(number))
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise BundleError(f"The model {model!r} has no version {number}.") from None
        raise


def _withdrawn(client: Any, model: str) -> bool:
    """Of a model that may not exist."""
    from mlflow.exceptions import MlflowException

    try:
        return _WITHDRAWN in client.get_registered_model(model).tags
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def _tag(client: Any, version: Any, key: str, value: object) -> None:
    client.set_model_version_tag(version.name, version.version, key, str(value))


def _download(tracking_uri: str, version: Any, folder: Path) -> None:
    """Beside, then renamed: a reader never finds half a bundle, and of two writers one wins."""
    from mlflow.artifacts import download_artifacts

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as beside:
        found = download_artifacts(artifact_uri=version.source, dst_path=beside, tracking_uri=tracking_uri)
        try:
            Path(found).rename(folder)
        except OSError:
            if not folder.exists():
                raise
