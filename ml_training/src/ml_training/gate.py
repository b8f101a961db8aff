"""The command ``gate``: the candidate becomes champion, or is refused with what decided."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
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
from ml_training.quality.assessment import estimates_by_kind
from ml_training.quality.comparison import ByKind, mean_difference, worst_difference
from ml_training.quality.detectors import Detector, Rows, pca_detector
from ml_training.quality.evaluation_set import LEAST_DOCUMENTS, DocumentSet, EvaluationSet
from ml_training.quality.model_under_test import (
    ModelUnderTest,
    later_documents,
    training_rows,
)
from ml_training.runs import Run
from ml_training.settings import GateSettings
from ml_training.tables import page, table
from ml_training.tracking import CANDIDATE_ALIAS, CHAMPION_ALIAS, ModelVersion, Tracking
from ml_training.trainer import prepare_torch
from ml_training.work import work_folder

# By how much ROC-AUC a version's worst kind is below the best champion's before it.
OWED_TAG = "gate_below_best_champion"


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
        verdict = _judge(settings, tracking, candidate, champion, run, work)
        _publish(tracking, candidate, champion, verdict, work)
    log = get_logger()
    for check in verdict.checks:
        say = log.info if check.passed else log.warning
        say("check", **asdict(check))
    failed = verdict.failed
    closing_counts(
        model_version=candidate.version,
        champion_before=champion.version if champion else None,
        checks=len(verdict.checks),
        failed=len(failed),
    )
    if failed:
        stays = f"Version {champion.version} stays champion." if champion else "There is no champion."
        told = f"{candidate.name} version {candidate.version} was refused. {stays} "
        told += "; ".join(map(str, failed))
        if settings.on_refusal == "fail":
            raise GateRefused(told)
        log.error(told)
        return ExitCode.DONE
    tracking.promote(candidate)
    # Told from one that passed and was never promoted: a champion that people went back from waits for nothing.
    tracking.version_tags(candidate, {"gate_promoted": "true"})
    log.info("promoted", model_version=candidate.version)
    return ExitCode.DONE


@dataclass(frozen=True)
class Verdict:
    """What was asked and found; owed: see ``checks.owed_after``."""

    checks: list[Check]
    owed: float = 0.0

    @property
    def failed(self) -> list[Check]:
        return [check for check in self.checks if check.refuses]


def _judge(
    settings: GateSettings,
    tracking: Tracking,
    candidate: ModelVersion,
    champion: ModelVersion | None,
    run: Run,
    work: Path,
) -> Verdict:
    folder = tracking.download(candidate, work / "candidate")
    model = LoadedModel(folder)
    raw = later_documents(run)
    enough = checks.enough_documents(len(raw), LEAST_DOCUMENTS)
    if not enough.passed:
        return Verdict([enough])
    documents = DocumentSet.make(raw)
    evaluation = EvaluationSet.make(documents, model.matrix)
    ours = _roc_auc(lambda rows: model.errors(rows.matrix), evaluation)
    errors = model.errors(evaluation.ordinary.matrix)
    found = [
        *_against_baselines(settings, folder, run, evaluation, ours),
        checks.distinct_scores(errors, settings.gate_distinct_scores),
        checks.flag_rate(
            errors,
            model.scorer.threshold,
            settings.gate_flag_rate_low,
            settings.gate_flag_rate_high,
        ),
        checks.offline_equals_served(_offline_scores(tracking, candidate, work), _by_id(documents, errors)),
    ]
    owed = _owed(champion)
    theirs = _champion_by_kind(tracking, champion, documents, work)
    if theirs is not None:
        difference = worst_difference(ours, theirs)
        found.append(checks.against_champion(difference, owed, settings.gate_margin))
        owed = checks.owed_after(difference, owed)
    return Verdict(found, owed)


def _against_baselines(
    settings: GateSettings, folder: Path, run: Run, evaluation: EvaluationSet, ours: ByKind
) -> list[Check]:
    twin = ModelUnderTest.load(folder / "artifacts", settings.seed)
    train = training_rows(FeatureTable(run.files("features"), twin.preprocessor))
    pca = pca_detector(train, twin.weights, twin.dense, twin.bottleneck)
    theirs = _roc_auc(pca, evaluation)
    found = [
        checks.better_than_untrained(ours, _roc_auc(twin.untrained(train), evaluation)),
        checks.level_with_pca(mean_difference(ours, theirs), settings.gate_pca_tolerance),
        checks.level_with_pca(worst_difference(ours, theirs), settings.gate_pca_worst_tolerance),
    ]
    decides = settings.gate_baselines == "require"
    return [replace(check, decides=decides) for check in found]


def _roc_auc(score: Detector, evaluation: EvaluationSet) -> ByKind:
    return {kind: found["roc_auc"] for kind, found in estimates_by_kind(score, evaluation).items()}


def _owed(champion: ModelVersion | None) -> float:
    """What the gate wrote when it made the champion; 0 for one that people chose otherwise."""
    try:
        return max(0.0, float(champion.tags[OWED_TAG])) if champion else 0.0
    except (KeyError, ValueError):
        return 0.0


def _champion_by_kind(
    tracking: Tracking, champion: ModelVersion | None, documents: DocumentSet, work: Path
) -> ByKind | None:
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
        return _roc_auc(score, EvaluationSet.make(documents, model.matrix))
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
    verdict: Verdict,
    work: Path,
) -> None:
    """The verdict as data and as a page beside the candidate's report, and as tags of its version."""
    passed = not verdict.failed
    told: dict[str, Any] = {
        "model": candidate.name,
        "version": candidate.version,
        "champion_before": champion.version if champion else None,
        "passed": passed,
        "below_best_champion": round(verdict.owed, 6),
        "checks": [asdict(check) for check in verdict.checks],
    }
    folder = work / "gate"
    folder.mkdir()
    write_json(folder / "gate.json", told)
    rows = [
        [_word(check), *map(escape, (check.name, check.expected, check.found))] for check in verdict.checks
    ]
    outcome = "passed" if passed else "refused"
    body = table(["", "check", "expected", "found"], rows, frozenset())
    title = f"Gate: version {candidate.version} {outcome}"
    (folder / "gate.html").write_text(page(title, body), encoding="utf-8")
    tracking.files(candidate.run_id, folder, "report")
    failed = "; ".join(check.name for check in verdict.failed)
    # Before the promotion: a champion without its debt would make room for another.
    tags = {"gate": outcome, "gate_failed": failed or "none", OWED_TAG: f"{verdict.owed:.6f}"}
    tracking.version_tags(candidate, tags)


def _word(check: Check) -> str:
    if check.passed:
        return "passed"
    return "FAILED" if check.decides else "not passed, decides nothing"
