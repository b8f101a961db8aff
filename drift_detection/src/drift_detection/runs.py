"""A drift run in the data root: ``drift-runs/{id}/report.json`` and ``report.html``; ``latest.json`` is the newest."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from drift_detection.store import Store

RUNS = "drift-runs"
LATEST = f"{RUNS}/latest.json"
AT_ONCE = 20


def new_run_id(now: datetime) -> str:
    """Sorts by time, to the millisecond; two of the same one differ."""
    moment = now.astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03}Z-{uuid.uuid4().hex[:6]}"


def publish(
    store: Store, run_id: str, report: Mapping[str, Any], page: bytes | None, *, newest: bool = True
) -> None:
    """Write the page, then the report, then name it the newest: a reader never finds half a run.

    A run that began later is not replaced: one by hand, or one that hung, may end after it. ``newest`` False: never
    named so, because the run is not about the traffic that is served.
    """
    content = json.dumps(report, indent=1, allow_nan=False).encode()
    if page is not None:
        store.write(f"{RUNS}/{run_id}/report.html", page)
    store.write(f"{RUNS}/{run_id}/report.json", content)
    before = latest(store) if newest else None
    if newest and (before is None or str(before.get("run_id", "")) <= run_id):
        store.write(LATEST, content)


def latest(store: Store) -> dict[str, Any] | None:
    """The newest report; None where there is none that can be read."""
    content = store.read(LATEST)
    if content is None:
        return None
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def same_page(store: Store, report: Mapping[str, Any]) -> bytes | None:
    """The newest report's page where it is about the same rows and the same verdict: drawing takes ten seconds."""
    before = latest(store)
    same = ("model", "threshold", "drift_score", "window")
    if before is None or not before.get("page") or any(before.get(name) != report[name] for name in same):
        return None
    return store.read(f"{RUNS}/{before['run_id']}/report.html")


def forget_pages(store: Store, kept: int) -> int:
    """Delete pages but for the newest; they are megabytes, the reports stay. Returns how many went.

    Only the AT_ONCE runs behind those are looked at: what is older went before.
    """
    runs = [name for name in store.folders(RUNS) if name[:8].isdigit()]
    pages = [
        entry.path
        for name in sorted(runs, reverse=True)[kept : kept + AT_ONCE]
        for entry in store.entries(f"{RUNS}/{name}")
        if entry.path.endswith("/report.html")
    ]
    for page in pages:
        store.delete(page)
    return len(pages)
