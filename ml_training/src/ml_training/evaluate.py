"""The command ``evaluate``: the quality report of a registered version, into MLflow and a folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from stage_runtime.exits import ExitCode, GateRefused, UnusableInput
from stage_runtime.logs import bind, get_logger
from stage_runtime.main import closing_counts
from stage_runtime.signals import stop_on_sigterm

from ml_training.quality.assessment import OURS, Assessment
from ml_training.quality.model_under_test import assess_model
from ml_training.quality.report import plain_text, write_report
from ml_training.quality.verdict import verdict
from ml_training.runs import Run, choose_run, open_run
from ml_training.settings import CommonSettings, EvaluateSettings
from ml_training.storage import open_root
from ml_training.tracking import ModelVersion, Tracking
from ml_training.trainer import prepare_torch
from ml_training.work import work_folder


def evaluate(settings: EvaluateSettings) -> ExitCode:
    """Judge the version that EVALUATE_ALIAS names on the rows of a run."""
    stop_on_sigterm()
    tracking = connect(settings)
    version = version_of(tracking, settings, settings.evaluate_alias)
    prepare_torch(settings.threads)
    with work_folder(settings.work_dir) as work:
        run = open_run_of(version, settings, work)
        folder = tracking.download(version, work / "model")
        made = assess_model(folder / "artifacts", run, settings.seed, settings.labels)
        facts = {
            "model": f"{version.name} version {version.version}",
            "preprocess run": run.run_id,
        }
        report = work / "report"
        write_report(made, report, facts)
        tracking.files(version.run_id, report, "report")
        tracking.metrics(version.run_id, made.metrics())
        if settings.report_dir:
            write_report(made, Path(settings.report_dir), facts)
    show(made)
    closing_counts(model_version=version.version, run_id=run.run_id, **_counts(made))
    require(made, settings)
    return ExitCode.DONE


def connect(settings: CommonSettings) -> Tracking:
    """MLflow as the settings say."""
    return Tracking(
        settings.mlflow_tracking_uri.get_secret_value(),
        settings.mlflow_experiment,
        settings.s3_access,
        settings.mlflow_artifact_root,
    )


def version_of(tracking: Tracking, settings: CommonSettings, alias: str) -> ModelVersion:
    """The version an alias names; raises UnusableInput where there is none."""
    version = tracking.version(settings.model_name, alias)
    if version is None:
        raise UnusableInput(
            f"model {settings.model_name!r}: expected a version with the alias {alias!r}, found none. "
            "Run `python -m ml_training train` first."
        )
    return version


def open_run_of(version: ModelVersion, settings: CommonSettings, work: Path) -> Run:
    """The run of the settings, or else the one that the version was trained on, proved whole."""
    root = open_root(settings.root_address, settings.s3_access)
    wanted = settings.preprocess_run_id or version.tags.get("preprocess_run_id")
    run_id, manifest = choose_run(root, wanted)
    bind(run_id=run_id)
    return open_run(root, run_id, manifest, work)


def show(made: Assessment) -> None:
    """The table: as text for a person, as one line of data for a program."""
    if sys.stdout.isatty():
        print(plain_text(made))
        return
    log = get_logger()
    for kind, row in {**made.table, **made.known}.items():
        values = {name: round(found["roc_auc"].value, 4) for name, found in row.items()}
        log.info("quality", kind=kind, measure="roc_auc", detectors=values)
    for line in verdict(made):
        say = log.info if line.passed else log.warning
        say("quality verdict", passed=line.passed, found=str(line))


def require(made: Assessment, settings: CommonSettings) -> None:
    """Raise GateRefused where REQUIRE_BASELINES is set and the model is below a baseline, or none could be asked."""
    if not settings.require_baselines:
        return
    lines = verdict(made)
    failed = [str(line) for line in lines if not line.passed]
    if failed or not lines:
        why = "; ".join(failed) or "nothing could be injected, so nothing was shown"
        raise GateRefused(f"The quality report does not hold what REQUIRE_BASELINES asks for: {why}")


def _counts(made: Assessment) -> dict[str, Any]:
    if not made.table:
        return {}
    return {key.replace(" ", "_"): round(value, 4) for key, value in made.summary(OURS).items()}
