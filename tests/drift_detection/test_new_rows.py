"""Whether there is anything to learn, against a real database."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pytest
from drift_detection.__main__ import main
from drift_detection.store import FolderStore
from made_up import RUN_ID, make_model, make_registry, publish_run, tag
from pymongo.collection import Collection
from stage_runtime.exits import ExitCode, ServiceUnreachable

from drift_detection import retrainings

LATEST = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def documents(mongo_uri: str) -> Iterator[Collection[dict[str, Any]]]:
    """Ten pull requests, the last of them changed at LATEST."""
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(mongo_uri) as client:
        client.drop_database("mlops_db")
        collection: Collection[dict[str, Any]] = client["mlops_db"]["pull_requests"]
        collection.insert_many(
            [{"_id": number, "updated_at": LATEST - timedelta(days=number)} for number in range(10)]
        )
        yield collection


class Asked:
    """The command with its answer."""

    def __init__(self, root: Path, registry: str, mongo_uri: str, decision: Path) -> None:
        self.flags = [f"--data-root={root}", f"--mlflow-tracking-uri={registry}", f"--mongo-uri={mongo_uri}"]
        self.decision = decision

    def __call__(self, *flags: str) -> str:
        code = main(["new-rows", *self.flags, f"--decision-file={self.decision}", *flags])
        assert code == ExitCode.DONE
        return self.decision.read_text()


@pytest.fixture
def asked(
    root: Path, registry: str, mongo_uri: str, tmp_path: Path, documents: Collection[dict[str, Any]]
) -> Asked:
    publish_run(root, documents=10, updated_at=LATEST.isoformat())
    return Asked(root, registry, mongo_uri, tmp_path / "go")


def test_nothing_is_new(asked: Asked) -> None:
    assert asked() == "no"


def test_a_new_a_changed_and_an_old_one_of_another_repository(
    asked: Asked, documents: Collection[dict[str, Any]]
) -> None:
    documents.insert_one({"_id": 100, "updated_at": LATEST - timedelta(days=400)})
    assert asked() == "yes"
    documents.delete_one({"_id": 100})
    assert asked() == "no"
    documents.update_one({"_id": 3}, {"$set": {"updated_at": LATEST + timedelta(seconds=1)}})
    assert asked() == "yes"
    assert asked("--min-new-rows=2") == "no"


def test_seen_again_unchanged_is_not_new(asked: Asked, documents: Collection[dict[str, Any]]) -> None:
    documents.update_many({}, {"$set": {"fetched_at": LATEST + timedelta(days=9)}})
    assert asked() == "no"


def test_a_no_is_noted_for_the_end(asked: Asked, root: Path) -> None:
    store = FolderStore(root)
    retrainings.claim(store, "w1", datetime.now(UTC), timedelta(hours=6), timedelta(0))
    assert asked("--workflow=w1") == "no"
    last = retrainings.newest(store)
    assert last is not None and last.outcome is None  # replicas are brought up to date first
    main(["report", f"--data-root={root}", "--workflow=w1", "--status=Succeeded"])
    last = retrainings.newest(store)
    assert last is not None and last.outcome == "no new rows"


def test_a_share_of_what_was_seen(asked: Asked, root: Path, documents: Collection[dict[str, Any]]) -> None:
    """What is new to a large corpus must be more than to a small one: a hundredth by default."""
    documents.insert_many([{"_id": 100 + number, "updated_at": LATEST} for number in range(250)])
    shutil.rmtree(root / "preprocess-runs")
    publish_run(root, documents=258, updated_at=LATEST.isoformat())
    assert asked() == "no"  # two are new, three it takes
    documents.insert_one({"_id": 1_000, "updated_at": LATEST})
    assert asked() == "yes"
    assert asked("--min-new-share=0.02") == "no"
    assert asked("--min-new-share=0", "--min-new-rows=4") == "no"


def test_a_run_that_nothing_was_trained_on_is_not_seen(asked: Asked, root: Path) -> None:
    """A training that was killed after its preprocessing: the newest run has seen all, the candidate has not."""
    publish_run(root, run_id="20261120T000000Z", documents=11, updated_at=LATEST.isoformat())
    assert asked() == "no"
    (root / "preprocess-runs" / RUN_ID / "manifest.json").unlink()
    assert asked() == "yes"


def test_a_candidate_that_was_not_judged(
    asked: Asked, registry: str, tmp_path: Path, model_folder: Path
) -> None:
    newer = make_model(tmp_path / "2")
    file = tmp_path / "mlflow.db"
    make_registry(file, {"1": model_folder, "2": newer}, candidate="2", champion="1")
    assert asked() == "yes"  # the gate was killed
    tag(file, "2", gate="passed")
    assert asked() == "yes"  # killed before the champion moved
    tag(file, "2", gate_promoted="true")
    assert asked() == "no"  # somebody went back to version 1 by hand
    make_registry(file, {"1": model_folder, "2": newer}, candidate="2", champion="1")
    tag(file, "2", gate="refused")
    assert asked() == "no"
    make_registry(file, {"1": model_folder, "2": newer}, candidate="2")  # the very first one was refused
    assert asked() == "no"
    make_registry(file, {})
    assert asked() == "yes"  # nothing was ever trained


def test_a_dead_database(root: Path, registry: str, tmp_path: Path) -> None:
    publish_run(root)
    dead = "mongodb://user:hidden@127.0.0.1:9/?serverSelectionTimeoutMS=300"
    with pytest.raises(ServiceUnreachable, match="MONGO_URI") as raised:
        Asked(root, registry, dead, tmp_path / "go")()
    assert "hidden" not in str(raised.value)
