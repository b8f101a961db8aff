"""The durable state of retrainings: who may start one, and how each ended.

    drift-runs/retrainings/000001.json               claimed: {"number", "by", "claimed_at"}
    drift-runs/retrainings/000001.nothing-new.json   there was too little to learn: {"why"}
    drift-runs/retrainings/000001.end.json           ended: the claim and {"ended_at", "outcome", "why", "failures"}
    drift-runs/latest-retraining.json                the newest that ended, as its end
    drift-runs/started-retraining.json               the newest that was claimed, as its claim

A claim is an object that only one caller can make, so of several that ask at once one gets it, on a folder and on S3.
A claim without an end is a retraining that runs, or one that was killed: then the next may start after the cool-down,
and an alert counts from the claim.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from drift_detection.runs import RUNS
from drift_detection.store import Store

FOLDER = f"{RUNS}/retrainings"
LATEST = f"{RUNS}/latest-retraining.json"
STARTED = f"{RUNS}/started-retraining.json"
Outcome = Literal["succeeded", "refused", "failed", "no new rows"]
# These made no candidate that was judged: another try need not wait for the whole cool-down. But what fails again and
# again, a bug or too little memory, is not mended by trying: the pause doubles up to the cool-down.
SHORT: frozenset[str] = frozenset({"failed", "no new rows"})
MOST_DOUBLINGS = 10


@dataclass(frozen=True)
class Retraining:
    """A claim and, once it ended, its outcome; failures: how many in a row up to this one, itself included."""

    number: int
    by: str
    claimed_at: datetime
    ended_at: datetime | None = None
    outcome: str | None = None
    failures: int = 0

    def blocks_until(self, cool_down: timedelta, retry: timedelta) -> datetime:
        """From when on the next one may start."""
        if self.outcome in SHORT and self.ended_at is not None:
            pause = retry * (1 << min(max(self.failures - 1, 0), MOST_DOUBLINGS))
            return min(self.ended_at + pause, self.claimed_at + cool_down)
        return self.claimed_at + cool_down


@dataclass(frozen=True)
class Answer:
    """go: the caller may retrain; else the next one may start at ``until``."""

    go: bool
    number: int | None
    until: datetime | None
    why: str


def newest(store: Store) -> Retraining | None:
    """The last claimed retraining."""
    numbers = [
        int(name.removesuffix(".json"))
        for entry in store.entries(FOLDER)
        if (name := entry.path.rpartition("/")[2]).removesuffix(".json").isdigit()
    ]
    return _read(store, max(numbers)) if numbers else None


def claim(store: Store, by: str, now: datetime, cool_down: timedelta, retry: timedelta) -> Answer:
    """Ask for a retraining. ``by`` asking again (a step tried twice) gets the answer of the first time."""
    last = newest(store)
    if last is not None:
        if by and last.by == by:
            running = last.ended_at is None
            if running:
                _show_started(store, last.number)
            return Answer(running, last.number, None, "asked before" if running else f"ended: {last.outcome}")
        until = last.blocks_until(cool_down, retry)
        if now < until:
            return Answer(
                False, None, until, f"retraining {last.number} started at {_shown(last.claimed_at)}"
            )
    number = last.number + 1 if last is not None else 1
    content = {"number": number, "by": by, "claimed_at": now.isoformat()}
    # A write whose answer got lost is tried again below us, and then finds what it wrote itself.
    if store.create(_claim_path(number), _json(content)) or (by and _read(store, number).by == by):
        _show_started(store, number)
        return Answer(True, number, None, "claimed")
    return Answer(False, None, now + cool_down, f"retraining {number} was claimed by another at this moment")


def _show_started(store: Store, number: int) -> None:
    claimed = store.read(_claim_path(number))
    if claimed is not None:
        store.write(STARTED, claimed)


def nothing_new(store: Store, by: str, why: str) -> None:
    """Note that ``by``'s retraining trains nothing. It goes on, as replicas may lag, and ends as "no new rows"."""
    last = newest(store)
    if last is not None and last.by == by:
        store.create(_nothing_new_path(last.number), _json({"why": why}))


def end(store: Store, by: str, now: datetime, outcome: Outcome, why: str) -> Retraining | None:
    """Note how ``by``'s retraining ended; None where the last one is not its. The first ending stays."""
    last = newest(store)
    if last is None or last.by != by:
        return None
    if outcome == "succeeded" and (noted := _object(store, _nothing_new_path(last.number))) is not None:
        outcome, why = "no new rows", str(noted["why"])
    content = {
        "number": last.number,
        "by": by,
        "claimed_at": last.claimed_at.isoformat(),
        "ended_at": now.isoformat(),
        "outcome": outcome,
        "why": why,
        "failures": _read(store, last.number - 1).failures + 1 if outcome == "failed" else 0,
    }
    store.create(_end_path(last.number), _json(content))
    ended = store.read(_end_path(last.number))
    if ended is not None:
        store.write(LATEST, ended)
    return _read(store, last.number)


def _read(store: Store, number: int) -> Retraining:
    claimed, ended = _object(store, _claim_path(number)), _object(store, _end_path(number))
    if claimed is None:
        # It can be seen and cannot be read: taken for one that started just now, which is the careful reading.
        return Retraining(number, "", datetime.now(UTC))
    return Retraining(
        number=number,
        by=str(claimed["by"]),
        claimed_at=datetime.fromisoformat(claimed["claimed_at"]),
        ended_at=datetime.fromisoformat(ended["ended_at"]) if ended else None,
        outcome=str(ended["outcome"]) if ended else None,
        failures=int(ended.get("failures", 0)) if ended else 0,
    )


def _object(store: Store, path: str) -> dict[str, Any] | None:
    content = store.read(path)
    try:
        found = json.loads(content) if content else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _claim_path(number: int) -> str:
    return f"{FOLDER}/{number:06}.json"


def _nothing_new_path(number: int) -> str:
    return f"{FOLDER}/{number:06}.nothing-new.json"


def _end_path(number: int) -> str:
    return f"{FOLDER}/{number:06}.end.json"


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode()


def _shown(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
