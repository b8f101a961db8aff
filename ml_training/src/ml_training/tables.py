"""The most anomalous pull requests of a run, as data and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from pr_features.history import HistoryState
from pr_features.preprocessor import Preprocessor
from pr_features.reasons import reasons

from ml_training.scoring_pass import Extreme

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #8884; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.ours td { font-weight: 600; }
.muted { opacity: .7; }
img { max-width: 100%; background: #fff; border-radius: 4px; }
"""


def most_anomalous(
    extremes: Sequence[Extreme],
    preprocessor: Preprocessor,
    history: HistoryState,
    usual: Mapping[str, float],
) -> list[dict[str, Any]]:
    """One object a row, largest error first, with the reasons that serving would give."""
    found = []
    for extreme in extremes:
        keys = extreme.keys
        norms = history.lookup({"repo_name": keys["repo_name"], "created_at": keys["created_at"]}).norms
        found.append(
            {
                "repo_name": keys["repo_name"],
                "number": keys["number"],
                "title": keys.get("title"),
                "created_at": keys["created_at"].isoformat(),
                "split": keys["split"],
                "reconstruction_error": extreme.error,
                "reasons": [
                    reason["text"]
                    for reason in reasons(
                        keys["repo_name"],
                        extreme.values,
                        norms,
                        extreme.contributions,
                        preprocessor,
                        usual,
                    )
                ],
            }
        )
    return found


def page(title: str, body: str) -> str:
    """A whole HTML page; body is markup, title is text."""
    return (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n<h1>{escape(title)}</h1>\n{body}\n</html>\n"
    )


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], numeric: frozenset[int]) -> str:
    """A table of markup cells; numeric columns are aligned right."""

    def cells(kind: str, values: Sequence[str]) -> str:
        return "".join(
            f'<{kind} class="number">{value}</{kind}>' if position in numeric else f"<{kind}>{value}</{kind}>"
            for position, value in enumerate(values)
        )

    lines = [f"<tr>{cells('td', row)}</tr>" for row in rows]
    return (
        f"<table><thead><tr>{cells('th', headers)}</tr></thead>\n<tbody>\n"
        + "\n".join(lines)
        + "\n</tbody></table>"
    )


def anomalous_page(found: Sequence[Mapping[str, Any]], threshold: float) -> str:
    """The most anomalous pull requests for a person; text of pull requests never becomes markup."""
    rows = [
        [
            f"{entry['reconstruction_error']:.4f}",
            escape(f"{entry['repo_name']}#{entry['number']}"),
            escape(entry["title"] or ""),
            entry["created_at"][:10],
            entry["split"],
            "<br>".join(escape(reason) for reason in entry["reasons"]),
        ]
        for entry in found
    ]
    intro = f"<p>Largest reconstruction errors of the run; the threshold is {threshold:.4f}.</p>"
    headers = ["error", "pull request", "title", "opened", "split", "why"]
    return page("Most anomalous pull requests", intro + table(headers, rows, frozenset({0})))
