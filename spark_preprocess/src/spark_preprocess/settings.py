"""Everything that can be set, by flag, environment variable or (secrets) Vault."""

from __future__ import annotations

import re
from typing import ClassVar, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from stage_runtime.object_store import DataRootSettings

Partitioner = Literal["auto", "single", "paginate", "paginate-by-size", "sample", "auto-bucket", "sharded"]
RUN_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


class Settings(DataRootSettings):
    """Turn the pull requests in MongoDB into a feature table, published as one run."""

    vault_keys: ClassVar[frozenset[str]] = DataRootSettings.vault_keys | {
        "mongo_uri", "mongo_db", "mongo_collection",
    }  # fmt: skip

    mongo_uri: SecretStr = Field(
        default=SecretStr("mongodb://127.0.0.1:27017"), description="connection string of MongoDB"
    )
    mongo_db: str = Field(default="mlops_db", min_length=1, description="database of the pull requests")
    mongo_collection: str = Field(
        default="pull_requests", min_length=1, description="collection of the pull requests"
    )
    mongo_partitioner: Partitioner = Field(
        default="auto",
        description="how the connector cuts the collection; auto asks the server what it can do",
    )
    mongo_timeout_seconds: int = Field(
        default=20, ge=1, le=600, description="how long MongoDB may take to answer at first"
    )
    preprocess_run_id: str = Field(
        default="", description="name of the run; without it one is made from the time"
    )
    max_rejected_share: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="the run fails when a greater share of the documents is unusable",
    )
    evaluation_documents: int = Field(
        default=5_000,
        ge=0,
        le=50_000,
        description="raw documents of split later that are kept for evaluation",
    )
    rows_per_partition: int = Field(
        default=25_000, ge=1, description="documents that one Spark task holds; files are as long"
    )
    build_commit: str = Field(
        default="", description="commit of the code, for the manifest; set in the image"
    )
    spark_master: str = Field(
        default="local[*]", description="local[N], or k8s://https://... for executors of their own"
    )
    spark_driver_memory: str = Field(
        default="1g", pattern=r"^\d+[mg]$", description="heap of the driver's JVM"
    )
    spark_jars: str = Field(
        default="var/cache/jars/spark_preprocess",
        description="folder that python -m spark_preprocess.jars has filled",
    )
    spark_local_dir: str = Field(
        default="", description="where the run's temporary folder is made; without it the system's"
    )
    spark_ui: bool = Field(default=False, description="serve Spark's own page while the run lasts")
    spark_conf: tuple[str, ...] = Field(
        default=(), description="further Spark properties as key=value, separated by commas"
    )
    spark_image: str = Field(
        default="", description="on Kubernetes: image of the executors, this stage's own"
    )
    spark_namespace: str = Field(default="default", description="on Kubernetes: namespace of the executors")
    spark_executors: int = Field(default=2, ge=1, description="on Kubernetes: number of executors")
    spark_executor_cores: int = Field(default=2, ge=1, description="on Kubernetes: cores of an executor")
    spark_executor_memory: str = Field(
        default="2g", pattern=r"^\d+[mg]$", description="on Kubernetes: heap of an executor's JVM"
    )
    spark_executor_service_account: str = Field(
        default="", description="on Kubernetes: ServiceAccount of the executors"
    )
    spark_driver_host: str = Field(
        default="", description="on Kubernetes: address of this pod, from the downward API"
    )
    spark_driver_pod: str = Field(
        default="", description="on Kubernetes: name of this pod; its executors end with it"
    )

    @field_validator("preprocess_run_id")
    @classmethod
    def _a_folder_name(cls, value: str) -> str:
        if value and not re.match(RUN_ID_PATTERN, value):
            raise ValueError("expected letters, digits and . _ - (at most 100, no dot first)")
        return value

    @field_validator("spark_conf")
    @classmethod
    def _properties(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            if not entry.startswith("spark.") or "=" not in entry:
                raise ValueError("expected entries like spark.task.maxFailures=4")
        return value

    @model_validator(mode="after")
    def _kubernetes_is_complete(self) -> Settings:
        if not self.on_kubernetes:
            if not self.spark_master.startswith("local"):
                raise ValueError(
                    "SPARK_MASTER: expected local[...] or k8s://..., found another kind of master"
                )
            return self
        for name in ("spark_image", "spark_driver_host"):
            if not getattr(self, name):
                raise ValueError(
                    f"{name.upper()}: expected a value because SPARK_MASTER is k8s://, found none"
                )
        if not self.root.startswith("s3a://"):
            raise ValueError(
                "DATA_ROOT: expected s3a://... because executors share no folder, found a folder"
            )
        return self

    @property
    def on_kubernetes(self) -> bool:
        return self.spark_master.startswith("k8s://")

    @property
    def root(self) -> str:
        """Where preprocess-runs/ lies."""
        return self.root_address.rstrip("/")

    @property
    def on_object_store(self) -> bool:
        return self.root.startswith("s3a://")
