"""Settings of the commands; each field is an environment variable in capitals and a flag."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from model_registry.artifacts import default_cache
from model_registry.object_store import S3Access
from pydantic import Field, SecretStr
from stage_runtime.object_store import DataRootSettings


class CommonSettings(DataRootSettings):
    """Where traffic, reports and the state of retrainings lie."""

    vault_keys: ClassVar[frozenset[str]] = DataRootSettings.vault_keys | {
        "mongo_uri", "mongo_db", "mongo_collection", "reload_token", "drift_webhook_token",
    }  # fmt: skip

    @property
    def s3_access(self) -> S3Access:
        """Access to the object store, for the data root and for models that lie on S3."""
        return S3Access(
            self.do_spaces_endpoint or None,
            self.do_spaces_access_key.get_secret_value(),
            self.do_spaces_secret_key.get_secret_value(),
        )


class RegistrySettings(CommonSettings):
    """Commands that ask the registry."""

    mlflow_tracking_uri: str = Field(
        default="http://127.0.0.1:5000",
        description="MLflow server, or sqlite:///FILE on one machine",
        json_schema_extra={"vault": "mlflow_uri"},
    )
    model_name: str = Field(
        default="pr-anomaly-autoencoder", min_length=1, description="name of the registered model"
    )
    model_alias: str = Field(default="champion", min_length=1, description="alias of the served version")
    model_cache_dir: Path | None = Field(
        default=None, description="folder for downloaded models; default: in the user's cache or /tmp"
    )

    @property
    def model_cache(self) -> Path:
        """Where downloaded models go."""
        return self.model_cache_dir or default_cache()


class CoolDown(CommonSettings):
    """How long after a retraining the next one may start."""

    cool_down_hours: float = Field(
        default=6.0, ge=0, description="least time from the start of one retraining to the start of the next"
    )
    retry_minutes: float = Field(
        default=30.0,
        ge=0,
        description="the same after one that failed or found no new rows, from its end; doubled at each further "
        "failure in a row",
    )


class DetectSettings(RegistrySettings, CoolDown):
    """Compare the last window of served traffic with the reference in the served model."""

    window_hours: float = Field(default=168.0, gt=0, description="rows older than this are not looked at")
    window_rows: int = Field(default=1_000, ge=100, description="newest rows that make the window, at most")
    read_seconds: float = Field(
        default=120.0,
        gt=0,
        description="longest time for reading recorded rows; then those that were read are judged",
    )
    min_rows: int = Field(
        default=100, ge=50, description="no verdict on fewer; a row that comes again counts as a part of one"
    )
    drift_threshold: float = Field(
        default=0.3,
        gt=0,
        le=2,
        description="alarm where the scores drifted, and from this share of drifted groups on; above 1: by the "
        "scores alone",
    )
    data_dir: str = Field(default="", description="look for the traffic in this data root instead")
    model_dir: str = Field(
        default="",
        description="take the reference of this model (folder or s3a://…) instead of the registry's",
    )
    reference_data_path: str = Field(
        default="",
        description="Parquet file of feature rows that the page shows as the reference: a path in the data root, "
        "a file, or s3a://bucket/key",
    )
    current_data_path: str = Field(
        default="",
        description="Parquet file of recorded rows to judge instead of the last window, named in the same ways",
    )
    html_page: bool = Field(default=True, description="make the page for people too (Evidently)")
    html_rows: int = Field(default=500, ge=50, le=5_000, description="rows of each side on the page, at most")
    html_kept: int = Field(default=50, ge=1, description="pages that are kept, the newest; reports all stay")
    call_webhook: bool = Field(default=True, description="call the webhook on an alarm")
    drift_webhook_url: str = Field(
        default="", description="where an alarm is posted (Argo Events); empty: nowhere"
    )
    drift_webhook_token: SecretStr = Field(default=SecretStr(""), description="bearer token of the webhook")


class DecisionSettings(CommonSettings):
    """Commands that answer a question of the workflow."""

    decision_file: Path | None = Field(default=None, description="file for the answer: yes or no")
    workflow: str = Field(
        default="", description="name of the workflow that asks; the same name gets the same answer"
    )


class CoolDownSettings(DecisionSettings, CoolDown):
    """May a retraining start now? Yes once in a cool-down."""

    ignore_cool_down: bool = Field(default=False, description="say yes whatever came before")


class NewRowsSettings(DecisionSettings, RegistrySettings):
    """Are there pull requests that no candidate has been trained on?"""

    mongo_uri: SecretStr = Field(
        default=SecretStr("mongodb://127.0.0.1:27017"), description="MongoDB with the pull requests"
    )
    mongo_db: str = Field(default="mlops_db", description="database")
    mongo_collection: str = Field(default="pull_requests", description="collection")
    candidate_alias: str = Field(
        default="candidate", min_length=1, description="alias of the version that was trained last"
    )
    min_new_rows: int = Field(
        default=1, ge=1, description="new or changed pull requests that it takes at least"
    )
    min_new_share: float = Field(
        default=0.01,
        ge=0,
        description="the same as a share of those that the last training saw: fewer cannot end an alarm",
    )


class ReplicaSettings(RegistrySettings):
    """Commands that talk to the replicas of the service."""

    replicas: tuple[str, ...] = Field(
        description="HOST:PORT,HOST:PORT; every address behind a name is a replica"
    )
    reload_token: SecretStr = Field(default=SecretStr(""), description="bearer token of POST /reload")
    request_seconds: float = Field(default=90.0, gt=0, description="longest time for one answer of a replica")


class VerifySettings(ReplicaSettings):
    """Fail unless every worker of every replica serves the champion."""

    verify_seconds: float = Field(default=120.0, ge=0, description="how long replicas may take to get there")


class ReportSettings(CommonSettings):
    """Write down how a retraining ended."""

    workflow: str = Field(default="", description="name of the workflow that ended")
    status: Literal["Succeeded", "Failed", "Error"] = Field(description="the workflow's status")
    failures: str = Field(default="", description="the workflow's failures as JSON")
