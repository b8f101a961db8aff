"""Settings of the three commands."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, SecretStr
from stage_runtime.settings import StageSettings


class LoadSettings(StageSettings):
    """Put a scoring service under load and judge what came back."""

    vault_keys: ClassVar[frozenset[str]] = frozenset({"github_webhook_secret"})

    host: str = Field(default="http://127.0.0.1:8080", description="address of the service")
    users: int = Field(default=8, ge=1, le=1000, description="users at a time, each with one connection")
    seconds: float = Field(default=30.0, gt=0, le=3600, description="length of the load")
    list_size: int = Field(default=100, ge=1, le=1000, description="pull requests in a list")
    pulls: Path | None = Field(
        default=None, description="pull requests in REST form (.jsonl or .jsonl.gz); default: made up ones"
    )
    github_webhook_secret: SecretStr = Field(
        default=SecretStr(""), description="secret of the webhook; without it unsigned events must be refused"
    )
    least_requests_per_second: float = Field(default=20.0, ge=0, description="fewer fail the gate")
    most_p95_single_ms: float = Field(default=250.0, gt=0, description="95th percentile of one pull request")
    most_p95_list_ms: float = Field(default=1500.0, gt=0, description="95th percentile of a list")
    most_p95_other_ms: float = Field(
        default=500.0, gt=0, description="95th percentile of bad input and webhooks"
    )
    most_failures: float = Field(
        default=0.001,
        ge=0,
        le=1,
        description="share of requests that may fail; a single one never fails a long run",
    )
    out: Path = Field(
        default=Path("var/bench/load.json"), description="where the result goes, and the one before stands"
    )


class GateSettings(LoadSettings):
    """Before promotion: the registered model's golden request, then the load test with a bound on the flag rate."""

    vault_keys: ClassVar[frozenset[str]] = LoadSettings.vault_keys | {
        "do_spaces_endpoint", "do_spaces_access_key", "do_spaces_secret_key",
    }  # fmt: skip

    mlflow_tracking_uri: str = Field(
        default="http://127.0.0.1:5000",
        description="MLflow server, or sqlite:///FILE on one machine",
        json_schema_extra={"vault": "mlflow_uri"},
    )
    model_name: str = Field(default="pr-anomaly-autoencoder", description="name of the registered model")
    model_alias: str = Field(default="champion", description="alias of the version that must be served")
    do_spaces_endpoint: str = Field(default="", description="S3 endpoint of the artifact store; empty: AWS")
    do_spaces_access_key: SecretStr = Field(default=SecretStr(""), description="S3 access key")
    do_spaces_secret_key: SecretStr = Field(default=SecretStr(""), description="S3 secret key")
    most_flag_rate_times: float = Field(
        default=4.0,
        gt=0,
        description="so many times the flag rate that training measured may ordinary pull requests be flagged",
    )
    most_flag_rate: float = Field(
        # Ordinary ones made up of the model's own words: 0 to 7 % of 500 on models of real and generated corpora,
        # whose training had measured 4 to 6 %.
        default=0.2,
        ge=0,
        le=1,
        description="but at least this share of them may",
    )


class WatchSettings(StageSettings):
    """After promotion: read the service's own metrics for a while."""

    host: str = Field(default="http://127.0.0.1:8080", description="address of the service")
    seconds: float = Field(default=300.0, gt=0, le=3600, description="how long to watch")
    every_seconds: float = Field(default=5.0, gt=0, description="time between two looks")
    most_failures: float = Field(default=0.01, ge=0, le=1, description="share of answers that may be 5xx")
    most_p95_ms: float = Field(default=500.0, gt=0, description="95th percentile of /predict")
    most_missed: float = Field(
        default=0.2, ge=0, le=1, description="share of looks that may fail or find it unready"
    )
