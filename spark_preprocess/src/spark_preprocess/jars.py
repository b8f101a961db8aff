"""The Java libraries that Spark needs beside PySpark: fetched once, verified, never at a job's start.

    python -m spark_preprocess.jars FOLDER [--java-files OTHER] [--pin]

Ivy, which PySpark ships, resolves ``java/ivy.xml``; only files with the checksums of
``java/jars.sha256`` are kept. ``--pin`` writes that list anew after a change of ``ivy.xml``;
``--java-files`` names another folder with two such files.
``IVY_SETTINGS`` may name the settings file of a mirror. Standard library only, so that an image can run
this file before the package is installed.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

JAVA_FILES = Path(__file__).with_name("java")
PINS = "jars.sha256"
RESOLVE_SECONDS = 300


class JarsUnavailable(Exception):
    """The Java libraries are missing, incomplete or not the pinned ones."""


def pinned(java_files: Path = JAVA_FILES) -> dict[str, str]:
    """File name of every jar -> its SHA-256, as ``sha256sum`` writes it."""
    lines = (java_files / PINS).read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def missing_jars(folder: Path) -> list[str]:
    """The pinned files that are not in ``folder``; a quick look at names, not at contents."""
    return [name for name in pinned() if not (folder / name).is_file()]


def fetch(folder: Path, java: str = "java", java_files: Path = JAVA_FILES) -> None:
    """Bring every pinned jar into ``folder``; what is there and right stays. Raises JarsUnavailable.

    Jars that are not pinned are removed: everything in the folder goes onto a class path.
    """
    folder = folder.resolve()  # Ivy runs in a folder of its own
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / ".lock"):
        wanted = pinned(java_files)
        if not all(_is_pinned(folder / name, digest) for name, digest in wanted.items()):
            with tempfile.TemporaryDirectory(dir=folder, prefix=".resolving-") as scratch:
                fetched = _resolve(java, Path(scratch), java_files)
                for name, digest in wanted.items():
                    _verify(fetched.get(name), name, digest)
                for name in wanted:
                    os.replace(fetched[name], folder / name)
        for jar in folder.glob("*.jar"):
            if jar.name not in wanted:
                jar.unlink()


def pin(java: str = "java", java_files: Path = JAVA_FILES) -> None:
    """Resolve ``ivy.xml`` and write the checksums of what it led to."""
    with tempfile.TemporaryDirectory() as scratch:
        fetched = _resolve(java, Path(scratch), java_files)
        lines = [f"{_sha256(path)}  {name}\n" for name, path in sorted(fetched.items())]
    (java_files / PINS).write_text("".join(lines), encoding="ascii")


def find_ivy_jar() -> Path:
    """The Ivy jar inside this environment's PySpark. Raises JarsUnavailable."""
    found = importlib.util.find_spec("pyspark")
    if found is not None and found.origin is not None:
        for jar in (Path(found.origin).parent / "jars").glob("ivy-*.jar"):
            return jar
    raise JarsUnavailable("no Ivy jar: PySpark, which brings it, is not installed in this environment")


def _resolve(java: str, scratch: Path, java_files: Path) -> dict[str, Path]:
    """Let Ivy download into ``scratch``; file name -> path."""
    command = [java, "-jar", str(find_ivy_jar()), "-ivy", str(java_files.resolve() / "ivy.xml")]
    settings = os.environ.get("IVY_SETTINGS")
    if settings:
        command += ["-settings", settings]
    # Two modules may share an artifact's name, so the organisation is part of the file's name.
    command += ["-cache", f"{scratch}/cache", "-confs", "default"]
    command += ["-retrieve", f"{scratch}/jars/[organisation].[artifact]-[revision].[ext]"]
    try:
        done = subprocess.run(  # noqa: S603 - the command is ours; --java is the caller's own choice
            command, capture_output=True, text=True, timeout=RESOLVE_SECONDS, cwd=scratch, check=False
        )
    except FileNotFoundError as error:
        raise JarsUnavailable(f"no Java runtime found as {java!r}: install a Java 17 one") from error
    except subprocess.TimeoutExpired as error:
        raise JarsUnavailable(
            f"Ivy did not resolve the jars within {RESOLVE_SECONDS} s: is a Maven repository "
            "reachable? IVY_SETTINGS may name a mirror's settings file"
        ) from error
    if done.returncode != 0:
        # Ivy frames what it says by blank lines and colons.
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip(" \t:")]
        tail = "\n".join(said[-15:])
        raise JarsUnavailable(
            f"Ivy ended with {done.returncode}. Is a Maven repository reachable? IVY_SETTINGS may name "
            f"a mirror's settings file. It said:\n{tail}"
        )
    return {path.name: path for path in (scratch / "jars").glob("*.jar")}


def _verify(path: Path | None, name: str, digest: str) -> None:
    if path is None:
        raise JarsUnavailable(
            f"{name} is pinned but was not resolved: did ivy.xml change? Pin anew with --pin"
        )
    if not _is_pinned(path, digest):
        raise JarsUnavailable(
            f"{name}: expected SHA-256 {digest}, found {_sha256(path)}. It is not the pinned file and "
            "was not kept"
        )


def _is_pinned(path: Path, digest: str) -> bool:
    return path.is_file() and _sha256(path) == digest


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``path`` against other processes; it ends with the process."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0 done, 1 not to be had."""
    parser = argparse.ArgumentParser(prog="python -m spark_preprocess.jars", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="where the jars go")
    parser.add_argument(
        "--java-files", type=Path, default=JAVA_FILES, help="folder of ivy.xml and jars.sha256"
    )
    parser.add_argument("--pin", action="store_true", help="resolve ivy.xml and pin what it leads to")
    parser.add_argument("--java", default="java", help="the Java runtime (default: java)")
    options = parser.parse_args(argv)
    try:
        if options.pin:
            pin(options.java, options.java_files)
        fetch(options.folder, options.java, options.java_files)
    except JarsUnavailable as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
