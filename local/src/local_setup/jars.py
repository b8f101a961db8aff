"""Brings the Java libraries of the embedded MongoDB and compiles our one class against them.

Resolved once by the Ivy that PySpark ships (no Maven needed), verified against pinned checksums,
kept in a git-ignored cache. Several processes may ask at the same time: one works, the others wait.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from local_setup.errors import JarsUnavailable, LocalSetupError
from local_setup.java_runtime import find_java
from local_setup.paths import jar_cache, project_root

JAVA_FILES = Path(__file__).with_name("java")
SOURCE = JAVA_FILES / "EmbeddedMongo.java"
MAIN_CLASS = "local_setup.EmbeddedMongo"
RESOLVE_SECONDS = 300


def pinned() -> dict[str, str]:
    """File name of every jar -> its SHA-256, as `sha256sum` writes it."""
    lines = (JAVA_FILES / "jars.sha256").read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def class_path(java: str, *, cache: Path | None = None, ivy_jar: Path | None = None) -> list[Path]:
    """Everything the embedded MongoDB needs on its class path, fetched and compiled where missing.

    Raises JarsUnavailable.
    """
    folder = cache or jar_cache()
    folder.mkdir(parents=True, exist_ok=True)
    wanted = pinned()
    with _locked(folder / ".lock"):
        if not all(_is_pinned(folder / name, digest) for name, digest in wanted.items()):
            _resolve(java, folder, wanted, ivy_jar or find_ivy_jar())
        classes = _compile(java, folder, sorted(wanted))
    return [classes, *(folder / name for name in sorted(wanted) if not name.startswith("ecj-"))]


def find_ivy_jar() -> Path:
    """The Ivy jar inside a PySpark: ``IVY_JAR``, this environment's, or the Spark stage's.

    Raises JarsUnavailable.
    """
    named = os.environ.get("IVY_JAR")
    if named:
        return Path(named)
    folders = []
    here = importlib.util.find_spec("pyspark")
    if here is not None and here.origin is not None:
        folders.append(Path(here.origin).parent)
    root = project_root()
    folders += root.glob(".venv/spark_preprocess/lib/python*/site-packages/pyspark")
    for folder in folders:
        for jar in sorted((folder / "jars").glob("ivy-*.jar")):
            return jar
    raise JarsUnavailable(
        f"no Ivy jar found: PySpark, which brings it, is not in {root}/.venv/spark_preprocess. "
        "Run `make setup` first, or name a jar in IVY_JAR"
    )


def _resolve(java: str, folder: Path, wanted: dict[str, str], ivy_jar: Path) -> None:
    """Let Ivy download into a scratch folder; only verified files are moved into ``folder``."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".resolving-") as scratch:
        command = [java, "-jar", str(ivy_jar), "-ivy", str(JAVA_FILES / "ivy.xml")]
        settings = os.environ.get("IVY_SETTINGS")
        if settings:
            command += ["-settings", settings]
        command += ["-cache", f"{scratch}/cache", "-confs", "default"]
        command += ["-retrieve", f"{scratch}/jars/[artifact]-[revision].[ext]"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=RESOLVE_SECONDS, cwd=scratch
            )
        except subprocess.TimeoutExpired as error:
            raise JarsUnavailable(
                f"Ivy did not resolve the embedded MongoDB within {RESOLVE_SECONDS} s: "
                "is a Maven repository reachable? IVY_SETTINGS may name a mirror's settings file"
            ) from error
        for name, digest in wanted.items():
            fetched = Path(scratch, "jars", name)
            if not fetched.is_file():
                tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
                raise JarsUnavailable(
                    f"Ivy (exit {done.returncode}) did not bring {name}. Is a Maven repository "
                    f"reachable? IVY_SETTINGS may name a mirror's settings file. It said:\n{tail}"
                )
            if not _is_pinned(fetched, digest):
                raise JarsUnavailable(
                    f"{name}: expected SHA-256 {digest}, found {_sha256(fetched)}. It is not the "
                    "pinned file and was not kept"
                )
        for name in wanted:
            os.replace(Path(scratch, "jars", name), folder / name)


def _compile(java: str, folder: Path, jars: list[str]) -> Path:
    """Compile our class, once for each state of its source and jars; returns its folder."""
    state = hashlib.sha256(SOURCE.read_bytes() + repr(pinned()).encode()).hexdigest()[:16]
    classes = folder / f"classes-{state}"
    if classes.is_dir():
        return classes
    compiler = next(folder / name for name in jars if name.startswith("ecj-"))
    libraries = os.pathsep.join(str(folder / name) for name in jars if name != compiler.name)
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".compiling-"))
    try:
        command = [java, "-jar", str(compiler), "-17", "-cp", libraries]
        command += ["-d", str(scratch / "classes"), str(SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise JarsUnavailable(f"{SOURCE.name} does not compile:\n{done.stdout}{done.stderr}")
        os.replace(scratch / "classes", classes)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return classes


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
    """Fetch and compile everything now, so that the first start downloads nothing."""
    parser = argparse.ArgumentParser(prog="python -m local_setup.jars", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--cache", type=Path, help="folder (default: var/cache/jars)")
    parser.add_argument("--ivy-jar", type=Path, help="Ivy jar (default: the one inside PySpark)")
    options = parser.parse_args(argv)
    try:
        found = class_path(find_java(), cache=options.cache, ivy_jar=options.ivy_jar)
    except LocalSetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{len(found) - 1} jars of the embedded MongoDB in {found[0].parent}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
