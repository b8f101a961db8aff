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


NOWHERE = """<ivysettings>
  <settings defaultResolver="empty"/>
  <resolvers><filesystem name="empty"><artifact pattern="{folder}/[artifact].[ext]"/></filesystem></resolvers>
</ivysettings>"""


def test_without_a_repository_the_error_says_what_ivy_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "settings.xml"
    settings.write_text(NOWHERE.format(folder=tmp_path))
    monkeypatch.setenv("IVY_SETTINGS", str(settings))
    assert ours.main([str(tmp_path / "jars")]) == 1
    said = capsys.readouterr().err
    assert (
        "IVY_SETTINGS may name a mirror" in said
        and "org.mongodb.spark#mongo-spark-connector_2.13;10.5.0: not found" in said
    )
    assert not list((tmp_path / "jars").glob("[!.]*"))


def test_another_list_of_jars_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "ivy.xml").write_text("<never-read/>")
    (tmp_path / "jars.sha256").write_text(f"{hashlib.sha256(b'a jar').hexdigest()}  a.jar\n")
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "a.jar").write_bytes(b"a jar")
    ours.fetch(tmp_path / "jars", java="/no/java/is/needed", java_files=tmp_path)
    assert (tmp_path / "jars" / "a.jar").is_file()
