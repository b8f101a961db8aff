"""Who sends what: 14 of 20 requests are one pull request, 3 a list, 2 bad input, 1 a webhook.

Everything is marked X-Request-Purpose: load-test, so that it is scored and recorded nowhere.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import random
from dataclasses import dataclass, field
from typing import Any, ClassVar

from locust import FastHttpUser, constant, task

from perf.judgement import BAD, LIST, SINGLE, WEBHOOK

MARK = {"X-Request-Purpose": "load-test", "Content-Type": "application/json"}
BAD_BODIES = (
    "{", '{"title": 5}', "[]]", '{"base": {}}', '{"repo_name": "a/", "created_at": "yesterday"}',
    '{"title": "\\ud800"}', "[[[[[[[[", "null", "",
)  # fmt: skip


@dataclass
class Load:
    """What the users share: prepared bodies, and what came back."""

    singles: list[str]
    lists: list[str]
    secret: str = ""
    flagged: int = 0
    scored: int = 0
    deliveries: Any = field(default_factory=lambda: itertools.count(random.getrandbits(48)))

    @classmethod
    def of(cls, pulls: list[dict[str, Any]], list_size: int, secret: str) -> Load:
        """Bodies made beforehand, so that the load test's own work stays small."""
        singles = [json.dumps(pull) for pull in pulls]
        rows = itertools.cycle(pulls)
        lists = [json.dumps([next(rows) for _ in range(list_size)]) for _ in range(5)]
        return cls(singles, lists, secret)


class Caller(FastHttpUser):
    """One connection that sends as fast as it gets answers."""

    abstract = True
    load: ClassVar[Load]
    wait_time = constant(0)
    connection_timeout = 10.0
    network_timeout = 30.0

    @task(14)
    def single(self) -> None:
        """One pull request."""
        body = random.choice(self.load.singles)
        with self.client.post(
            "/predict", data=body, headers=MARK, name=SINGLE, catch_response=True
        ) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
                return
            score = answer.json()
            if not isinstance(score.get("reconstruction_error"), float):
                answer.failure("no score in the answer")
                return
            self.load.scored += 1
            self.load.flagged += bool(score["is_anomaly"])

    @task(3)
    def many(self) -> None:
        """A list."""
        body = random.choice(self.load.lists)
        with self.client.post("/predict", data=body, headers=MARK, name=LIST, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
            elif len({score["model_version"] for score in answer.json()["scores"]}) != 1:
                answer.failure("two model versions in one answer")

    @task(2)
    def bad(self) -> None:
        """What must be refused."""
        body = random.choice(BAD_BODIES)
        with self.client.post("/predict", data=body, headers=MARK, name=BAD, catch_response=True) as answer:
            if answer.status_code in {400, 422}:
                answer.success()
            else:
                answer.failure(f"status {answer.status_code}")

    @task(1)
    def webhook(self) -> None:
        """An event as GitHub sends it; without the secret it must be refused."""
        body = '{"action": "opened", "pull_request": ' + random.choice(self.load.singles) + "}"
        digest = hmac.new(self.load.secret.encode(), body.encode(), hashlib.sha256).hexdigest()
        headers = MARK | {
            "X-GitHub-Event": "pull_request",
            "X-GitHub-Delivery": f"load-test-{next(self.load.deliveries)}",
            "X-Hub-Signature-256": f"sha256={digest}",
        }
        expected = {200} if self.load.secret else {401, 403}
        with self.client.post(
            "/webhooks/github", data=body, headers=headers, name=WEBHOOK, catch_response=True
        ) as answer:
            if answer.status_code in expected:
                answer.success()
            else:
                answer.failure(f"status {answer.status_code}")
