"""The steps of a run, each with the settings that it needs and the servers that must be up around it."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from local_setup.mongodb import embedded_mongodb
from local_setup.runner import processes
from local_setup.runner.scoring import Scores, Service, documents, score_all
from local_setup.runner.sources import Source
from local_setup.runner.workspace import Workspace

GATE_REFUSED = 5


@dataclass
class Run:
    """One run over a workspace.

    environ: what every stage gets; seconds: what each took; unusable: lines of CORPUS that are no pull request.
    """

    workspace: Workspace
    environ: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)
    unusable: int = 0

    @property
    def run_id(self) -> str:
        return self.environ["PREPROCESS_RUN_ID"]

    @property
    def scores_of_training(self) -> Path:
        return self.workspace.out / "training_scores.jsonl"

    def stage(self, step: str, stage: str, *arguments: str, **settings: str) -> None:
        """Run a stage to its end and keep its time under the name of the step."""
        self.seconds[step] = processes.run(stage, arguments, {**self.environ, **settings})

    def fetch(self, source: Source) -> None:
        with source.opened(self.workspace) as opened:
            self.unusable = opened.unusable
            self.stage("fetch", "data_fetch", **opened.settings)
        if opened.aside:  # nothing is dropped without a word: each gets its reason in `rejected`
            files = ",".join(map(str, opened.aside))
            processes.run("data_fetch", ["--from-file", files, "--max-rejected-share", "1"], self.environ)

    def preprocess(self) -> None:
        self.stage("preprocess", "spark_preprocess")

    def train(self) -> None:
        settings = {"SCORES_FILE": str(self.scores_of_training), "REPORT_DIR": str(self.workspace.out)}
        self.stage("train", "ml_training", "train", **settings)

    def report_quality(self) -> None:
        """The quality report of the candidate once more; training made it too."""
        self.stage("evaluate", "ml_training", "evaluate", REPORT_DIR=str(self.workspace.out))

    def gate(self) -> bool:
        """Whether the candidate passed and is champion now. A refusal is a result, not a failure."""
        try:
            self.stage("gate", "ml_training", "gate")
        except processes.StageFailed as refused:
            if refused.exit_code != GATE_REFUSED:
                raise
            return False
        return True

    def score(self) -> tuple[dict[str, Any], Scores]:
        """Serve the candidate on a free port for as long as it takes to score everything."""
        started = time.monotonic()
        port = free_port()
        settings = {
            **self.environ,
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "MODEL_ALIAS": "candidate",
            # Documents have the form that AUTHOR_PRIVACY gave them when they were fetched.
            "AUTHOR_PRIVACY": "hashed" if self.environ.get("AUTHOR_PRIVACY") == "hash" else "keep",
            # Nobody else sends requests, and what training saw already is no traffic.
            "DRAIN_WAIT_SECONDS": "0",
            "TRAFFIC_SAMPLE": "0",
        }
        with processes.running("model_serving", [], settings) as process:
            service = Service(f"http://127.0.0.1:{port}")
            service.wait_until_ready(lambda: process.poll() is None)
            pulls = documents(*self.mongo)
            scores = score_all(service, pulls, self.workspace.scores, self._expected())
            self.seconds["score"] = time.monotonic() - started
            return service.model(), scores

    @property
    def mongo(self) -> tuple[str, str, str]:
        return (
            self.environ["MONGO_URI"],
            self.environ.get("MONGO_DB", "mlops_db"),
            self.environ.get("MONGO_COLLECTION", "pull_requests"),
        )

    def rejected_before(self) -> int:
        """What never became a document: unusable lines, and what fetching could not shape."""
        uri, database, _ = self.mongo
        client: MongoClient[dict[str, Any]]
        with MongoClient(uri) as client:
            # Lines of earlier runs stay in `rejected` when the file was mended: this run's are counted.
            fetched = client[database]["rejected"].count_documents({"source": {"$ne": "file"}})
            return self.unusable + int(fetched)

    def titles(self, wanted: list[dict[str, Any]]) -> dict[tuple[str, int], str]:
        """Titles of a few scored pull requests."""
        uri, database, collection = self.mongo
        found = {}
        client: MongoClient[dict[str, Any]]
        with MongoClient(uri) as client:
            for score in wanted:
                key = {"repo_name": score["repo_name"], "number": score["number"]}
                document: dict[str, Any] | None = client[database][collection].find_one(key, {"title": 1})
                found[score["repo_name"], score["number"]] = (document or {}).get("title") or ""
        return found

    def _expected(self) -> dict[tuple[str, int], float]:
        if not self.scores_of_training.exists():
            return {}
        with self.scores_of_training.open(encoding="utf-8") as lines:
            rows = map(json.loads, lines)
            return {(row["repo_name"], row["number"]): row["reconstruction_error"] for row in rows}


@contextmanager
def open_run(workspace: Workspace) -> Iterator[Run]:
    """Lock the workspace and bring up its database, unless MONGO_URI names a real one."""
    with workspace.locked():
        environ = {
            "PREPROCESS_RUN_ID": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
            **workspace.environ(),
        }
        if os.environ.get("MONGO_URI"):
            yield Run(workspace, environ)
        else:
            with embedded_mongodb(workspace.mongo) as uri:
                yield Run(workspace, {**environ, "MONGO_URI": uri})


def free_port() -> int:
    """A port that nothing listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
