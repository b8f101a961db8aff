"""The command ``gate``: the candidate becomes champion, or is refused with what decided."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from stage_runtime.exits import ExitCode, GateRefused, UnusableInput
from stage_runtime.logs import get_logger
from stage_runtime.main import closing_counts
from stage_runtime.signals import stop_on_sigterm

from ml_training import checks
from ml_training.artifact import LoadedModel, write_json
from ml_training.checks import Check
from ml_training.dataset import FeatureTable
from ml_training.evaluate import connect, open_run_of, version_of
from ml_training.quality.assessment import roc_auc_by_kind
from ml_training.quality.detectors import Rows, pca_detector
from ml_training.quality.evaluation_set import LEAST_DOCUMENTS, DocumentSet, EvaluationSet
from ml_training.quality.model_under_test import (
    ModelUnderTest,
    documents_of,
    training_rows,
)
from ml_training.runs import Run
from ml_training.settings import GateSettings
from ml_training.tables import page, table
from ml_training.tracking import CANDIDATE_ALIAS, CHAMPION_ALIAS, ModelVersion, Tracking
from ml_training.trainer import prepare_torch
from ml_training.work import work_folder


def gate(settings: GateSettings) -> ExitCode:
    """Promote the candidate if it passes every check. Raises GateRefused, naming what it failed, or reports that."""
    stop_on_sigterm()
    tracking = connect(settings)
    candidate = version_of(tracking, settings, CANDIDATE_ALIAS)
    champion = tracking.version(settings.model_name, CHAMPION_ALIAS)
    if champion is not None and champion.version == candidate.version:
        get_logger().info("the candidate is champion already", model_version=candidate.version)
        return ExitCode.DONE
    prepare_torch(settings.threads)
    with work_folder(settings.work_dir) as work:
        run = open_run_of(candidate, settings, work)
        found = _judge(settings, tracking, candidate, champion, run, work)
        _publish(tracking, candidate, champion, found, work)
    log = get_logger()
    for check in found:
        say = log.info if check.passed else log.warning
        say("check", name=check.name, passed=check.passed, expected=check.expected, found=check.found)
    failed = [check for check in found if not check.passed]
    closing_counts(
        model_version=candidate.version,
        champion_before=champion.version if champion else None,
        checks=len(found),
        failed=len(failed),
    )
    if failed:
        stays = f"Version {champion.version} stays champion." if champion else "There is no champion."
        verdict = f"{candidate.name} version {candidate.version} was refused. {stays} "
        verdict += "; ".join(map(str, failed))
        if settings.on_refusal == "fail":
            raise GateRefused(verdict)
        log.error(verdict)
        return ExitCode.DONE
    tracking.promote(candidate)
    # Told from one that passed and was never promoted: a champion that people went back from waits for nothing.
    tracking.version_tags(candidate, {"gate_promoted": "true"})
    log.info("promoted", model_version=candidate.version)
    return ExitCode.DONE


def _judge(
    settings: GateSettings,
    tracking: Tracking,
    candidate: ModelVersion,
    champion: ModelVersion | None,
    run: Run,
    work: Path,
) -> list[Check]:
    folder = tracking.download(candidate, work / "candidate")
    model = LoadedModel(folder)
    documents = documents_of(run)
    if documents is None:
        return [checks.enough_documents(0, LEAST_DOCUMENTS)]
    twin = ModelUnderTest.load(folder / "artifacts", settings.seed)
    evaluation = EvaluationSet.make(documents, model.matrix)
    ours = roc_auc_by_kind(lambda rows: model.errors(rows.matrix), evaluation)
    train = training_rows(FeatureTable(run.files("features"), twin.preprocessor))
    pca = pca_detector(train, twin.weights, twin.dense, twin.bottleneck)
    errors = model.errors(evaluation.ordinary.matrix)
    margin = settings.gate_baseline_margin
    found = [
        checks.beats(
            "the untrained network", ours, roc_auc_by_kind(twin.untrained(train), evaluation), margin
        ),
        checks.beats("PCA", ours, roc_auc_by_kind(pca, evaluation), margin),
        checks.distinct_scores(errors, settings.gate_distinct_scores),
        checks.flag_rate(
            errors,
            model.scorer.threshold,
            settings.gate_flag_rate_low,
            settings.gate_flag_rate_high,
        ),
        checks.offline_equals_served(_offline_scores(tracking, candidate, work), _by_id(documents, errors)),
    ]
    theirs = _champion_by_kind(tracking, champion, documents, work)
    if theirs is not None:
        found.append(checks.against_champion(ours, theirs, settings.gate_margin))
    return found


def _champion_by_kind(
    tracking: Tracking, champion: ModelVersion | None, documents: DocumentSet, work: Path
) -> dict[str, float] | None:
    """The champion on the same documents with its own feature code; None without a usable one."""
    if champion is None:
        get_logger().info("no champion yet: only the absolute checks count")
        return None
    try:
        model = LoadedModel(tracking.download(champion, work / "champion"))
    except UnusableInput as error:
        # It could not be served either, so it must not stand in the way of one that can.
        get_logger().warning("the champion does not load and is not compared", reason=str(error))
        return None

    def score(rows: Rows) -> np.ndarray:
        return model.errors(rows.matrix)

    try:
        return roc_auc_by_kind(score, EvaluationSet.make(documents, model.matrix))
    except Exception as error:  # its own code, of whatever age, over documents of today
        reason = f"{type(error).__name__}: {error}"
        get_logger().warning(
            "the champion's code fails on these documents and is not compared", reason=reason
        )
        return None


def _offline_scores(tracking: Tracking, candidate: ModelVersion, work: Path) -> dict[int, float]:
    """What training computed with torch from the feature table, by pull request id."""
    path = tracking.run_file(candidate.run_id, "scores/scores.parquet", work / "scores")
    if path is None:
        return {}
    scores = pq.read_table(
        path, columns=["pr_id", "reconstruction_error"], filters=[("split", "==", "later")]
    )
    return dict(
        zip(
            scores.column("pr_id").to_pylist(),
            scores.column("reconstruction_error").to_pylist(),
            strict=True,
        )
    )


def _by_id(documents: DocumentSet, errors: np.ndarray) -> dict[int, float]:
    ids = [document["pr_id"] for document in documents.ordinary]
    return {int(key): float(error) for key, error in zip(ids, errors, strict=True) if key is not None}


def _publish(
    tracking: Tracking,
    candidate: ModelVersion,
    champion: ModelVersion | None,
    found: list[Check],
    work: Path,
) -> None:
    """The verdict as data and as a page beside the candidate's report, and as tags of its version."""
    passed = all(check.passed for check in found)
    verdict: dict[str, Any] = {
        "model": candidate.name,
        "version": candidate.version,
        "champion_before": champion.version if champion else None,
        "passed": passed,
        "checks": [check.__dict__ for check in found],
    }
    folder = work / "gate"
    folder.mkdir()
    write_json(folder / "gate.json", verdict)
    rows = [
        ["passed" if check.passed else "FAILED", *map(escape, (check.name, check.expected, check.found))]
        for check in found
    ]
    outcome = "passed" if passed else "refused"
    body = table(["", "check", "expected", "found"], rows, frozenset())
    title = f"Gate: version {candidate.version} {outcome}"
    (folder / "gate.html").write_text(page(title, body), encoding="utf-8")
    tracking.files(candidate.run_id, folder, "report")
    failed = "; ".join(check.name for check in found if not check.passed)
    tracking.version_tags(candidate, {"gate": outcome, "gate_failed": failed or "none"})
