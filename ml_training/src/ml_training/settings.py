"""Settings of the three commands; each field is an environment variable in capitals and a flag."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr
from stage_runtime.object_store import DataRootSettings

from ml_training.quality.comparison import TOLERANCE, WORST_TOLERANCE
from ml_training.storage import S3Access
from ml_training.threshold import Rule


class CommonSettings(DataRootSettings):
    """Where runs, models and experiments are."""

    preprocess_run_id: str = Field(
        default="", description="the run to take; empty for the one with the newest manifest"
    )
    mlflow_tracking_uri: SecretStr = Field(
        default=SecretStr("sqlite:///var/mlflow/mlflow.db"),
        description="MLflow server (http://…) or a SQLite file (sqlite:///path), artifacts beside it",
        json_schema_extra={"vault": "mlflow_uri"},
    )
    mlflow_artifact_root: str = Field(
        default="",
        description="where files of a new experiment go (folder or s3://…); empty: beside the SQLite file, "
        "or as the server decides",
    )
    mlflow_experiment: str = Field(default="pr-anomaly", description="experiment in MLflow")
    model_name: str = Field(default="pr-anomaly-autoencoder", description="registered model in MLflow")
    work_dir: str = Field(
        default="var/training",
        description="local folder for copies from S3 and files on their way to MLflow",
    )
    seed: int = Field(default=0, ge=0, le=2**31, description="of everything that is random")
    threads: int = Field(
        default=1, ge=1, description="threads of the arithmetic; part of what makes a run repeatable"
    )
    report_dir: str = Field(
        default="", description="folder for the quality report's files besides MLflow, such as quality.json"
    )
    require_baselines: bool = Field(
        default=False,
        description="end with code 5 where the quality report finds the model below the best baseline on the worst "
        "injected kind or on the mean over kinds, by more than a near tie",
    )
    labels: str = Field(
        default="",
        description="file of known anomalies for the quality report: JSON lines with "
        "repo_name, number, label",
    )

    @property
    def s3_access(self) -> S3Access:
        """Credentials for the data root and for MLflow's artifacts, where they are on S3."""
        return S3Access(
            self.do_spaces_endpoint,
            self.do_spaces_access_key.get_secret_value(),
            self.do_spaces_secret_key.get_secret_value(),
        )


class TrainSettings(CommonSettings):
    """Fit, evaluate and register a candidate."""

    candidates: str = Field(
        default="standard",
        description="set of architectures to try: a name in candidates.toml of the package, or a file like it",
    )
    threshold_rule: Rule = Field(
        default="mean_std",
        description="which rule says where unusual begins; the others are logged beside it",
    )
    max_epochs: int = Field(default=0, ge=0, description="at most so many epochs; 0: as the candidate says")
    batch_size: int = Field(default=0, ge=0, description="rows a step; 0: as the candidate says")
    mixed_precision: bool = Field(
        default=False, description="bfloat16 in the forward pass; only useful on CUDA"
    )
    checkpoint_seconds: float = Field(
        default=5.0, ge=0, description="least time between two checkpoints in the data root"
    )
    scores_file: str = Field(
        default="",
        description="file to write every row's score to, JSON lines of repo_name, number, reconstruction_error",
    )
    quality_report: bool = Field(
        default=True, description="make the quality report in this run (its baselines take a while)"
    )


class EvaluateSettings(CommonSettings):
    """Quality report of a registered model."""

    evaluate_alias: str = Field(default="candidate", description="alias of the version to report on")


class GateSettings(CommonSettings):
    """Make the candidate champion, or refuse it."""

    gate_margin: float = Field(
        default=0.03,
        ge=0,
        le=1,
        description="by how much ROC-AUC on the worst injected kind may be below that of the best champion so far",
    )
    gate_pca_tolerance: float = Field(
        default=TOLERANCE,
        ge=0,
        le=TOLERANCE,
        description="by how much the mean ROC-AUC over kinds may be below PCA's where the rows cannot tell them apart",
    )
    gate_pca_worst_tolerance: float = Field(
        default=WORST_TOLERANCE,
        ge=0,
        le=WORST_TOLERANCE,
        description="the same for ROC-AUC on the worst kind, of which one corpus says less",
    )
    gate_baselines: Literal["require", "report"] = Field(
        default="require",
        description="what follows where the candidate is not better than the untrained network and level with PCA; "
        "report: it is told and decides nothing, for corpora that were made to try things out",
    )
    gate_flag_rate_low: float = Field(
        default=0.0005, ge=0, le=1, description="least share of later rows beyond the threshold"
    )
    gate_flag_rate_high: float = Field(
        default=0.2, ge=0, le=1, description="largest share of later rows beyond the threshold"
    )
    gate_distinct_scores: int = Field(
        default=50, ge=2, description="least number of distinct scores among the later rows"
    )
    on_refusal: Literal["fail", "report"] = Field(
        default="fail",
        description="a refusal ends with code 5; report: with 0, so that a release goes on with the old champion",
    )
