"""What a training leaves in MLflow: metrics, plots, tables, scores, and the registered candidate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
from pr_features.history import HistoryState

from ml_training import plots, tables
from ml_training.artifact import pack_code, write_json
from ml_training.finishing import Finished
from ml_training.fitting import FittingContext
from ml_training.runs import Run
from ml_training.tracking import ModelVersion, Tracking


def log_report(
    finished: Finished, context: FittingContext, tracking: Tracking, mlflow_run: str, report: Path
) -> None:
    """Draw and log plots, tables and scores; ``report`` may hold the quality report already."""
    report.mkdir(exist_ok=True)
    rows, fitted, threshold = finished.rows, finished.fitted, finished.threshold
    plots.loss_curve(fitted.history, fitted.best_epoch, report / "loss.png")
    plots.error_histogram(rows.train_errors, rows.later_errors, threshold.value, report / "errors.png")
    anomalous = tables.most_anomalous(
        rows.most_anomalous,
        context.preprocessor,
        HistoryState.load(finished.folder / "history.npz"),
        finished.reference["usual"],
    )
    write_json(report / "most_anomalous.json", anomalous)
    page = tables.anomalous_page(anomalous, threshold.value)
    (report / "most_anomalous.html").write_text(page, encoding="utf-8")
    shutil.copyfile(finished.folder / "threshold.json", report / "threshold.json")
    tracking.files(mlflow_run, report, "report")
    scores = report.with_name("scores")
    scores.mkdir()
    shutil.copyfile(finished.scores_path, scores / "scores.parquet")
    tracking.files(mlflow_run, scores, "scores")
    tracking.metrics(mlflow_run, _metrics(finished))


def register(
    finished: Finished,
    run: Run,
    tracking: Tracking,
    mlflow_run: str,
    model_name: str,
    work: Path,
) -> ModelVersion:
    """Register the model folder and make it the candidate."""
    tags = {
        "preprocess_run_id": run.run_id,
        "data_hash": run.data_hash,
        "preprocessor_hash": str(finished.card["data"]["preprocessor_hash"]),
    }
    code = pack_code(work / "code")
    return tracking.register(mlflow_run, model_name, finished.folder, code, tags)


def write_scores(parquet: Path, target: Path) -> None:
    """Every row's score as JSON lines of repo_name, number, reconstruction_error."""
    columns = ["repo_name", "number", "reconstruction_error"]
    target.parent.mkdir(parents=True, exist_ok=True)
    waiting = target.with_name(target.name + ".new")
    with pq.ParquetFile(parquet) as file, waiting.open("w", encoding="utf-8") as lines:
        for batch in file.iter_batches(columns=columns):
            for row in batch.to_pylist():
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
    waiting.replace(target)


def _metrics(finished: Finished) -> dict[str, float | None]:
    threshold = finished.threshold
    metrics: dict[str, float | None] = {
        "threshold": threshold.value,
        "train_error_mean": threshold.mean,
        "train_error_std": threshold.std,
        "flag_rate_train": threshold.flag_rates["train"],
        "flag_rate_later": threshold.flag_rates["later"],
        "best_epoch": float(finished.fitted.best_epoch),
        "training_seconds": finished.fitted.seconds,
    }
    for rule, variant in threshold.variants.items():
        metrics[f"threshold_{rule}"] = variant["threshold"]
        metrics[f"flag_rate_train_{rule}"] = variant["flag_rate"]["train"]
        metrics[f"flag_rate_later_{rule}"] = variant["flag_rate"]["later"]
    return metrics
