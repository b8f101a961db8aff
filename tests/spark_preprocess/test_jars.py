"""The Java libraries: pinned, complete, or a clear error."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from spark_preprocess import jars as ours


def test_what_is_fetched_is_what_is_pinned(jars: str) -> None:
    for name, digest in ours.pinned().items():
        assert hashlib.sha256((Path(jars) / name).read_bytes()).hexdigest() == digest, name


def test_the_connector_and_the_committer_are_among_them() -> None:
    names = " ".join(ours.pinned())
    for part in ("mongo-spark-connector_2.13-10.5.0", "hadoop-aws-3.5.0", "spark-hadoop-cloud_2.13"):
        assert part in names
    # A second Netty stops Spark at its start; the whole AWS SDK would be 600 MB.
    assert "netty-common" not in names and "awssdk.bundle" not in names


def test_missing_jars_are_named(jars: str, tmp_path: Path) -> None:
    assert ours.missing_jars(Path(jars)) == []
    assert ours.missing_jars(tmp_path) == list(ours.pinned())


def test_what_is_not_pinned_is_removed(jars: str, tmp_path: Path) -> None:
    folder = tmp_path / "jars"
    shutil.copytree(jars, folder)
    (folder / "older-1.0.jar").write_bytes(b"on the class path by accident")
    ours.fetch(folder, java="/no/java/is/needed")
    assert not (folder / "older-1.0.jar").exists()


def test_a_damaged_jar_is_fetched_anew_or_said(
    jars: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "jars"
    shutil.copytree(jars, folder)
    name = next(iter(ours.pinned()))
    (folder / name).write_bytes(b"half a jar")
    assert ours.main([str(folder), "--java", "/no/java/here"]) == 1
    assert "no Java runtime found as '/no/java/here'" in capsys.readouterr().err


def test_another_file_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "a.jar"
    other.write_bytes(b"other")
    with pytest.raises(ours.JarsUnavailable, match=r"a\.jar: expected SHA-256 0000, found .* was not kept"):
        ours._verify(other, "a.jar", "0000")
