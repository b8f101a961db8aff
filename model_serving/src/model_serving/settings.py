"""The settings of the service."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal

from model_registry.object_store import S3Access
from pydantic import Field, SecretStr, model_validator
from stage_runtime.settings import StageSettings

from model_serving.cores import cores_given


class Settings(StageSettings):
    """Score pull requests over HTTP with the registered model."""

    vault_keys: ClassVar[frozenset[str]] = frozenset(
        {
            "mongo_uri",
            "mongo_db",
            "do_spaces_endpoint",
            "do_spaces_bucket",
            "do_spaces_access_key",
            "do_spaces_secret_key",
            "reload_token",
            "github_webhook_secret",
            "github_writeback_token",
            "author_hash_key",
        }
    )

    host: str = Field(default="127.0.0.1", description="address to listen on; in a container 0.0.0.0")
    port: int = Field(default=8080, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    workers: int = Field(
        default=0,
        ge=0,
        le=64,
        description="processes; 0 is one for each core given, by affinity and by a container's CPU quota",
    )
    threads: int = Field(
        default=4, ge=1, le=64, description="threads a worker for requests that wait (reload, dashboard)"
    )

    mlflow_tracking_uri: str = Field(
        default="http://127.0.0.1:5000",
        description="MLflow server, or sqlite:///FILE on one machine",
        json_schema_extra={"vault": "mlflow_uri"},
    )
    model_name: str = Field(
        default="pr-anomaly-autoencoder", min_length=1, description="name of the registered model"
    )
    model_alias: str = Field(default="champion", min_length=1, description="alias of the version to serve")
    model_dir: Path | None = Field(
        default=None, description="serve this artifact folder and ask no registry; never reloads by itself"
    )
    model_cache_dir: Path | None = Field(
        default=None, description="folder for downloaded models; default: in the user's cache or /tmp"
    )
    state_dir: Path | None = Field(
        default=None,
        description="folder that the workers share (metrics, wanted version); default: a temporary one",
    )
    reload_poll_seconds: float = Field(
        default=30.0, ge=0, description="how often the alias is looked up; 0 is never"
    )
    reload_timeout_seconds: float = Field(
        default=60.0, gt=0, description="how long POST /reload waits for all workers"
    )
    reload_token: SecretStr = Field(
        default=SecretStr(""), description="bearer token of POST /reload; empty: the call is refused"
    )

    max_items: int = Field(default=1000, ge=1, description="most pull requests in one request")
    max_body_bytes: int = Field(
        default=8 * 1024 * 1024,
        ge=1024,
        description="largest request body, in bytes; memory and time to answer grow with it",
    )
    unknown_fields: Literal["ignore", "refuse"] = Field(
        default="ignore",
        description="what to do with names that are neither ours nor GitHub's",
    )
    keepalive_seconds: float = Field(default=75.0, ge=0, description="how long an idle connection stays open")
    request_seconds: float = Field(default=30.0, gt=0, description="longest time to receive a request")
    drain_wait_seconds: float = Field(
        default=5.0, ge=0, description="after SIGTERM: unready, but still accepting, for this long"
    )
    drain_seconds: float = Field(
        default=20.0, ge=0, description="after that wait: longest time for requests that still run"
    )

    data_root: str = Field(
        default="", description="folder or s3a://bucket/prefix for served traffic; empty: not recorded"
    )
    traffic_sample: float = Field(default=1.0, ge=0, le=1, description="share of scores that are recorded")
    traffic_flush_seconds: float = Field(
        default=60.0, gt=0, description="longest time until recorded traffic is written"
    )
    traffic_buffer_rows: int = Field(
        default=20_000, ge=1, description="most rows a worker holds; beyond that they are dropped and counted"
    )
    simulate_drift: bool = Field(
        default=False,
        description="let POST /simulate-drift change what is recorded, to show the drift loop; never in production",
    )
    do_spaces_endpoint: str = Field(default="", description="S3 endpoint; empty: AWS")
    do_spaces_bucket: str = Field(default="", description="bucket of DATA_ROOT where that names none")
    do_spaces_access_key: SecretStr = Field(default=SecretStr(""), description="S3 access key")
    do_spaces_secret_key: SecretStr = Field(default=SecretStr(""), description="S3 secret key")

    mongo_uri: SecretStr = Field(
        default=SecretStr(""), description="MongoDB for scores and delivery ids; empty: this process only"
    )
    mongo_db: str = Field(default="mlops_db", description="database")
    scores_collection: str = Field(default="scores", description="collection of scores")
    mongo_timeout_seconds: float = Field(
        default=2.0, gt=0, description="longest wait for MongoDB, never within a score"
    )

    github_webhook_secret: SecretStr = Field(
        default=SecretStr(""), description="secret of the webhook; empty: the call is refused"
    )
    github_writeback: Literal["none", "status", "comment"] = Field(
        default="none", description="what a scored webhook leaves on the pull request"
    )
    github_writeback_token: SecretStr = Field(
        default=SecretStr(""), description="token that may set statuses and comment, nothing else"
    )
    github_api_url: str = Field(default="https://api.github.com", description="GitHub's API")
    public_url: str = Field(
        default="", description="address of this service for people; linked from what is written back"
    )
    author_privacy: Literal["keep", "hash", "hashed"] = Field(
        default="keep",
        description="the same as in data_fetch: keep authors as they come, or hash them before they are looked up; "
        "hashed: whoever asks has done so already",
    )
    author_hash_key: SecretStr = Field(
        default=SecretStr(""),
        description="key of that hash, at least 16 bytes, the same as in data_fetch",
    )

    @model_validator(mode="after")
    def _hides_authors(self) -> Settings:
        if self.author_privacy == "hash" and len(self.author_hash_key.get_secret_value().encode()) < 16:
            raise ValueError(
                "AUTHOR_HASH_KEY: expected the key of data_fetch, at least 16 bytes, because AUTHOR_PRIVACY is hash, "
                "found none or a shorter one"
            )
        return self

    @model_validator(mode="after")
    def _can_write_back(self) -> Settings:
        needed = {
            "GITHUB_WRITEBACK_TOKEN": self.github_writeback_token,
            "GITHUB_WEBHOOK_SECRET": self.github_webhook_secret,
        }
        missing = [name for name, secret in needed.items() if not secret.get_secret_value()]
        if self.github_writeback != "none" and missing:
            raise ValueError(
                f"{' and '.join(missing)}: expected a value, because GITHUB_WRITEBACK is {self.github_writeback}, "
                "found none"
            )
        return self

    @cached_property
    def worker_count(self) -> int:
        """Processes to run: as set, or one for each core that this process may use, as it was when first asked."""
        return self.workers or cores_given()

    @property
    def hash_key(self) -> bytes | None:
        """The key where authors are to be hidden here, else None."""
        return self.author_hash_key.get_secret_value().encode() if self.author_privacy == "hash" else None

    @property
    def s3(self) -> S3Access:
        """Access to the object store."""
        return S3Access(
            self.do_spaces_endpoint or None,
            self.do_spaces_access_key.get_secret_value(),
            self.do_spaces_secret_key.get_secret_value(),
        )
