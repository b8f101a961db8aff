"""The command ``train``: a published run in, a registered candidate out."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pr_features.history import HistoryState
from pr_features.preprocessor import Preprocessor, WrongPreprocessor
from stage_runtime.exits import ExitCode, UnusableInput
from stage_runtime.logs import bind, get_logger
from stage_runtime.main import closing_counts
from stage_runtime.signals import stop_on_sigterm

from ml_training import plots, tables
from ml_training.artifact import pack_code, pack_history, write_golden, write_json
from ml_training.candidates import Candidate, load_candidates
from ml_training.card import make_card
from ml_training.dataset import FeatureTable
from ml_training.export import export_onnx, prove_parity
from ml_training.fitting import Fitted, FittingContext, fit_candidate, forget_checkpoint
from ml_training.reference import make_reference
from ml_training.runs import Run, choose_run, open_run
from ml_training.scoring_pass import PassResult, score_table
from ml_training.settings import TrainSettings
from ml_training.split import PLAN_COLUMNS, SplitPlan
from ml_training.storage import Root, open_root
from ml_training.threshold import Threshold, fit_threshold
from ml_training.tracking import ModelVersion, Tracking
from ml_training.trainer import EpochResult, prepare_torch
from ml_training.workers import Workers


def train(settings: TrainSettings) -> ExitCode:
    """Fit every declared candidate, register the best one as ``candidate``."""
    stop = stop_on_sigterm()
    candidates = load_candidates(settings.candidates, _overrides(settings))
    root = open_root(settings.root_address, settings.s3_access)
    run_id, manifest = choose_run(root, settings.preprocess_run_id or None)
    bind(run_id=run_id)
    # Before the long work: an MLflow that is out of reach must not be found out after it.
    tracking = Tracking(
        settings.mlflow_tracking_uri.get_secret_value(),
        settings.mlflow_experiment,
        settings.s3_access,
    )
    device = prepare_torch(settings.threads)
    workers = Workers.from_environment(device)
    try:
        with work_folder(settings.work_dir, workers.rank) as work:
            run = open_run(root, run_id, manifest, work)
            context = _context(settings, root, run, device, workers, stop)
            _train_all(settings, context, run, candidates, tracking, work)
    finally:
        workers.leave()
    return ExitCode.DONE


def _train_all(
    settings: TrainSettings,
    context: FittingContext,
    run: Run,
    candidates: list[Candidate],
    tracking: Tracking,
    work: Path,
) -> None:
    identity = "+".join(context.identity(candidate) for candidate in candidates)
    tags = {"preprocess_run_id": run.run_id, "data_hash": run.data_hash}
    if not context.workers.leads:
        for candidate in candidates:
            fit_candidate(context, candidate, lambda result: None)
        return
    with tracking.run(f"train {run.run_id}", identity, tags) as parent:
        tracking.params(parent, _run_params(settings, context, run))
        trained = [
            _fit_in_run(context, candidate, tracking, parent, nested=len(candidates) > 1)
            for candidate in candidates
        ]
        chosen = trained[0]
        folder = work / "model"
        result, threshold = _finish(settings, context, run, chosen, folder, work)
        version = _publish(settings, context, run, chosen, result, threshold, tracking, parent, work)
        for candidate in candidates:
            forget_checkpoint(context, candidate)
    closing_counts(
        run_id=run.run_id,
        rows=context.table.n_rows,
        features=context.table.n_features,
        model_version=version.version,
        threshold=round(threshold.value, 6),
        flag_rate_train=threshold.flag_rates["train"],
        flag_rate_later=threshold.flag_rates["later"],
    )


def _fit_in_run(
    context: FittingContext, candidate: Candidate, tracking: Tracking, parent: str, nested: bool
) -> Fitted:
    """Train one candidate in a nested MLflow run, or in the parent itself where it is the only one."""
    if not nested:
        fitted = fit_candidate(context, candidate, _epoch_reporter(tracking, parent))
        tracking.params(parent, candidate.params())
        return fitted
    identity = f"{parent}/{context.identity(candidate)}"
    with tracking.run(candidate.name, identity, {}, parent=parent) as child:
        tracking.params(child, candidate.params())
        return fit_candidate(context, candidate, _epoch_reporter(tracking, child))


def _epoch_reporter(tracking: Tracking, mlflow_run: str) -> Any:
    def report(result: EpochResult) -> None:
        metrics = {
            "loss": result.loss,
            "validation_loss": result.validation_loss,
            "learning_rate": result.learning_rate,
            "rows_left_out": float(result.rows_left_out),
        }
        tracking.metrics(mlflow_run, metrics, result.epoch)

    return report


def _finish(
    settings: TrainSettings, context: FittingContext, run: Run, fitted: Fitted, folder: Path, work: Path
) -> tuple[PassResult, Threshold]:
    """Score every row, choose the threshold, write the model's files; the folder is then complete but for the card."""
    folder.mkdir()
    result = score_table(fitted.network, context.table, work / "scores.parquet")
    threshold = fit_threshold(result.train_errors, result.later_errors, settings.threshold_rule)
    network = fitted.network.cpu()
    export_onnx(network, folder / "network.onnx")
    difference = prove_parity(network, folder / "network.onnx", result.proof_rows)
    get_logger().info("exported", largest_difference=difference, rows=len(result.proof_rows))
    shutil.copyfile(run.preprocessor_path, folder / "preprocessor.json")
    pack_history(run, folder / "history.npz")
    write_json(folder / "threshold.json", threshold.to_json(run.run_id))
    write_json(folder / "reference.json", make_reference(result.sample, result.train_errors))

    def run_torch(rows: Any) -> Any:
        with torch.no_grad():
            contributions = network.contributions(torch.from_numpy(rows))
        return contributions.sum(dim=1).numpy(), contributions.numpy()

    write_golden(folder, run_torch)
    return result, threshold


def _publish(
    settings: TrainSettings,
    context: FittingContext,
    run: Run,
    fitted: Fitted,
    result: PassResult,
    threshold: Threshold,
    tracking: Tracking,
    mlflow_run: str,
    work: Path,
) -> ModelVersion:
    folder = work / "model"
    stored = threshold.to_json(run.run_id)
    reference = make_reference(result.sample, result.train_errors)
    card = make_card(
        model_name=settings.model_name,
        run_id=run.run_id,
        manifest=run.manifest,
        params=fitted.candidate.params(),
        rows=_row_counts(context),
        threshold=stored,
        error_histogram=reference["error_histogram"],
        best_epoch=fitted.best_epoch,
        quality=None,
        preprocessor_hash=context.preprocessor.hash,
        data_hash=run.data_hash,
    )
    write_json(folder / "card.json", card)
    report = work / "report"
    report.mkdir()
    plots.loss_curve(fitted.history, fitted.best_epoch, report / "loss.png")
    plots.error_histogram(
        result.train_errors, result.later_errors, threshold.value, report / "errors.png"
    )
    history = HistoryState.load(folder / "history.npz")
    anomalous = tables.most_anomalous(
        result.most_anomalous, context.preprocessor, history, reference["usual"]
    )
    write_json(report / "most_anomalous.json", anomalous)
    (report / "most_anomalous.html").write_text(
        tables.anomalous_page(anomalous, threshold.value), encoding="utf-8"
    )
    write_json(report / "threshold.json", stored)
    tracking.files(mlflow_run, report, "report")
    scores = work / "scores"
    scores.mkdir()
    shutil.move(work / "scores.parquet", scores / "scores.parquet")
    tracking.files(mlflow_run, scores, "scores")
    tracking.metrics(mlflow_run, _final_metrics(fitted, threshold, context))
    tags = {
        "preprocess_run_id": run.run_id,
        "data_hash": run.data_hash,
        "preprocessor_hash": context.preprocessor.hash,
    }
    code = pack_code(work / "code")
    return tracking.register(mlflow_run, settings.model_name, folder, code, tags)


def _final_metrics(
    fitted: Fitted, threshold: Threshold, context: FittingContext
) -> Mapping[str, float | None]:
    metrics: dict[str, float | None] = {
        "threshold": threshold.value,
        "train_error_mean": threshold.mean,
        "train_error_std": threshold.std,
        "flag_rate_train": threshold.flag_rates["train"],
        "flag_rate_later": threshold.flag_rates["later"],
        "best_epoch": float(fitted.best_epoch),
        "training_seconds": fitted.seconds,
    }
    for rule, variant in threshold.variants.items():
        metrics[f"threshold_{rule}"] = variant["threshold"]
        metrics[f"flag_rate_later_{rule}"] = variant["flag_rate"]["later"]
    return metrics


def _context(
    settings: TrainSettings,
    root: Root,
    run: Run,
    device: torch.device,
    workers: Workers,
    stop: Any,
) -> FittingContext:
    preprocessor = read_preprocessor(run)
    table = FeatureTable(run.files("features"), preprocessor)
    plan = SplitPlan.from_keys(table.keys(PLAN_COLUMNS))
    get_logger().info(
        "rows",
        fit=plan.n_fit,
        validation=plan.n_validation,
        later=plan.n_later,
        features=table.n_features,
        device=device.type,
    )
    return FittingContext(
        root=root,
        table=table,
        preprocessor=preprocessor,
        plan=plan,
        data_hash=run.data_hash,
        seed=settings.seed,
        threads=settings.threads,
        device=device,
        workers=workers,
        stop=stop,
    )


def read_preprocessor(run: Run) -> Preprocessor:
    """The run's preprocessor; raises UnusableInput where it is not for this version's features."""
    try:
        return Preprocessor.load(run.preprocessor_path)
    except (WrongPreprocessor, KeyError, TypeError, ValueError) as error:
        raise UnusableInput(
            f"preprocess run {run.run_id!r}, preprocessor.json: {error}. "
            "Run spark_preprocess of the same version as this stage."
        ) from error


@contextmanager
def work_folder(parent: str, rank: int = 0) -> Iterator[Path]:
    """A folder of this process's own, gone afterwards however it ends."""
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"rank{rank}-", dir=parent) as folder:
        yield Path(folder)


def _overrides(settings: TrainSettings) -> dict[str, Any]:
    overrides: dict[str, Any] = {}
    if settings.max_epochs:
        overrides["max_epochs"] = settings.max_epochs
    if settings.batch_size:
        overrides["batch_size"] = settings.batch_size
    if settings.mixed_precision:
        overrides["mixed_precision"] = True
    return overrides


def _run_params(settings: TrainSettings, context: FittingContext, run: Run) -> dict[str, Any]:
    return {
        "preprocess_run_id": run.run_id,
        "seed": settings.seed,
        "threads": settings.threads,
        "device": context.device.type,
        "processes": context.workers.world_size,
        "threshold_rule": settings.threshold_rule,
        "n_features": context.table.n_features,
        **{f"rows_{name}": count for name, count in _row_counts(context).items()},
    }


def _row_counts(context: FittingContext) -> dict[str, int]:
    plan = context.plan
    return {
        "train": plan.n_fit + plan.n_validation,
        "fit": plan.n_fit,
        "validation": plan.n_validation,
        "later": plan.n_later,
    }
