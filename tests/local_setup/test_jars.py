"""The class path of the embedded MongoDB: pinned, verified, compiled once, and named when it cannot be had."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from local_setup import jars
from local_setup.errors import JarsUnavailable
from local_setup.java_runtime import find_java
from local_setup.paths import jar_cache


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A cache folder of its own with the real jars in it."""
    for name in jars.pinned():
        shutil.copy(jar_cache() / name, tmp_path / name)
    return tmp_path


def test_our_class_is_compiled_once(filled: Path) -> None:
    found = jars.class_path(find_java(), cache=filled)
    assert (found[0] / "local_setup" / "EmbeddedMongo.class").is_file()
    assert {path.name for path in found[1:]} == {name for name in jars.pinned() if "jdt.ecj" not in name}
    assert not list(filled.glob(".compiling-*"))
    assert jars.class_path("/no/java/is/needed/again", cache=filled) == found


def test_a_missing_jar_is_named_with_the_command_that_fetches_it(filled: Path) -> None:
    name = next(iter(jars.pinned()))
    (filled / name).unlink()
    with pytest.raises(JarsUnavailable, match=rf"{name} is missing: run `make setup`"):
        jars.class_path(find_java(), cache=filled)


def test_a_changed_jar_is_not_used(filled: Path) -> None:
    name, digest = next(iter(jars.pinned().items()))
    (filled / name).write_bytes(b"something else")
    with pytest.raises(JarsUnavailable, match=rf"{name}: expected SHA-256 {digest}, found"):
        jars.class_path(find_java(), cache=filled)
