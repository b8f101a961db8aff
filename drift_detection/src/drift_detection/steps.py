"""The small commands of the retraining workflow; each answers with an exit code and, where asked, a file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from model_registry.registry import open_registry
from stage_runtime.exits import ExitCode
from stage_runtime.logs import get_logger
from stage_runtime.main import closing_counts

from drift_detection import retrainings
from drift_detection.endings import outcome_of
from drift_detection.new_rows import count_new, enough, seen_by_last_training
from drift_detection.replicas import reload, resolve, verify
from drift_detection.settings import (
    CoolDownSettings,
    DecisionSettings,
    NewRowsSettings,
    RegistrySettings,
    ReplicaSettings,
    ReportSettings,
    VerifySettings,
)
from drift_detection.store import open_store


def cool_down(settings: CoolDownSettings) -> ExitCode:
    """Claim the next retraining; yes once in a cool-down."""
    store = open_store(settings.root_address, settings.s3_access)
    hours = 0.0 if settings.ignore_cool_down else settings.cool_down_hours
    minutes = 0.0 if settings.ignore_cool_down else settings.retry_minutes
    answer = retrainings.claim(
        store, settings.workflow, datetime.now(UTC), timedelta(hours=hours), timedelta(minutes=minutes)
    )
    _answer(settings, answer.go, why=answer.why, until=answer.until.isoformat() if answer.until else None)
    return ExitCode.DONE


def new_rows(settings: NewRowsSettings) -> ExitCode:
    """Yes where there is enough to learn; after a no the workflow only sees to it that every replica is up to date."""
    store = open_store(settings.root_address, settings.s3_access)
    seen = seen_by_last_training(settings, store)
    count, needed = count_new(settings, seen), enough(settings, seen)
    go = count >= needed
    if not go:
        retrainings.nothing_new(store, settings.workflow, f"{count} new or changed, needed are {needed}")
    _answer(settings, go, new_rows=count, needed=needed)
    return ExitCode.DONE


def reload_replicas(settings: ReplicaSettings) -> ExitCode:
    """Ask every replica to load the champion. One that refuses is for ``verify`` to fail on."""
    replicas = resolve(settings.replicas)
    said = reload(replicas, settings.reload_token.get_secret_value(), settings.request_seconds)
    for replica, answer in said.items():
        say = get_logger().info if answer.startswith("serves") else get_logger().error
        say("reload", replica=replica, answer=answer)
    closing_counts(replicas=len(replicas))
    return ExitCode.DONE


def verify_replicas(settings: VerifySettings) -> ExitCode:
    """Fail unless every worker of every replica serves the champion."""
    version = _champion(settings)
    names = verify(
        lambda: resolve(settings.replicas),
        version,
        wait_seconds=settings.verify_seconds,
        timeout=settings.request_seconds,
    )
    closing_counts(replicas=len(names), model_version=version)
    return ExitCode.DONE


def report(settings: ReportSettings) -> ExitCode:
    """Note how the retraining ended; for one that never started there is nothing to note."""
    store = open_store(settings.root_address, settings.s3_access)
    outcome, why = outcome_of(settings.status, settings.failures)
    ended = retrainings.end(store, settings.workflow, datetime.now(UTC), outcome, why)
    say = get_logger().info if outcome == "succeeded" else get_logger().error
    noted = ended.outcome if ended is not None else "nothing: no retraining was started"
    say("retraining ended", workflow=settings.workflow, outcome=outcome, why=why, noted=noted)
    closing_counts(outcome=noted)
    return ExitCode.DONE


def _champion(settings: RegistrySettings) -> str:
    registry = open_registry(settings.mlflow_tracking_uri)
    return registry.resolve(settings.model_name, settings.model_alias).version


def _answer(settings: DecisionSettings, go: bool, **why: object) -> None:
    text = "yes" if go else "no"
    if settings.decision_file is not None:
        settings.decision_file.write_text(text, encoding="utf-8")
    get_logger().info(text, **why)
    closing_counts(answer=text)
