"""The Java libraries: pinned, verified, and named when they cannot be had."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from local_setup import jars
from local_setup.errors import JarsUnavailable
from local_setup.java_runtime import find_java
from local_setup.paths import jar_cache

NOWHERE = """<ivysettings>
  <settings defaultResolver="empty"/>
  <resolvers><filesystem name="empty"><artifact pattern="{folder}/[artifact].[ext]"/></filesystem></resolvers>
</ivysettings>"""


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A cache folder of its own with the real jars in it."""
    jars.class_path(find_java())
    for name in jars.pinned():
        shutil.copy(jar_cache() / name, tmp_path / name)
    return tmp_path


def test_a_filled_cache_needs_no_ivy(filled: Path) -> None:
    found = jars.class_path(find_java(), cache=filled, ivy_jar=Path("/nowhere.jar"))
    assert (found[0] / "local_setup" / "EmbeddedMongo.class").is_file()
    assert {path.name for path in found[1:]} == {
        name for name in jars.pinned() if not name.startswith("ecj-")
    }
    assert not list(filled.glob(".compiling-*"))


def test_a_changed_jar_is_not_used(filled: Path) -> None:
    (filled / "slf4j-api-2.0.17.jar").write_bytes(b"something else")
    with pytest.raises(JarsUnavailable, match=r"Ivy \(exit \d+\) did not bring"):
        jars.class_path(find_java(), cache=filled, ivy_jar=Path("/nowhere.jar"))


def test_without_a_repository_the_error_says_what_ivy_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "settings.xml"
    settings.write_text(NOWHERE.format(folder=tmp_path))
    monkeypatch.setenv("IVY_SETTINGS", str(settings))
    with pytest.raises(JarsUnavailable, match=r"(?s)IVY_SETTINGS may name a mirror.*UNRESOLVED DEPENDENCIES"):
        jars.class_path(find_java(), cache=tmp_path / "cache", ivy_jar=jars.find_ivy_jar())
    assert not list((tmp_path / "cache").glob(".resolving-*"))


def test_a_wrong_download_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filled: Path
) -> None:
    wanted = dict(jars.pinned())
    name = next(iter(wanted))

    def download(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        folder = Path(command[command.index("-retrieve") + 1]).parent
        folder.mkdir()
        for jar in wanted:
            folder.joinpath(jar).write_bytes(b"tampered" if jar == name else (filled / jar).read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(jars.subprocess, "run", download)
    with pytest.raises(JarsUnavailable, match=rf"{name}: expected SHA-256 {wanted[name]}, found"):
        jars.class_path("java", cache=tmp_path / "other", ivy_jar=Path("/ivy.jar"))
    assert not list((tmp_path / "other").glob("*.jar"))
