"""The pages for people: the dashboard at `/` and the API's page at `/docs`. Server-rendered, no outside asset.

Everything from a pull request goes through Jinja's escaping; the Content-Security-Policy allows no inline script or
style at all, and on the dashboard no script whatever.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, render_template, request
from markupsafe import Markup

from model_serving import bodies
from model_serving.charts import error_histogram
from model_serving.drift import DriftReports, StoreFailed
from model_serving.problems import Problem
from model_serving.results import SHOWN, Results
from model_serving.service import Service

_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}").fullmatch
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
DOCS_POLICY = POLICY + "; script-src 'self'; connect-src 'self'"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
# Marks that turn the direction of text around: shown as what they are, so a title cannot disguise itself.
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def add_pages(flask: Flask, service: Service, results: Results, drift: DriftReports | None = None) -> None:
    """Add the pages to the application."""
    settings = service.settings
    github = _web_address(settings.github_api_url)
    flask.jinja_env.filters.update(
        visible=visible,
        ago=ago,
        moment=moment,
        link=lambda item: link(github, item),
        number=lambda value: f"{value:,}" if isinstance(value, int) else f"{value:.4g}",
    )
    flask.jinja_env.trim_blocks = flask.jinja_env.lstrip_blocks = True

    def page(status: int = 200, **more: Any) -> Response:
        model = service.model
        card = dict(model.card) if model else {}
        chart = ""
        if model is not None:
            chart = error_histogram(_mapping(card.get("error_histogram")), model.scorer.threshold)
        html = render_template(
            "dashboard.html",
            model=model,
            ready=service.ready,
            why=service.why_not_ready(),
            card=card,
            threshold=_mapping(card.get("threshold")),
            data=_mapping(card.get("data")),
            quality=quality_table(card.get("quality")),
            chart=Markup(chart),  # noqa: S704 - made of numbers by charts.py
            recent=results.recent(SHOWN),
            anomalous=results.anomalous(SHOWN),
            shared=results.shared,
            drift=_drift(drift),
            **more,
        )
        return _html(html, status, POLICY)

    @flask.get("/")
    def dashboard() -> Response:
        return page()

    @flask.post("/")
    def score_form() -> Response:
        text = request.form.get("pull_request", "")
        try:
            items, listed = bodies.pull_requests(
                text.encode("utf-8", "surrogatepass"), refuse_unknown=False, most=1
            )
            scored = service.score(items[:1], "form", listed=listed).scores
            if not scored:
                raise Problem(
                    HTTPStatus.UNPROCESSABLE_ENTITY, "wrong-value", "expected a pull request, found none"
                )
        except Problem as problem:
            return page(int(problem.status), text=text, problem=problem)
        return page(text=text, score=scored[0])

    @flask.get("/docs")
    def docs() -> Response:
        return _html(render_template("docs.html"), 200, DOCS_POLICY)

    @flask.get("/assets/<name>")
    def asset(name: str) -> Response:
        kinds = {"style.css": "text/css", "docs.js": "text/javascript", "icon.svg": "image/svg+xml"}
        if name not in kinds:
            raise Problem(HTTPStatus.NOT_FOUND, "", "no such file")
        with flask.open_resource(f"assets/{name}") as file:
            answer = Response(file.read(), content_type=kinds[name] + "; charset=utf-8")
        answer.headers.update({"X-Content-Type-Options": "nosniff", "Cache-Control": "max-age=300"})
        return answer


def _html(text: str, status: int, policy: str) -> Response:
    # A lone surrogate that came in by the form would not encode.
    answer = Response(text.encode("utf-8", "replace"), status=status, content_type="text/html; charset=utf-8")
    answer.headers.update(HEADERS)
    answer.headers["Content-Security-Policy"] = policy
    return answer


def visible(text: Any) -> str:
    """Text whose direction marks and control characters can be seen."""
    shown = _DIRECTION.sub(lambda mark: f"[U+{ord(mark.group()):04X}]", str(text))
    return "".join(c if c.isprintable() or c in "\n\t" else f"[U+{ord(c):04X}]" for c in shown)


def ago(moment: datetime) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def moment(text: Any) -> str:
    """A time of ISO 8601 as people write it, to the minute and in UTC; anything else as it is."""
    try:
        read = datetime.fromisoformat(str(text))
    except ValueError:
        return str(text)
    return f"{read.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if read.tzinfo else str(text)


def link(github: str, item: Mapping[str, Any]) -> str:
    """The pull request's page at GitHub; made of its checked name and number, never taken from a request."""
    name, number = str(item.get("repo_name")), item.get("number")
    return f"{github}/{name}/pull/{number}" if number is not None and _REPOSITORY(name) else ""


def quality_table(quality: Any) -> list[Mapping[str, Any]]:
    """The rows of the card's quality table that can be shown (ml_training: Assessment.card).

    kind, ours, low, high (bounds of the interval), baseline and best_baseline: the best of the others.
    """
    rows = _mapping(quality).get("kinds")
    if not isinstance(rows, list):
        return []
    return [
        row
        for row in rows
        if isinstance(row, Mapping)
        and isinstance(row.get("kind"), str)
        and all(isinstance(row.get(name), (int, float)) for name in ("ours", "low", "high"))
    ][:60]


def _drift(reports: DriftReports | None) -> Mapping[str, Any] | None:
    """The newest report with how the last retraining ended; None where there is none to be had."""
    try:
        report = reports.latest() if reports is not None else None
    except StoreFailed:
        return None
    if report is None or reports is None:
        return None
    return {**report, "retraining": reports.retraining()}


def _web_address(api: str) -> str:
    parts = urlsplit(api)
    if parts.hostname == "api.github.com":
        return "https://github.com"
    return f"{parts.scheme}://{parts.netloc}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
