"""A missing or old Java is named, with the command that installs one."""

from __future__ import annotations

from pathlib import Path

import pytest
from local_setup import java_runtime, mongodb
from local_setup.errors import JavaMissing


def fake_java(folder: Path, version: str) -> Path:
    """A JAVA_HOME whose java says it is of this version."""
    java = folder / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\n")
    java.chmod(0o755)
    return folder


@pytest.mark.parametrize(("version", "found"), [("1.8.0_292", "8"), ("11.0.2", "11"), ("16", "16")])
def test_an_old_java_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, found: str
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, version)))
    with pytest.raises(JavaMissing, match=rf"Java 17 or newer.*is version {found}\. Install it: \w+"):
        java_runtime.find_java()


@pytest.mark.parametrize("version", ["17", "17.0.15", "21.0.1", "25-ea"])
def test_a_new_java_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path, version)))
    assert java_runtime.find_java() == str(tmp_path / "bin" / "java")


def test_no_java_at_all_ends_the_command_with_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert mongodb.main(["--data", str(tmp_path / "data"), "--port", "0"]) == 2
    assert "there is no java on PATH. Install it:" in capsys.readouterr().err


def test_a_wrong_java_home_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(JavaMissing, match="JAVA_HOME is .* which has no bin/java"):
        java_runtime.find_java()
