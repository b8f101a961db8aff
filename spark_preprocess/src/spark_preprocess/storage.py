"""Files of a run, in a folder or an object store, through Hadoop's file systems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession


class Storage:
    """One folder and what is in it; paths are relative to it, with forward slashes."""

    def __init__(self, spark: SparkSession, root: str) -> None:
        assert spark._jvm is not None
        self._hadoop = spark._jvm.org.apache.hadoop.fs
        self.on_object_store = root.startswith("s3a://")
        # Not as_uri(): Hadoop takes a path as it is and would look for "%20" in the folder's name.
        self.uri = root if self.on_object_store else f"file://{Path(root).resolve()}"
        where = self._hadoop.Path(self.uri)
        self._system = where.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())

    def at(self, path: str) -> str:
        """The full address of a path."""
        return f"{self.uri}/{path}"

    def exists(self, path: str) -> bool:
        return bool(self._system.exists(self._path(path)))

    def delete(self, path: str) -> None:
        """Remove a file or a folder with all it holds; nothing where there is nothing."""
        self._system.delete(self._path(path), True)

    def rename(self, old: str, new: str) -> None:
        """On an object store this copies: for small files only."""
        if not self._system.rename(self._path(old), self._path(new)):
            raise OSError(f"{self.at(old)} could not be renamed to {new}")

    def files(self, path: str) -> list[str]:
        """Every file below a folder, as paths relative to the root, sorted; none without the folder."""
        if not self.exists(path):
            return []
        found = []
        listing = self._system.listFiles(self._path(path), True)
        prefix = len(str(self._path("").toString())) + 1
        while listing.hasNext():
            found.append(listing.next().getPath().toString()[prefix:])
        return sorted(found)

    def read(self, path: str) -> bytes:
        stream = self._system.open(self._path(path))
        try:
            return bytes(stream.readAllBytes())
        finally:
            stream.close()

    def write(self, path: str, content: bytes) -> None:
        """All of the file or nothing: a reader never sees half of it."""
        if self.on_object_store:  # an object appears when it is complete
            self._create(path, content)
            return
        self._create(path + ".partial", content)
        self.rename(path + ".partial", path)

    def write_json(self, path: str, content: Any) -> None:
        text = json.dumps(content, ensure_ascii=False, indent=1, sort_keys=False, allow_nan=False)
        self.write(path, text.encode() + b"\n")

    def _create(self, path: str, content: bytes) -> None:
        stream = self._system.create(self._path(path), True)
        try:
            stream.write(bytearray(content))
        finally:
            stream.close()

    def _path(self, path: str) -> Any:
        return self._hadoop.Path(self.at(path) if path else self.uri)
