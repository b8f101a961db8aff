"""One Spark session and one embedded MongoDB for all tests of this folder."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pr_features.documents import from_rest
from pydantic import SecretStr
from pyspark.sql import SparkSession
from spark_preprocess.cli import make_run
from spark_preprocess.session import spark_session
from spark_preprocess.settings import Settings
from stage_runtime.signals import StopRequest

Document = Mapping[str, Any]
ROOT = Path(__file__).resolve().parents[2]
DATABASE = "mlops_db"


@pytest.fixture(scope="session")
def jars() -> str:
    """Spark's further Java libraries, which `make setup` has fetched."""
    return os.environ.get("SPARK_JARS", str(ROOT / "var" / "cache" / "jars" / "spark_preprocess"))


@pytest.fixture(scope="session")
def spark(jars: str) -> Iterator[SparkSession]:
    # Spark's own default is 200 tasks for each step, however little there is to do.
    settings = Settings(
        spark_jars=jars, spark_master="local[2]", spark_conf=("spark.sql.shuffle.partitions=2",)
    )
    with spark_session(settings) as session:
        yield session


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The embedded MongoDB as a process of its own: this environment holds none of its packages."""
    python = ROOT / ".venv" / "local" / "bin" / "python"
    command = [str(python), "-m", "local_setup.mongodb", "--port", "0"]
    command += ["--data", str(tmp_path_factory.mktemp("mongo"))]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = re.search(r"mongodb://\S+?:\d+", server.stdout.readline())
        assert found, "the embedded MongoDB did not start: is .venv/local set up?"
        yield found.group()
    finally:
        server.terminate()
        server.wait(30)
        assert server.stdout is not None
        server.stdout.close()


@pytest.fixture
def store(spark: SparkSession, mongo_uri: str) -> Iterator[Callable[..., str]]:
    """Put documents into a collection of their own; its name."""
    client = spark._jvm.com.mongodb.client.MongoClients.create(mongo_uri)  # type: ignore[union-attr]
    database = client.getDatabase(DATABASE)
    made: list[str] = []

    def put(documents: Sequence[Document], name: str = "") -> str:
        collection = database.getCollection(name or f"pulls_{uuid.uuid4().hex[:8]}")
        made.append(collection.getNamespace().getCollectionName())
        parse = spark._jvm.org.bson.Document.parse  # type: ignore[union-attr]
        for start in range(0, len(documents), 500):
            batch = spark._jvm.java.util.ArrayList()  # type: ignore[union-attr]
            for document in documents[start : start + 500]:
                batch.add(parse(json.dumps(document, default=extended)))
            collection.insertMany(batch)
        return made[-1]

    yield put
    for name in made:
        database.getCollection(name).drop()
    client.close()


@pytest.fixture
def settings(mongo_uri: str, jars: str, tmp_path: Path) -> Callable[..., Settings]:
    """Settings for a run into this test's own folder."""

    def make(collection: str = "none", **changes: Any) -> Settings:
        values: dict[str, Any] = {
            "mongo_uri": SecretStr(mongo_uri),
            "mongo_db": DATABASE,
            "mongo_collection": collection,
            "data_root": str(tmp_path / "data"),
            "preprocess_run_id": "run",
            "spark_jars": jars,
        }
        return Settings(**(values | changes))

    return make


@pytest.fixture
def run(spark: SparkSession) -> Callable[[Settings], dict[str, Any]]:
    """Make a run with the shared session; its manifest."""
    return lambda settings: make_run(spark, settings, settings.preprocess_run_id, StopRequest())


def extended(value: Any) -> Any:
    """A time as extended JSON."""
    assert isinstance(value, datetime)
    return {"$date": {"$numberLong": str(round(value.timestamp() * 1000))}}


@pytest.fixture(scope="session")
def documents() -> list[dict[str, Any]]:
    """900 pull requests of 2020 and 2021 in 17 repositories, one of which has half of all.

    Among them names in two spellings, authors without a name, openings in the same second, unusual text
    and missing values.
    """
    return made_documents(900)


def made_documents(count: int) -> list[dict[str, Any]]:
    random = Random(7)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    words = "fix parser update docs crash in the loader add tests für café テスト release".split()
    made: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        repo = "big/half" if number % 2 else f"small/repo{random.randrange(16)}"
        # Of a repository's names GitHub takes any case; a rename of case alone leaves both in a collection.
        repo = repo if number % 3 else repo.title()
        created = start + timedelta(seconds=random.randrange(700 * 86_400) // 3_600 * 3_600)
        merged = created + timedelta(hours=random.randrange(1, 2_000))
        author = random.choice([None, *range(1, 25)])
        made.append(
            {
                "_id": 10_000 + number,
                "pr_id": 10_000 + number,
                "repo_name": repo,
                "number": number,
                "title": " ".join(random.choices(words, k=random.randrange(0, 9))),
                "body": random.choice(
                    [None, "See #12", "* [ ] done\n" + " ".join(random.choices(words, k=40))]
                ),
                "state": "closed",
                "created_at": created,
                "updated_at": merged,
                "closed_at": merged,
                "merged_at": merged if random.random() < 0.6 else None,
                "additions": random.choice([None, int(random.lognormvariate(3, 2))]),
                "deletions": int(random.lognormvariate(2, 2)),
                "changed_files": random.randrange(0, 30),
                "commits_count": random.randrange(1, 9),
                "assignees_count": 0,
                "labels": random.choice([None, [], ["bug", "ui"]]),
                "author_association": None,
                "author_login": None if author is None else f"user{author}",
                "author_id": author,
                "author_type": None if author is None else random.choice(["User", "Bot"]),
                "head_ref": random.choice(["main", "patch-1", "fix-parser"]),
                "base_ref": "main",
                "is_draft": random.choice([None, True, False]),
                "is_cross_repository": random.choice([None, True, False]),
                "files": random.choice(
                    [None, [{"path": "src/a.py", "additions": 1, "deletions": None}, {"path": "README.md"}]]
                ),
                "fetched_at": datetime(2022, 1, 1, tzinfo=UTC),
                "source": "rest",
                "schema_version": 1,
            }
        )
    return made


@pytest.fixture(scope="session")
def odd_documents() -> Any:
    """The strategy of odd_documents.py."""
    path = Path(__file__).with_name("odd_documents.py")
    spec = importlib.util.spec_from_file_location("odd_documents", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.documents


@pytest.fixture(scope="session")
def real_documents(pr_data: Path) -> list[dict[str, Any]]:
    """The real pull requests, shaped as fetching does."""
    found = []
    for name in ("gharchive_2015", "bitcoin-core_secp256k1"):
        with gzip.open(pr_data / f"{name}_pulls.jsonl.gz", "rt", encoding="utf-8") as lines:
            found += [from_rest(json.loads(line), source="file") for line in lines]
    return found
