"""One run's folder: what is written into it, and the manifest, last, that makes it a run.

    preprocess-runs/RUN_ID/
        features/part-*.parquet             feature rows, in order over files taken by name
        history/authors/part-*.parquet      history/repositories/part-*.parquet
        rejected/part-*.jsonl.gz            unusable documents, each with its reason; none where none
        evaluation/documents.jsonl.gz       raw documents of split later
        preprocessor.json
        manifest.json

A folder without manifest is no run: it is what a killed job left, and whoever takes the same name next
clears it away.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from stage_runtime.exits import StageError, WrongSettings

from .storage import Storage

RUNS = "preprocess-runs"
MANIFEST = "manifest.json"
MANIFEST_VERSION = 1
SUCCESS = "_SUCCESS"
_PROBE = "writable"


class NotPublished(StageError):
    """The run's files are not what they should be; there is no manifest, so no run either."""


class RunFolder:
    """The folder of one run while it is made."""

    def __init__(self, spark: SparkSession, root: str, run_id: str) -> None:
        self._spark = spark
        self.storage = Storage(spark, f"{root}/{RUNS}/{run_id}")
        self.run_id = run_id

    def manifest(self) -> dict[str, Any] | None:
        """The manifest of a run that has been published under this name, else None."""
        if not self.storage.exists(MANIFEST):
            return None
        found: dict[str, Any] = json.loads(self.storage.read(MANIFEST))
        return found

    def prepare(self) -> None:
        """An empty folder that can be written to; found out before the long work and not after it.

        Raises WrongSettings for a folder that cannot be written to.
        """
        try:
            self.clear()
            self.storage.write(_PROBE, b"")
            self.storage.delete(_PROBE)
        except (Py4JJavaError, OSError) as error:
            if self.storage.on_object_store:
                raise
            raise WrongSettings(
                f"DATA_ROOT: expected a folder that can be written to, found {self.storage.uri}, where nothing "
                f"could be made ({_said(error)})"
            ) from None

    def clear(self) -> None:
        """Take everything away, as after a run that did not reach its manifest."""
        self.storage.delete("")

    def write_parquet(self, rows: DataFrame, path: str) -> None:
        rows.write.mode("overwrite").parquet(self.storage.at(path))
        self._committed(path)
        self._name_plainly(path, ".parquet")

    def write_lines(self, lines: DataFrame, path: str) -> None:
        """One column of text to gzipped files of lines."""
        lines.write.mode("overwrite").option("compression", "gzip").text(self.storage.at(path))
        self._committed(path)
        self._name_plainly(path, ".jsonl.gz")

    def write_one_file(self, lines: DataFrame, path: str) -> None:
        """One column of text to a single gzipped file of this very name; for a few thousand lines."""
        parts = path + ".parts"
        self.write_lines(lines.coalesce(1), parts)
        (part,) = self.storage.files(parts)
        self.storage.rename(part, path)
        self.storage.delete(parts)

    def files(self) -> list[dict[str, Any]]:
        """path, bytes and sha256 of every file, computed where the executors are."""
        names = [name for name in self.storage.files("") if name != MANIFEST]
        if not names:
            return []
        paths = [self.storage.at(name) for name in names]
        contents = self._spark.read.format("binaryFile").load(paths)
        hashed = contents.select("path", "length", f.sha2("content", 256).alias("sha256")).collect()
        by_end = {row["path"]: row for row in hashed}
        found = []
        for name in names:
            row = next((by_end[path] for path in by_end if path.endswith("/" + name)), None)
            if row is None:
                raise NotPublished(f"{self.storage.at(name)} was listed but could not be read. Run again.")
            found.append({"path": name, "bytes": row["length"], "sha256": row["sha256"]})
        return found

    def publish(self, content: dict[str, Any]) -> dict[str, Any]:
        """Write the manifest; from this moment on there is a run."""
        manifest = {
            "schema_version": MANIFEST_VERSION,
            "run_id": self.run_id,
            "published_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            **content,
        }
        self.storage.write_json(MANIFEST, manifest)
        return manifest

    def _name_plainly(self, path: str, ending: str) -> None:
        """part-00000.parquet and so on in the order that Spark's names have.

        Spark puts a random id into each name; without it a run repeated on the same input is the same.
        """
        for number, name in enumerate(self.storage.files(path)):
            self.storage.rename(name, f"{path}/part-{number:05d}{ending}")

    def _committed(self, path: str) -> None:
        """The writer's own word that it has finished, and with which committer."""
        success = f"{path}/{SUCCESS}"
        if not self.storage.exists(success):
            raise NotPublished(
                f"{self.storage.at(path)}: expected the writer's {SUCCESS}, found none. Run again."
            )
        if self.storage.on_object_store:
            text = self.storage.read(success)
            committer = json.loads(text).get("committer") if text.strip() else "none (an empty _SUCCESS)"
            if committer != "magic":
                # Spark falls back to renaming without a word; on an object store that is slow and unsafe.
                raise NotPublished(
                    f"{self.storage.at(path)}: expected the magic committer, found {committer}. The "
                    "spark-hadoop-cloud jar is missing or not used: fill SPARK_JARS anew."
                )
        self.storage.delete(success)


def _said(error: Exception) -> str:
    if isinstance(error, Py4JJavaError):
        return str(error.java_exception.getMessage())[:200]
    return str(error)[:200]


def clear_unpublished(root: str, run_id: str) -> None:
    """Remove a run's local folder unless it has a manifest; without Spark, after its end."""
    folder = Path(root) / RUNS / run_id
    if not (folder / MANIFEST).exists():
        shutil.rmtree(folder, ignore_errors=True)


def schema_hash(columns: list[dict[str, str]]) -> str:
    """SHA-256 of names and types of the feature table's columns, in order."""
    text = json.dumps(columns, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def new_run_id(now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> str:
    """A name by the time of the start, to the microsecond."""
    return now().strftime("%Y%m%dT%H%M%S.%fZ")
