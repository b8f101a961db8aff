"""The comparison for people: a page with plots, and a table of plain text for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ml_training import plots
from ml_training.quality.assessment import KNOWN, OURS, Assessment, Table
from ml_training.quality.comparison import MEAN, WORST
from ml_training.quality.measures import MEASURES
from ml_training.quality.verdict import verdict
from ml_training.tables import page, table

MEASURE_NAMES = {
    "roc_auc": "ROC-AUC",
    "average_precision": "average precision",
    "precision_at_1_percent": "precision at 1 %",
}
EXPLAINED = {
    "roc_auc": "Chance that an anomaly scores higher than an ordinary pull request; 0.5 is guessing.",
    "average_precision": "Precision averaged over the anomalies in order of score; guessing gets the base rate.",
    "precision_at_1_percent": "Share of anomalies in the 1 % of rows that score highest; guessing gets the base rate.",
}


def write_report(assessment: Assessment, folder: Path, facts: Mapping[str, Any]) -> None:
    """Write quality.json, quality.html, quality.txt and the plots.

    facts: what the page says of the model (name, version, run, threshold, flag rates).
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = json.dumps(assessment.figures(), indent=1, ensure_ascii=False)
    (folder / "quality.json").write_text(figures + "\n", encoding="utf-8")
    (folder / "quality.txt").write_text(plain_text(assessment), encoding="utf-8")
    if assessment.table:
        for name in ("roc_auc", "average_precision"):
            plots.grouped_bars(
                list(assessment.table),
                {
                    detector: [row[detector][name].value for row in assessment.table.values()]
                    for detector in assessment.detectors
                },
                MEASURE_NAMES[name],
                f"{MEASURE_NAMES[name]} by kind of injected anomaly",
                folder / f"quality_{name}.png",
                baseline=0.5 if name == "roc_auc" else assessment.base_rate,
            )
    (folder / "quality.html").write_text(_page(assessment, facts), encoding="utf-8")


def plain_text(assessment: Assessment) -> str:
    """Every measure of every detector by kind, as columns of text, and the verdict."""
    lines: list[str] = []
    for measure in MEASURES:
        for title, rows in _sections(assessment, measure):
            lines += [title, *_columns(assessment.detectors, rows), ""]
    lines += map(str, verdict(assessment))
    lines += [f"not installed and so not compared: {name}" for name in assessment.absent]
    lines += assessment.notes
    return "\n".join(lines).rstrip() + "\n"


def _columns(detectors: Sequence[str], rows: Sequence[tuple[str, Mapping[str, float]]]) -> Iterator[str]:
    """A line of kinds, then one a detector."""
    width = max(len(detector) for detector in detectors)
    yield " " * width + "  " + "  ".join(f"{kind:>{max(5, len(kind))}}" for kind, _ in rows)
    for detector in detectors:
        cells = (f"{values[detector]:>{max(5, len(kind))}.3f}" for kind, values in rows)
        yield f"{detector:<{width}}  " + "  ".join(cells)


def _base_rate(assessment: Assessment, measure: str) -> str:
    """For a measure that depends on it, the share of anomalies among the injected table's rows, in words."""
    if assessment.base_rate is None or measure == "roc_auc":
        return ""
    return f"base rate {100 * assessment.base_rate:.1f} %"


def _sections(assessment: Assessment, measure: str) -> list[tuple[str, list[tuple[str, dict[str, float]]]]]:
    """(title, by kind the value of each detector)"""
    sections = []
    for title, content in (("injected anomalies", assessment.table), (KNOWN, assessment.known)):
        if not content:
            continue
        rows = [
            (kind, {detector: values[measure].value for detector, values in row.items()})
            for kind, row in content.items()
        ]
        if content is assessment.table:
            for what in (WORST, MEAN):
                summary = {
                    detector: assessment.summary(detector, measure)[what] for detector in assessment.detectors
                }
                rows.append((what, summary))
            title = "; ".join(filter(None, [title, _base_rate(assessment, measure)]))
        sections.append((f"{MEASURE_NAMES[measure]}: {title}", rows))
    return sections


def _page(assessment: Assessment, facts: Mapping[str, Any]) -> str:
    parts = [
        "<p>How well the model tells anomalies from ordinary pull requests, beside what people would take "
        "instead, on the same rows. The ordinary ones are of split <em>later</em>, which no training saw; "
        "the anomalies are made from them by changing raw fields, in declared kinds and strengths. "
        "Brackets are 95 % bootstrap intervals.</p>",
        table(["", ""], [[escape(str(k)), escape(str(v))] for k, v in facts.items()], frozenset()),
        table(["rows", ""], [[escape(k), f"{v:,}"] for k, v in assessment.rows.items()], frozenset({1})),
    ]
    for line in verdict(assessment):
        parts.append(f"<p>{escape(str(line))}</p>")
    for note in [
        *assessment.notes,
        *(f"{name} is not installed and was not compared." for name in assessment.absent),
    ]:
        parts.append(f'<p class="muted">{escape(note)}</p>')
    for name in MEASURES:
        if assessment.table:
            rate = _base_rate(assessment, name)
            parts.append(
                f"<h2>{MEASURE_NAMES[name]}</h2><p>{escape(EXPLAINED[name])} {rate.capitalize()}</p>"
            )
            if name in {"roc_auc", "average_precision"}:
                title = f"{MEASURE_NAMES[name]} by kind"
                parts.append(f'<img src="quality_{name}.png" alt="{title}">')
            parts.append(_table(assessment, assessment.table, name, summarised=True))
    if assessment.known:
        parts.append(
            f"<h2>{escape(KNOWN.capitalize())}</h2><p>Labels given in a file; no training saw them.</p>"
        )
        for name in MEASURES:
            parts.append(f"<h3>{MEASURE_NAMES[name]}</h3>")
            parts.append(_table(assessment, assessment.known, name, summarised=False))
    return page("Quality report", "\n".join(parts))


def _table(assessment: Assessment, content: Table, measure: str, summarised: bool) -> str:
    kinds = list(content)
    headers: Sequence[str] = ["", *map(escape, kinds), *([WORST, MEAN] if summarised else [])]
    rows = []
    for detector in assessment.detectors:
        cells = []
        for kind in kinds:
            value = content[kind][detector][measure]
            cells.append(f'{value.value:.3f}<br><span class="muted">{value.low:.2f}–{value.high:.2f}</span>')
        if summarised:
            summary = assessment.summary(detector, measure)
            cells += [f"{summary[WORST]:.3f}", f"{summary[MEAN]:.3f}"]
        rows.append([escape(detector), *cells])
    markup = table(headers, rows, frozenset(range(1, len(headers))))
    ours = f"<tr><td>{escape(OURS)}</td>"
    return markup.replace(ours, ours.replace("<tr>", '<tr class="ours">'))
