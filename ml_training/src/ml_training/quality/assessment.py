"""One model against the baselines on the same rows: injected anomalies of every kind, and known ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from stage_runtime.progress import progress

from ml_training.quality.comparison import MEAN, WORST
from ml_training.quality.detectors import Detector, Rows
from ml_training.quality.evaluation_set import EvaluationSet
from ml_training.quality.measures import MEASURES, Bootstrap, Estimate, estimate, measure

OURS = "autoencoder"
UNTRAINED = "untrained network"
KNOWN = "known anomalies"

Table = dict[str, dict[str, dict[str, Estimate]]]
"""kind -> detector -> measure -> estimate."""


@dataclass(frozen=True)
class Assessment:
    """table over injected kinds; known: the same over labelled rows, by kind of label and together.

    absent: baselines whose package is not installed. rows: what was judged, for the page. base_rate: share of anomalies
    among the weighted rows of each column of ``table``, what guessing gets as precision; None without injections.
    """

    table: Table
    known: Table
    absent: list[str]
    rows: dict[str, int]
    base_rate: float | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def detectors(self) -> list[str]:
        """Names, ours first."""
        return list(next(iter({**self.table, **self.known}.values()), {}))

    def summary(self, detector: str, measure_name: str = "roc_auc") -> dict[str, float]:
        """worst and mean over the injected kinds of one detector."""
        values = [row[detector][measure_name].value for row in self.table.values()]
        return {WORST: min(values), MEAN: float(np.mean(values))} if values else {}

    def figures(self) -> list[dict[str, Any]]:
        """As in ``quality.json``: what, who, value, unit, and the bounds of the interval."""
        found: list[dict[str, Any]] = []
        if self.base_rate is not None:
            found.append(
                {"what": "base rate", "who": "injected anomalies", "value": self.base_rate, "unit": "share"}
            )
        for prefix, table in (("", self.table), (f"{KNOWN}: ", self.known)):
            for kind, row in table.items():
                for detector, measures in row.items():
                    for name, value in measures.items():
                        found.append(
                            {
                                "what": f"{prefix}{kind} {name}",
                                "who": detector,
                                "value": value.value,
                                "unit": "share",
                                "low": value.low,
                                "high": value.high,
                            }
                        )
        for detector in self.detectors if self.table else []:
            for name in MEASURES:
                for what, number in self.summary(detector, name).items():
                    found.append(
                        {"what": f"{what} {name}", "who": detector, "value": number, "unit": "share"}
                    )
        return found

    def metrics(self) -> dict[str, float]:
        """Our own figures, named for MLflow."""
        found = {
            f"quality/{kind}/{name}": value.value
            for kind, row in self.table.items()
            for name, value in row[OURS].items()
        }
        found |= {
            f"quality/known/{kind}/{name}": value.value
            for kind, row in self.known.items()
            for name, value in row[OURS].items()
        }
        for name in MEASURES:
            for what, number in self.summary(OURS, name).items():
                found[f"quality/{what.replace(' ', '_')}/{name}"] = number
        return found

    def card(self) -> dict[str, Any]:
        """The little that the model's card shows: ROC-AUC by kind, ours and the best of the others."""
        return {
            "measure": "roc_auc",
            "kinds": [
                {
                    "kind": kind,
                    "ours": round(row[OURS]["roc_auc"].value, 4),
                    "low": round(row[OURS]["roc_auc"].low, 4),
                    "high": round(row[OURS]["roc_auc"].high, 4),
                    **_best_other(row),
                }
                for kind, row in self.table.items()
            ],
            **{key.replace(" ", "_"): round(value, 4) for key, value in self.summary(OURS).items()},
        }


def _best_other(row: Mapping[str, Mapping[str, Estimate]]) -> dict[str, Any]:
    others = {name: values["roc_auc"].value for name, values in row.items() if name != OURS}
    best = max(others, key=lambda name: others[name]) if others else None
    return {"best_baseline": best, "baseline": round(others[best], 4) if best else None}


def assess(
    detectors: Mapping[str, Detector],
    evaluation: EvaluationSet | None,
    known: KnownRows | None,
    absent: Sequence[str],
) -> Assessment:
    """Score every detector (ours first) on every kind; evaluation or known may be None."""
    table: Table = {}
    known_table: Table = {}
    rows: dict[str, int] = {}
    base_rate = None
    if evaluation is not None:
        rows["ordinary"] = len(evaluation.ordinary.lines)
        draws = next(iter(evaluation.injected.values()))
        rows["injected of each kind"] = sum(len(draw.lines) for draw in draws)
        base_rate = 1.0 / (1.0 + evaluation.ordinary_weight * rows["ordinary"] / len(draws[0].lines))
        with progress(len(detectors), "quality report", "detectors") as bar:
            table = _injected_table(detectors, evaluation, lambda: bar.update(1))
    if known is not None:
        rows["known anomalies"] = len(known.anomalies)
        beside = len(known.rows.lines) - len(known.anomalies)
        rows["rows beside them"] = round(beside * known.ordinary_weight)
        if known.ordinary_weight > 1:
            rows["of which were scored"] = beside
        known_table = _known_table(detectors, known)
    return Assessment(table, known_table, list(absent), rows, base_rate)


def roc_auc_by_kind(score: Detector, evaluation: EvaluationSet) -> dict[str, float]:
    """Mean ROC-AUC over draws for each kind, without intervals: for choosing among candidates."""
    ordinary = score(evaluation.ordinary)
    return {
        kind: float(np.mean([measure(ordinary, score(draw))["roc_auc"] for draw in draws]))
        for kind, draws in evaluation.injected.items()
    }


def estimates_by_kind(score: Detector, evaluation: EvaluationSet) -> dict[str, dict[str, Estimate]]:
    """kind -> measure -> estimate; of whatever detector, on the same resampled rows."""
    ordinary = score(evaluation.ordinary)
    bootstrap = Bootstrap(len(ordinary))
    return {
        kind: estimate(ordinary, [score(draw) for draw in draws], bootstrap, kind, evaluation.ordinary_weight)
        for kind, draws in evaluation.injected.items()
    }


@dataclass(frozen=True)
class KnownRows:
    """Rows of the feature table with known anomalies among them.

    anomalies: kind by position in rows, all there are. ordinary_weight: how many ordinary rows of the table each of
    the others stands for.
    """

    rows: Rows
    anomalies: dict[int, str]
    ordinary_weight: float = 1.0


def _injected_table(
    detectors: Mapping[str, Detector], evaluation: EvaluationSet, step: Callable[[], object]
) -> Table:
    table: Table = {kind: {} for kind in evaluation.injected}
    for name, score in detectors.items():
        for kind, estimates in estimates_by_kind(score, evaluation).items():
            table[kind][name] = estimates
        step()
    return table


def _known_table(detectors: Mapping[str, Detector], known: KnownRows) -> Table:
    labelled = np.zeros(len(known.rows.lines), dtype=bool)
    labelled[list(known.anomalies)] = True
    kinds: dict[str, list[int]] = {"all": sorted(known.anomalies)}
    if len(set(known.anomalies.values())) > 1:
        for position, kind in sorted(known.anomalies.items()):
            kinds.setdefault(kind, []).append(position)
    table: Table = {kind: {} for kind in kinds}
    bootstrap = Bootstrap(int((~labelled).sum()))
    for name, score in detectors.items():
        scores = score(known.rows)
        for kind, positions in kinds.items():
            table[kind][name] = estimate(
                scores[~labelled], [scores[positions]], bootstrap, kind, known.ordinary_weight
            )
    return table
