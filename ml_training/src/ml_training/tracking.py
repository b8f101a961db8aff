"""MLflow: runs, metrics, files, the registered model and its aliases. Nothing else talks to it.

MLflow is imported when it is first needed: it takes seconds, and settings are to be refused before that.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stage_runtime.exits import ServiceUnreachable, StageError, UnusableInput, WrongSettings
from stage_runtime.logs import get_logger

from ml_training.storage import S3Access

IDENTITY_TAG = "ml_training.identity"
CANDIDATE_ALIAS = "candidate"
CHAMPION_ALIAS = "champion"
# MLflow's own default is several minutes of retries: a Job that cannot start should say so at once.
_ENVIRONMENT = {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
_CHATTY = ("mlflow", "alembic", "botocore", "urllib3", "git", "matplotlib")


@dataclass(frozen=True)
class ModelVersion:
    """A registered version. location: URI of its files, for mlflow.artifacts."""

    name: str
    version: str
    run_id: str
    location: str
    tags: Mapping[str, str] = field(default_factory=dict)


class Tracking:
    """A connection to one MLflow, with one experiment."""

    def __init__(self, uri: str, experiment: str, access: S3Access, artifact_root: str = "") -> None:
        """artifact_root: where files of a new experiment go; empty: beside a SQLite file, else the server's choice.

        Raises WrongSettings for an address MLflow cannot use, ServiceUnreachable where nothing answers."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        # MLflow's artifact store reads the surroundings, and only these names.
        for name, value in (
            ("MLFLOW_S3_ENDPOINT_URL", access.endpoint),
            ("AWS_ACCESS_KEY_ID", access.access_key),
            ("AWS_SECRET_ACCESS_KEY", access.secret_key),
        ):
            if value:
                os.environ.setdefault(name, value)
        _be_quiet()
        import mlflow
        from mlflow.tracking import MlflowClient

        self.shown = _without_credentials(uri)
        self._mlflow = mlflow
        self._prepare_folder(uri)
        with self._translated():
            mlflow.set_tracking_uri(uri)
            mlflow.set_registry_uri(uri)
            self.client = MlflowClient(uri, uri)
            self.experiment_id = self._experiment(experiment, uri, artifact_root)
            mlflow.set_experiment(experiment_id=self.experiment_id)
        _be_quiet()

    @contextmanager
    def run(
        self, name: str, identity: str, tags: Mapping[str, str], parent: str | None = None
    ) -> Iterator[str]:
        """An MLflow run; one that was killed is taken up again by its identity. Yields the run's id."""
        with self._translated():
            run_id = self._unfinished(identity)
            all_tags = {**tags, IDENTITY_TAG: identity}
            if run_id is None:
                if parent is not None:
                    all_tags["mlflow.parentRunId"] = parent
                run_id = self.client.create_run(self.experiment_id, tags=all_tags, run_name=name).info.run_id
            else:
                get_logger().info("taking up an unfinished MLflow run", mlflow_run_id=run_id)
        try:
            yield run_id
        except StageError as error:
            # Stopped on purpose: it stays RUNNING and the next start goes on with it.
            if error.exit_code != 4:
                self._end(run_id, "FAILED")
            raise
        except Exception:
            self._end(run_id, "FAILED")
            raise
        self._end(run_id, "FINISHED")

    def params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Log parameters that are not there yet (a resumed run has them)."""
        from mlflow.entities import Param

        with self._translated():
            present = self.client.get_run(run_id).data.params
            new = [Param(key, str(value)) for key, value in params.items() if key not in present]
            if new:
                self.client.log_batch(run_id, params=new)

    def metrics(self, run_id: str, metrics: Mapping[str, float | None], step: int = 0) -> None:
        """Log what has a value, in one request."""
        import time

        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        entries = [
            Metric(key, float(value), now, step) for key, value in metrics.items() if value is not None
        ]
        with self._translated():
            self.client.log_batch(run_id, metrics=entries)

    def tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        with self._translated():
            for key, value in tags.items():
                self.client.set_tag(run_id, key, value)

    def files(self, run_id: str, folder: Path, target: str | None = None) -> None:
        """Log every file of a folder."""
        with self._translated():
            self.client.log_artifacts(run_id, str(folder), target)

    def register(
        self, run_id: str, model_name: str, folder: Path, code: Path, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Log a model folder as a pyfunc model of the run, register it and make it the candidate.

        folder: the artifact files; code: the package ``pr_features``. A version that this run has
        registered already (killed just after) is used again.
        """
        with self._translated():
            version = self._version_of(model_name, run_id)
            if version is None:
                location, model_id = self._log_model(run_id, folder, code)
                version = self._create_version(model_name, run_id, location, model_id, tags)
            self.client.set_registered_model_alias(model_name, CANDIDATE_ALIAS, version.version)
        return version

    def version(self, model_name: str, alias: str) -> ModelVersion | None:
        """The version an alias names; None where there is no such model or alias."""
        from mlflow.exceptions import MlflowException

        with self._translated():
            try:
                found = self.client.get_model_version_by_alias(model_name, alias)
            except MlflowException as error:
                if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                    return None
                raise
        return ModelVersion(
            model_name, str(found.version), str(found.run_id), str(found.source), dict(found.tags)
        )

    def download(self, version: ModelVersion, folder: Path) -> Path:
        """The model's files in ``folder``; raises UnusableInput where they cannot be had."""
        from mlflow.exceptions import MlflowException

        folder.mkdir(parents=True, exist_ok=True)
        uri = f"models:/{version.name}/{version.version}"
        try:
            with self._translated():
                return Path(
                    self._mlflow.artifacts.download_artifacts(
                        artifact_uri=uri, dst_path=str(folder), tracking_uri=None
                    )
                )
        except (OSError, MlflowException) as error:
            raise UnusableInput(
                f"model {version.name} version {version.version}: expected its files at {version.location}, "
                f"found none ({type(error).__name__}). Train it again, or restore the artifact store."
            ) from error

    def run_file(self, run_id: str, path: str, folder: Path) -> Path | None:
        """A file logged with a run, copied to ``folder``; None where it is not there."""
        from mlflow.exceptions import MlflowException

        folder.mkdir(parents=True, exist_ok=True)
        try:
            with self._translated():
                return Path(self.client.download_artifacts(run_id, path, str(folder)))
        except (OSError, MlflowException):
            return None

    def promote(self, version: ModelVersion) -> None:
        """Make a version the champion."""
        with self._translated():
            self.client.set_registered_model_alias(version.name, CHAMPION_ALIAS, version.version)

    def version_tags(self, version: ModelVersion, tags: Mapping[str, str]) -> None:
        """Set tags of a registered version."""
        with self._translated():
            for key, value in tags.items():
                self.client.set_model_version_tag(version.name, version.version, key, value)

    def _log_model(self, run_id: str, folder: Path, code: Path) -> tuple[str, str]:
        from ml_training.model_signature import input_example, requirements, signature

        with self._mlflow.start_run(run_id=run_id, log_system_metrics=False):
            info = self._mlflow.pyfunc.log_model(
                name="model",
                python_model=str(Path(__file__).with_name("served_model.py")),
                artifacts={path.name: str(path) for path in sorted(folder.iterdir())},
                code_paths=[str(code)],
                signature=signature(),
                input_example=input_example(),
                pip_requirements=requirements(),
            )
        # Leaving the block ended the run, which is for ``run`` to say.
        self.client.update_run(run_id, status="RUNNING")
        return str(info.model_uri), str(info.model_id)

    def _create_version(
        self, model_name: str, run_id: str, location: str, model_id: str, tags: Mapping[str, str]
    ) -> ModelVersion:
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(model_name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        made = self.client.create_model_version(
            model_name, location, run_id, tags=dict(tags), await_creation_for=60, model_id=model_id
        )
        return ModelVersion(model_name, str(made.version), run_id, str(made.source))

    def _version_of(self, model_name: str, run_id: str) -> ModelVersion | None:
        found = self.client.search_model_versions(f"name='{model_name}' and run_id='{run_id}'")
        if not found:
            return None
        newest = max(found, key=lambda version: int(version.version))
        return ModelVersion(model_name, str(newest.version), run_id, str(newest.source))

    def _unfinished(self, identity: str) -> str | None:
        found = self.client.search_runs(
            [self.experiment_id],
            f"tags.`{IDENTITY_TAG}` = '{identity}' and attributes.status = 'RUNNING'",
            max_results=1,
        )
        return str(found[0].info.run_id) if found else None

    def _end(self, run_id: str, status: str) -> None:
        with self._translated():
            self.client.set_terminated(run_id, status)

    def _experiment(self, name: str, uri: str, artifact_root: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        artifacts = artifact_root or None
        if artifacts and "://" not in artifacts:
            artifacts = Path(artifacts).absolute().as_uri()
        elif not artifacts and uri.startswith("sqlite:///"):
            # Else MLflow would put files into ./mlruns, wherever the process happens to stand.
            artifacts = (_database(uri).parent / "artifacts").as_uri()
        try:
            return str(self.client.create_experiment(name, artifacts))
        except MlflowException:  # another training made it in this moment
            found = self.client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    def _prepare_folder(self, uri: str) -> None:
        if uri.startswith("sqlite:///"):
            try:
                _database(uri).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise WrongSettings(
                    f"MLFLOW_TRACKING_URI: expected a folder that can be written for {self.shown}, "
                    f"found {type(error).__name__}"
                ) from error
        elif not uri.startswith(("http://", "https://")):
            raise WrongSettings(
                f"MLFLOW_TRACKING_URI: expected http://…, https://… or sqlite:///FILE, found {self.shown!r}"
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """MLflow's and its transport's errors as this stage's."""
        import requests
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import OperationalError

        try:
            yield
        except (requests.ConnectionError, requests.Timeout, OperationalError) as error:
            raise self._unreachable(error) from error
        except MlflowException as error:
            text = str(error)
            if "API request" in text and "failed with exception" in text:
                raise self._unreachable(error) from error
            if any(f"error code {code}" in text or f"{code} !=" in text for code in (401, 403)):
                raise WrongSettings(
                    f"MLflow at {self.shown} refused the credentials. Check MLFLOW_TRACKING_USERNAME and "
                    "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
                ) from error
            raise

    def _unreachable(self, error: BaseException) -> ServiceUnreachable:
        return ServiceUnreachable(
            f"MLflow at {self.shown} did not answer ({type(error).__name__}). Check that it runs and that "
            "MLFLOW_TRACKING_URI is right, then run again: training goes on from its last checkpoint."
        )


def _database(uri: str) -> Path:
    return Path(uri.removeprefix("sqlite:///")).absolute()


def _without_credentials(uri: str) -> str:
    scheme, separator, rest = uri.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _be_quiet() -> None:
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(mlflow|alembic|sqlalchemy|pydantic)\b.*")
