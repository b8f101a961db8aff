"""The command ``train``: a published run in, a registered candidate out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from pr_features.preprocessor import Preprocessor, WrongPreprocessor
from stage_runtime.exits import ExitCode, UnusableInput, WrongSettings
from stage_runtime.logs import bind, get_logger
from stage_runtime.main import closing_counts
from stage_runtime.signals import StopRequest, stop_on_sigterm

from ml_training.candidates import Candidate, load_candidates
from ml_training.dataset import FeatureTable
from ml_training.evaluate import connect, require, show
from ml_training.finishing import finish
from ml_training.fitting import Fitted, FittingContext, fit_candidate, forget_checkpoint
from ml_training.publishing import log_report, register, write_scores
from ml_training.quality.labels import read_labels
from ml_training.quality.model_under_test import assess_model
from ml_training.quality.report import write_report
from ml_training.runs import Run, choose_run, open_run
from ml_training.selection import best, judge
from ml_training.settings import TrainSettings
from ml_training.split import PLAN_COLUMNS, SplitPlan
from ml_training.storage import Root, open_root
from ml_training.tracking import Tracking
from ml_training.trainer import Diverged, EpochResult, prepare_torch
from ml_training.work import work_folder
from ml_training.workers import Workers


def train(settings: TrainSettings) -> ExitCode:
    """Fit every declared candidate, register the best one as ``candidate``."""
    stop = stop_on_sigterm()
    if settings.require_baselines and not settings.quality_report:
        raise WrongSettings(
            "REQUIRE_BASELINES: expected QUALITY_REPORT=true beside it, found false. Without the report nothing is "
            "compared."
        )
    candidates = load_candidates(settings.candidates, _overrides(settings))
    if settings.labels:
        # Read again for the report; a file that cannot be read must not be found out after the training.
        read_labels(Path(settings.labels))
    root = open_root(settings.root_address, settings.s3_access)
    run_id, manifest = choose_run(root, settings.preprocess_run_id or None)
    bind(run_id=run_id)
    # Before the long work: an MLflow that is out of reach must not be found out after it.
    tracking = connect(settings)
    device = prepare_torch(settings.threads)
    workers = Workers.from_environment(device)
    try:
        with work_folder(settings.work_dir) as work:
            run = open_run(root, run_id, manifest, work)
            context = _context(settings, root, run, device, workers, stop)
            if workers.leads:
                _train_all(settings, context, run, candidates, tracking, work)
            else:
                for candidate in candidates:
                    # The leading process says what follows from it.
                    with suppress(Diverged):
                        fit_candidate(context, candidate, lambda result: None)
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
    with tracking.run(f"train {run.run_id}", identity, tags) as mlflow_run:
        tracking.params(mlflow_run, _run_params(settings, context, run))
        chosen = _search(context, run, candidates, tracking, mlflow_run, work)
        finished = finish(context, run, chosen, settings.threshold_rule, settings.model_name, work)
        report = work / "report"
        made = None
        if settings.quality_report:
            made = assess_model(finished.folder, run, settings.seed, settings.labels)
            facts = {"model": settings.model_name, "preprocess run": run.run_id}
            write_report(made, report, facts)
            if settings.report_dir:
                write_report(made, Path(settings.report_dir), facts)
            tracking.metrics(mlflow_run, made.metrics())
            finished.add_quality(made.card())
            show(made)
        log_report(finished, context, tracking, mlflow_run, report)
        if settings.scores_file:
            write_scores(finished.scores_path, Path(settings.scores_file))
        version = register(finished, run, tracking, mlflow_run, settings.model_name, work)
        for candidate in candidates:
            forget_checkpoint(context, candidate)
    closing_counts(
        rows=context.table.n_rows,
        features=context.table.n_features,
        candidate=chosen.candidate.name,
        model_version=version.version,
        threshold=round(finished.threshold.value, 6),
        flag_rate_train=finished.threshold.flag_rates["train"],
        flag_rate_later=finished.threshold.flag_rates["later"],
    )
    # The version is registered all the same: the gate decides about it, and who reads the report wants to look at it.
    if made is not None:
        require(made, settings)


def _search(
    context: FittingContext,
    run: Run,
    candidates: list[Candidate],
    tracking: Tracking,
    mlflow_run: str,
    work: Path,
) -> Fitted:
    """Train all candidates, each in a nested MLflow run where there are several, and choose the best."""
    if len(candidates) == 1:
        tracking.params(mlflow_run, candidates[0].params())
        return fit_candidate(context, candidates[0], _reporter(tracking, mlflow_run))
    trained: list[Fitted] = []
    children: list[str] = []
    diverged: list[Diverged] = []
    for candidate in candidates:
        identity = f"{mlflow_run}/{context.identity(candidate)}"
        try:
            with tracking.run(candidate.name, identity, {}, parent=mlflow_run) as child:
                tracking.params(child, candidate.params())
                trained.append(fit_candidate(context, candidate, _reporter(tracking, child)))
                children.append(child)
        except Diverged as error:  # the others may do
            get_logger().warning("left out", candidate=candidate.name, reason=str(error))
            diverged.append(error)
    if not trained:
        raise diverged[0]
    judged = judge(context, run, trained, work)
    for child, one in zip(children, judged, strict=True):
        tracking.metrics(child, one.metrics())
    chosen = best(judged)
    get_logger().info(
        "chosen", candidate=chosen.fitted.candidate.name, roc_auc=chosen.by_kind, of=len(judged)
    )
    tracking.params(mlflow_run, chosen.fitted.candidate.params())
    return chosen.fitted


def _reporter(tracking: Tracking, mlflow_run: str) -> Callable[[EpochResult], None]:
    def report(result: EpochResult) -> None:
        metrics = {
            "loss": result.loss,
            "validation_loss": result.validation_loss,
            "learning_rate": result.learning_rate,
            "rows_left_out": float(result.rows_left_out),
        }
        tracking.metrics(mlflow_run, metrics, result.epoch)

    return report


def _context(
    settings: TrainSettings,
    root: Root,
    run: Run,
    device: torch.device,
    workers: Workers,
    stop: StopRequest,
) -> FittingContext:
    preprocessor = _preprocessor(run)
    table = FeatureTable(run.files("features"), preprocessor)
    plan = SplitPlan.from_keys(table.keys(PLAN_COLUMNS))
    get_logger().info("rows", **plan.counts(), features=table.n_features, device=device.type)
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
        checkpoint_seconds=settings.checkpoint_seconds,
    )


def _preprocessor(run: Run) -> Preprocessor:
    try:
        return Preprocessor.load(run.preprocessor_path)
    except (WrongPreprocessor, KeyError, TypeError, ValueError) as error:
        raise UnusableInput(
            f"preprocess run {run.run_id!r}, preprocessor.json: {error}. "
            "Run spark_preprocess of the same version as this stage."
        ) from error


def _overrides(settings: TrainSettings) -> dict[str, Any]:
    overrides: dict[str, Any] = {}
    if settings.max_epochs:
        overrides |= {"max_epochs": settings.max_epochs, "min_steps": 0}
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
        **{f"rows_{name}": count for name, count in context.plan.counts().items()},
    }
