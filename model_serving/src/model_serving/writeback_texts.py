"""The texts that are left on a pull request, and the mark by which a comment of ours is known again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_MARK = re.compile(r"<!-- pr-anomaly-score (\S{0,100}) -->").match


def order_of(updated_at: datetime, received_at: datetime) -> str:
    """A text that sorts as events happened: by GitHub's time of the pull request, then by arrival (both UTC)."""
    return f"{updated_at:%Y-%m-%dT%H:%M:%SZ}/{received_at:%Y-%m-%dT%H:%M:%S.%fZ}"


def mark(order: str) -> str:
    """The first line of a comment; it does not show."""
    return f"<!-- pr-anomaly-score {order} -->"


def marked(body: str) -> str | None:
    """The order of the result in a comment with our mark, None for any other comment.

    Anybody can write a mark: it says nothing about who wrote it.
    """
    found = _MARK(body)
    return found[1] if found else None


def describe(score: Mapping[str, Any]) -> str:
    """The score in one sentence of at most 140 characters, GitHub's limit for a status."""
    verdict = "Unusual" if score["is_anomaly"] else "Nothing unusual"
    text = f"{verdict}: more so than {score['anomaly_score']:.1%} of the pull requests learned from"
    if score["is_anomaly"] and score["reasons"]:
        text += f" ({score['reasons'][0]['feature']})"
    return text[:140]


def comment(score: Mapping[str, Any], url: str, order: str, sha: str) -> str:
    """The comment in Markdown. Text that came from the pull request cannot become markup or a mention."""
    lines = [
        mark(order),
        f"**{'Unusual' if score['is_anomaly'] else 'Nothing unusual'}**: reconstruction error "
        f"{score['reconstruction_error']:.4g}, threshold {score['threshold']:.4g}, "
        f"more than {score['anomaly_score']:.1%} of the pull requests learned from.",
        "",
        *(f"- {plain(reason['text'])} ({reason['share']:.0%} of the error)" for reason in score["reasons"]),
        "",
        f"Unusual is not the same as bad. Commit {sha[:12]}, model version {plain(score['model_version'])}"
        + (f", [details]({url})." if url else "."),
    ]
    return "\n".join(lines)


def plain(text: str) -> str:
    """Text as Markdown that shows just that text on one line."""
    one_line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    escaped = re.sub(r"([\\`*_{}\[\]()#+.!|~>-])", r"\\\1", one_line)
    # A word joiner keeps GitHub from reading a mention or a reference to an issue.
    return (
        escaped.replace("&", "&amp;").replace("<", "&lt;").replace("@", "@\u2060").replace("://", ":\u2060//")
    )
