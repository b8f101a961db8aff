"""The service's own metrics over a while: share of 5xx, latency, and whether it is ready.

A Service has several replicas behind it, and each look may reach another; so counts are compared only with earlier
ones of the same replica.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

import requests
from stage_runtime.exits import GateRefused, ServiceUnreachable
from stage_runtime.logs import get_logger

from perf.settings import WatchSettings

_LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
INSTANCE = "model_serving_instance_info"
Key = tuple[str, tuple[tuple[str, str], ...]]


def parse(text: str) -> dict[Key, float]:
    """Prometheus' text format: (name, labels) -> value."""
    found: dict[Key, float] = {}
    for line in text.splitlines():
        if match := _LINE.match(line):
            found[match[1], tuple(sorted(_LABEL.findall(match[2] or "")))] = float(match[3])
    return found


@dataclass
class Watch:
    """What was seen."""

    looks: int = 0
    missed: int = 0
    first: dict[str, dict[Key, float]] = field(default_factory=dict)
    last: dict[str, dict[Key, float]] = field(default_factory=dict)

    def see(self, sample: dict[Key, float]) -> None:
        """Take one look at one replica."""
        instance = next((dict(labels)["instance"] for name, labels in sample if name == INSTANCE), "")
        self.first.setdefault(instance, sample)
        self.last[instance] = sample

    def grown(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """How much each series of this name has grown, over all replicas."""
        grown: dict[tuple[tuple[str, str], ...], float] = {}
        for instance, sample in self.last.items():
            first = self.first[instance]
            for (series, labels), value in sample.items():
                if series == name:
                    grown[labels] = grown.get(labels, 0.0) + max(
                        0.0, value - first.get((series, labels), 0.0)
                    )
        return grown

    def failures(self) -> tuple[float, float]:
        """(5xx answers, all answers)."""
        grown = self.grown("model_serving_requests_total")
        bad = sum(count for labels, count in grown.items() if dict(labels)["status"].startswith("5"))
        return bad, sum(grown.values())

    def p95_ms(self) -> float | None:
        """Upper bound of the bucket that holds the 95th percentile of /predict; None without requests."""
        buckets = sorted(
            (float(dict(labels)["le"]), count)
            for labels, count in self.grown("model_serving_request_seconds_bucket").items()
            if dict(labels)["route"] == "/predict"
        )
        total = buckets[-1][1] if buckets else 0.0
        return (
            next((bound * 1000 for bound, count in buckets if count >= 0.95 * total), None) if total else None
        )


def watch(settings: WatchSettings) -> Watch:
    """Look every settings.every_seconds; raises GateRefused at the end for what is out of bounds."""
    seen = Watch()
    end = time.monotonic() + settings.seconds
    while True:
        seen.looks += 1
        try:
            ready = requests.get(settings.host.rstrip("/") + "/ready", timeout=5)
            text = requests.get(settings.host.rstrip("/") + "/metrics", timeout=5)
            text.raise_for_status()
            seen.see(parse(text.text))
            seen.missed += ready.status_code != 200
        except requests.RequestException:
            seen.missed += 1
        left = end - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(settings.every_seconds, left))
    if seen.missed == seen.looks:
        raise ServiceUnreachable(f"{settings.host} was never ready in {settings.seconds:g} s.")
    _judge(seen, settings)
    return seen


def _judge(seen: Watch, settings: WatchSettings) -> None:
    found = []
    bad, answers = seen.failures()
    if bad > max(1.0, settings.most_failures * answers):
        found.append(
            f"{bad:.0f} of {answers:.0f} answers were 5xx, expected at most {settings.most_failures:.2%}"
        )
    p95 = seen.p95_ms()
    if p95 is not None and p95 > settings.most_p95_ms:
        found.append(f"95th percentile of /predict {p95:.0f} ms, expected at most {settings.most_p95_ms:g}")
    if seen.missed > settings.most_missed * seen.looks:
        found.append(f"{seen.missed} of {seen.looks} looks failed or found it unready")
    get_logger().info(
        "watched", replicas=len(seen.last), looks=seen.looks, missed=seen.missed, answers=answers, p95_ms=p95
    )
    if found:
        raise GateRefused("Watch refused: " + "; ".join(found) + ".")
