"""The retraining loop with real stages: killed at every step, refused by the gate, with nothing new.

Each step is the process that its pod would run, with the command line of the manifest (local_setup.drift_loop).
"""

import json
import sqlite3
import threading
from collections.abc import Iterator
from subprocess import Popen

import pytest
import requests
from local_setup import drift_demo
from local_setup.drift_demo import Pull, World, pull_requests
from local_setup.drift_loop.template import Template
from local_setup.drift_loop.workflow import Outcome, Workflow
from local_setup.runner.workspace import Workspace

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
STEPS = ("cool-down", "fetch", "new-rows", "preprocess", "train", "gate", "reload", "verify")
WITHOUT_TRAINING = ["cool-down", "fetch", "new-rows", "reload", "verify"]
# A small network quickly trained, which an easy gate lets pass: this is about the loop.
EASY = {
    "MAX_EPOCHS": "4", "QUALITY_REPORT": "false", "GATE_BASELINES": "report", "GATE_MARGIN": "1",
    "GATE_FLAG_RATE_LOW": "0", "GATE_FLAG_RATE_HIGH": "1", "GATE_DISTINCT_SCORES": "2",
}  # fmt: skip
# How long a step may work before it is killed: in the middle of most of them.
WORKING_SECONDS = {"preprocess": 6.0, "train": 5.0, "gate": 4.0}


class Killed(Exception):
    """The whole workflow is gone, exit handler and all."""


class Loop:
    """The servers of the demo, a service, and workflows that can be killed."""

    def __init__(self, world: World, more: list[Pull]) -> None:
        self.world, self.more = world, more
        self.number = 0

    def workflow(self, kill: str = "", **settings: str) -> Workflow:
        def started(step: str, process: "Popen[bytes]") -> None:
            if step == kill:
                threading.Timer(WORKING_SECONDS.get(step, 0.4), process.kill).start()

        def ended(step: str, code: int) -> None:
            if step == kill:
                raise Killed(f"{step} ended with {code}")

        hosts = {"model-serving-replicas.mlops.svc.cluster.local:8080": f"127.0.0.1:{self.world.port}"}
        environ = {**self.world.environ, **EASY, **settings}
        folder = self.world.workspace.out / "workflows"
        return Workflow(Template.read(), environ, hosts, folder, started, ended)

    def run(self, kill: str = "", **settings: str) -> Outcome:
        self.number += 1
        return self.workflow(kill, **settings).run(f"w{self.number}", ignore_cool_down="true")

    def open_more(self, count: int) -> None:
        """GitHub has pull requests that nobody has fetched."""
        self.world.serve_pulls([self.more.pop() for _ in range(count)])

    def champion(self) -> str:
        database = self.world.workspace.mlflow / "mlflow.db"
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            query = "SELECT version FROM registered_model_aliases WHERE alias = 'champion'"
            ((version,),) = connection.execute(query).fetchall()
        connection.close()
        return str(version)

    def scores(self) -> bool:
        """Whether the service answers with a score."""
        answer = requests.post(f"{self.world.url}/predict", json=self.more[0], timeout=30)
        return answer.status_code == 200 and "reconstruction_error" in answer.json()

    def noted(self) -> dict[str, str]:
        file = self.world.workspace.data / "drift-runs" / "latest-retraining.json"
        content: dict[str, str] = json.loads(file.read_text("utf-8"))
        return content

    def log(self, step: str) -> str:
        return (self.world.workspace.out / "workflows" / f"w{self.number}" / f"{step}.log").read_text()


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    pulls = pull_requests(900, 2, seed=5)
    workspace = Workspace(tmp_path_factory.mktemp("drift-loop") / "out")
    with drift_demo.world(workspace, pulls[:500]) as world:
        made = Loop(world, pulls[500:])
        made.workflow().only("first", "fetch", "preprocess", "train", "gate")
        with drift_demo.service(world):
            yield made


def test_killed_at_every_step_the_champion_serves_and_the_next_run_works(loop: Loop) -> None:
    loop.open_more(20)
    before = loop.champion()
    for step in STEPS:
        with pytest.raises(Killed, match="-9"):
            loop.run(kill=step)
        assert loop.scores(), step
        if step == "verify":
            # There was nothing new, and the reload that was killed before has been made up for.
            assert loop.world.version() == loop.champion() != before
        elif step == "reload":
            # What the killed gate had not judged was judged now, although there was nothing new.
            assert loop.champion() != before == loop.world.version()
        else:
            assert (loop.champion(), loop.world.version()) == (before, before), step
    before = loop.champion()
    outcome = loop.run()
    assert (outcome.status, outcome.ran) == ("Succeeded", WITHOUT_TRAINING)
    assert loop.noted()["outcome"] == "no new rows"
    loop.open_more(20)
    outcome = loop.run()
    assert (outcome.status, outcome.ran) == ("Succeeded", list(STEPS))
    assert loop.world.version() == loop.champion() != before
    assert loop.noted()["outcome"] == "succeeded"


def test_a_refused_candidate_is_never_served_and_not_trained_again(loop: Loop) -> None:
    before = loop.champion()
    loop.open_more(20)
    outcome = loop.run(GATE_FLAG_RATE_LOW="1")
    assert outcome.codes["gate"] == 5 and outcome.ran[-1] == "gate"
    assert (loop.champion(), loop.world.version()) == (before, before)
    assert loop.noted()["outcome"] == "refused"
    outcome = loop.run()
    assert (outcome.status, outcome.ran) == ("Succeeded", WITHOUT_TRAINING)
    assert loop.noted()["outcome"] == "no new rows"
    assert loop.world.version() == before


def test_nothing_new_starts_no_training(loop: Loop) -> None:
    outcome = loop.run()
    assert outcome.ran == WITHOUT_TRAINING
    assert "preprocess" not in {
        path.stem for path in (loop.world.workspace.out / "workflows" / f"w{loop.number}").iterdir()
    }
