"""`make demo-drift`: the drift loop from the first pull request to the new model, on this machine.

A model has learned two repositories. A service with it scores pull requests of theirs that it has not seen: no alarm.
Then another team's repositories are scored as well, with other habits: alarm. The stand-in serves these too, so the
workflow's fetch brings them into training. One retraining, whatever the number of alarms; the gate decides; the service
changes over; the same mixture is scored again: no alarm.

Every step is the command of argo-apps/drift/workflow-template.yaml; the drift job is the one of the CronJob.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import requests
from rich.console import Console

from local_setup.corpus import CorpusSettings, generate
from local_setup.drift_loop.template import Template
from local_setup.drift_loop.webhook import Webhook, listening
from local_setup.drift_loop.workflow import Outcome, Workflow
from local_setup.errors import LocalSetupError
from local_setup.github_standin import DEFAULT_TOKEN, Corpus, GitHubStandIn, serve
from local_setup.mongodb import embedded_mongodb
from local_setup.runner import processes
from local_setup.runner.scoring import LIST_LENGTH, Service
from local_setup.runner.sources import UNLIMITED
from local_setup.runner.steps import free_port
from local_setup.runner.workspace import Workspace, write_json

CONSOLE = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
# Of the first repositories so many are kept back: pull requests as a service meets them.
HELD_BACK = 0.3
# The oldest so many, as preprocessing puts them into split train.
TRAINED_ON = 0.8
WINDOW_ROWS = 500
# A thousand generated pull requests have so little structure that PCA is level on the worst kind (0.781 against 0.799,
# and chance explains 0.021): the gate says so, and does not decide by it whether the story goes on.
GATE_BASELINES = "report"
MARK = ".drift-demo"
INTERRUPTED = 130
Pull = dict[str, Any]


class Unexpected(LocalSetupError):
    """The loop did not do what it is there to show."""


@dataclass
class Story:
    """What is shown, and told to whoever asks by file: OUT/drift-demo.json."""

    console: Console
    steps: list[dict[str, Any]] = field(default_factory=list)

    def tell(self, what: str, expected: Any, found: Any, **more: Any) -> None:
        """Note a result; raises Unexpected where it is another than the expected one."""
        self.steps.append({"what": what, "expected": expected, "found": found, **more})
        good = expected is None or found == expected
        shown = "".join(f"; {name.replace('_', ' ')}: {value}" for name, value in more.items())
        self.console.print(
            f"{'  ' if good else '✗ '}{what}: {found}{shown}", style=None if good else "bold red"
        )
        if not good:
            raise Unexpected(f"{what}: expected {expected}, found {found}")

    def heading(self, text: str) -> None:
        self.console.print(f"\n== {text}", style="bold")


@dataclass(frozen=True)
class World:
    """The servers around the loop. environ: settings of every stage."""

    workspace: Workspace
    corpus: Corpus
    webhook: Webhook
    environ: Mapping[str, str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve_pulls(self, pulls: Sequence[Pull]) -> None:
        """The stand-in has these too from now on, and they are to be fetched."""
        self.corpus.add_all(pulls)
        names = [repository.full_name for repository in self.corpus.repositories()]
        (self.workspace.out / "repositories.txt").write_text("\n".join(names) + "\n", "utf-8")

    def workflow(self, story: Story) -> Workflow:
        """The retraining, told step by step."""

        def ended(step: str, code: int) -> None:
            story.console.print(f"    {step}: exit code {code}")

        hosts = {"model-serving-replicas.mlops.svc.cluster.local:8080": f"127.0.0.1:{self.port}"}
        folder = self.workspace.out / "workflows"
        return Workflow(Template.read(), self.environ, hosts, folder, ended=ended)

    def detect(self) -> dict[str, Any]:
        """The drift job once; its report."""
        with (self.workspace.out / "detect.log").open("ab") as log:
            with processes.running("drift_detection", ["detect"], self.environ, log) as process:
                code = process.wait()
        if code:
            raise processes.StageFailed("drift_detection detect", code)
        report: dict[str, Any] = json.loads(
            (self.workspace.data / "drift-runs" / "latest.json").read_text("utf-8")
        )
        return report

    def score(self, pulls: Sequence[Pull]) -> None:
        """Send them as any caller would, and wait until they are recorded."""
        service = Service(self.url)
        before = self._recorded()
        for start in range(0, len(pulls), LIST_LENGTH):
            answer = service.predict(list(pulls[start : start + LIST_LENGTH]))
            if answer.status_code != 200:
                raise Unexpected(f"/predict answered {answer.status_code}: {answer.text[:300]}")
        end = time.monotonic() + 30
        while self._recorded() < before + len(pulls):
            if time.monotonic() > end:
                raise Unexpected("the service recorded less than it scored; see service.log")
            time.sleep(0.2)

    def _recorded(self) -> int:
        """Rows that the service has written, by its own count."""
        text = requests.get(f"{self.url}/metrics", timeout=20).text
        line = next(
            (
                one
                for one in text.splitlines()
                if one.startswith('model_serving_traffic_rows_total{result="written"')
            ),
            "0",
        )
        return int(float(line.rpartition(" ")[2]))

    def version(self) -> str:
        """The version that every worker of the service has."""
        model = Service(self.url).model()
        return "/".join(sorted({str(worker["version"]) for worker in model["workers"]}))


def pull_requests(count: int, repositories: int, seed: int) -> list[Pull]:
    """A generated corpus without planted anomalies, in the order of time; without files, which nobody asks for here."""
    settings = CorpusSettings(
        pulls=count, repositories=repositories, seed=seed, anomaly_share=0.0, files=False
    )
    return [dict(pull) for pull, _ in generate(settings)]


@contextmanager
def world(workspace: Workspace, pulls: Sequence[Pull]) -> Iterator[World]:
    """Stand-in with these pull requests, database and webhook; no service yet."""
    workspace.prepare()
    token = secrets.token_urlsafe(24)
    environ = {"GATE_BASELINES": GATE_BASELINES, **workspace.environ(), "MODEL_ALIAS": "champion"}
    environ.pop("PREPROCESS_RUN_ID", None)
    secret = workspace.out / "secrets" / "drift_webhook_token"
    secret.touch(mode=0o600)
    secret.write_text(token)
    corpus = Corpus()
    with (
        workspace.locked(),
        embedded_mongodb(workspace.mongo) as mongo,
        serve(GitHubStandIn(corpus, limits=UNLIMITED)) as github,
        listening(token) as webhook,
    ):
        settings = {
            "MONGO_URI": mongo,
            "GITHUB_API_URL": github,
            "GITHUB_TOKEN": DEFAULT_TOKEN,
            "GITHUB_REPOS": f"@{workspace.out / 'repositories.txt'}",
            "DRIFT_WEBHOOK_URL": webhook.url,
            "WINDOW_ROWS": str(WINDOW_ROWS),
        }
        made = World(workspace, corpus, webhook, {**environ, **settings}, free_port())
        made.serve_pulls(pulls)
        yield made


@contextmanager
def service(made: World) -> Iterator[None]:
    """model_serving with two workers and the champion. It changes over when it is asked to, not by itself."""
    settings = {
        "PORT": str(made.port), "WORKERS": "2", "RELOAD_POLL_SECONDS": "0", "TRAFFIC_FLUSH_SECONDS": "1",
        "DRAIN_WAIT_SECONDS": "0", "MONGO_URI": "",
    }  # fmt: skip
    with (made.workspace.out / "service.log").open("ab") as log:
        with processes.running("model_serving", [], {**made.environ, **settings}, log) as process:
            Service(made.url).wait_until_ready(lambda: process.poll() is None)
            yield


def run(workspace: Workspace, story: Story, pulls: int, seed: int) -> None:
    """The whole story; raises Unexpected where it goes another way."""
    old, new = pull_requests(pulls, 2, seed), pull_requests(pulls, 3, seed + 1)
    rng = random.Random(seed)
    # Of the time that is trained on: the newest fifth of a repository is kept for the quality report, and what is newer
    # than everything learned differs for that reason alone (accounts get older, people come and go).
    held_back = rng.sample(old[: int(TRAINED_ON * pulls)], int(HELD_BACK * pulls))
    numbers = {pull["id"] for pull in held_back}
    first = [pull for pull in old if pull["id"] not in numbers]
    newcomers = rng.sample(new[: int(TRAINED_ON * pulls)], WINDOW_ROWS // 2)
    mixture = held_back[: WINDOW_ROWS // 2] + newcomers
    with world(workspace, first) as made:
        story.heading(f"the first model learns {len(first)} pull requests of 2 repositories")
        made.workflow(story).only("first", "fetch", "preprocess", "train", "gate")
        with service(made):
            before = made.version()
            story.heading(
                f"{len(held_back[:WINDOW_ROWS])} other pull requests of the same repositories are scored"
            )
            made.score(held_back[:WINDOW_ROWS])
            _judge(made, story, alarm=False)
            story.heading(f"another team's: {len(mixture)} pull requests, half of them of 3 new repositories")
            made.score(mixture)
            report = _judge(made, story, alarm=True)
            story.tell("webhook", "called", report["webhook"], score=report["drift_score"])
            story.heading("the alarm: GitHub has their pull requests too, and the workflow runs")
            made.serve_pulls([*held_back, *new])
            _retrain(made, story)
            after = made.version()
            story.tell("served before", None, before)
            story.tell("served now", _champion(made), after)
            story.tell("a new version", True, before != after)
            story.heading("the same mixture is scored by the new version")
            made.score(mixture)
            _judge(made, story, alarm=False)


def _retrain(made: World, story: Story) -> Outcome:
    """The alarm's workflow, and nine more alarms that must start nothing."""
    made.webhook.alarms.get(timeout=10)
    outcome = made.workflow(story).run(_name(1))
    story.tell("workflow", "Succeeded", outcome.status)
    passed = outcome.codes.get("gate") == 0
    story.tell("gate", "promoted the candidate", "promoted the candidate" if passed else "refused or failed")
    report = made.detect()
    why = "the new version has scored nothing yet"
    story.tell("the drift job meanwhile", "too few rows", report["state"], why=why)
    token = (made.workspace.out / "secrets" / "drift_webhook_token").read_text("utf-8")
    headers = {"Authorization": f"Bearer {token}"}
    for _ in range(9):
        requests.post(
            made.webhook.url, json={"drift_score": 1.0}, headers=headers, timeout=10
        ).raise_for_status()
    answers = []
    for number in range(9):
        made.webhook.alarms.get(timeout=10)
        answers.append(made.workflow(Story(Console(quiet=True))).run(_name(number + 2)).answers["cool-down"])
    story.tell("nine more alarms within the cool-down", ["no"], sorted(set(answers)))
    return outcome


def _name(number: int) -> str:
    return f"drift-retrain-{datetime.now(UTC):%Y%m%d%H%M%S}-{number:02}"


def _judge(made: World, story: Story, *, alarm: bool) -> dict[str, Any]:
    report = made.detect()
    groups = [group["name"] for group in report["groups"] if group["drifted"]]
    story.tell(
        "drift job", "drift" if alarm else "no drift", report["state"],
        drift_score=report["drift_score"], rows=report["window"]["rows"],
        drifted_groups=", ".join(groups) or "none", version=report["model"]["version"],
    )  # fmt: skip
    return report


def _champion(made: World) -> str:
    """What the gate's last words were about: the champion by the drift job's own report."""
    return str(made.detect()["model"]["version"])


def _prepared(out: Path) -> Workspace:
    """A fresh folder; what an earlier demo left goes, anything else stays and is refused."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARK).exists():
            raise Unexpected(f"{out} holds something else: choose another OUT for the demo")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()
    return Workspace(out)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m local_setup.drift_demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, default=Path("var/demo-drift"), help="folder of the demo, made anew"
    )
    parser.add_argument("--pulls", type=int, default=1700, help="generated pull requests of each team")
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    story = Story(CONSOLE)
    try:
        workspace = _prepared(options.out.resolve())
        try:
            run(workspace, story, options.pulls, options.seed)
        finally:
            write_json(workspace.out / "drift-demo.json", story.steps)
    except LocalSetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return INTERRUPTED
    shown = os.path.relpath(options.out)
    CONSOLE.print(f"\nlogs: {shown}/workflows, {shown}/service.log   reports: {shown}/data/drift-runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
