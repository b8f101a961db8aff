"""The class path of the embedded MongoDB: its pinned Java libraries, and our one class compiled against them.

`make setup` fetches the libraries, by the same command as Spark's:

    python -m spark_preprocess.jars var/cache/jars/local --java-files local/src/local_setup/java

It runs in the environment of spark_preprocess, whose PySpark brings the resolver.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from local_setup.errors import JarsUnavailable
from local_setup.paths import jar_cache

JAVA_FILES = Path(__file__).with_name("java")
SOURCE = JAVA_FILES / "EmbeddedMongo.java"
MAIN_CLASS = "local_setup.EmbeddedMongo"
COMPILER = "org.eclipse.jdt.ecj-"


def pinned() -> dict[str, str]:
    """File name of every jar -> its SHA-256, as `sha256sum` writes it."""
    lines = (JAVA_FILES / "jars.sha256").read_text(encoding="ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


def class_path(java: str, *, cache: Path | None = None) -> list[Path]:
    """Everything the embedded MongoDB needs on its class path, our class first, compiled where missing.

    Raises JarsUnavailable.
    """
    folder = cache or jar_cache()
    for name, digest in pinned().items():
        _verify(folder / name, digest)
    libraries = [folder / name for name in sorted(pinned()) if not name.startswith(COMPILER)]
    return [_compiled(java, folder, libraries), *libraries]


def _verify(jar: Path, digest: str) -> None:
    if not jar.is_file():
        raise JarsUnavailable(f"{jar} is missing: run `make setup`, which fetches it")
    found = hashlib.sha256(jar.read_bytes()).hexdigest()
    if found != digest:
        raise JarsUnavailable(
            f"{jar}: expected SHA-256 {digest}, found {found}. It is not the pinned file: delete it and "
            "run `make setup`"
        )


def _compiled(java: str, folder: Path, libraries: list[Path]) -> Path:
    """Folder of our class, compiled once for each state of its source and of the libraries."""
    state = hashlib.sha256(SOURCE.read_bytes() + repr(pinned()).encode()).hexdigest()[:16]
    classes = folder / f"classes-{state}"
    if classes.is_dir():
        return classes
    compiler = next(name for name in pinned() if name.startswith(COMPILER))
    scratch = Path(tempfile.mkdtemp(dir=folder, prefix=".compiling-"))
    try:
        command = [java, "-jar", str(folder / compiler), "-17", "-cp", os.pathsep.join(map(str, libraries))]
        command += ["-d", str(scratch / "classes"), str(SOURCE)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise JarsUnavailable(f"{SOURCE.name} does not compile:\n{done.stdout}{done.stderr}")
        try:
            (scratch / "classes").rename(classes)
        except OSError:
            if not classes.is_dir():  # else another process compiled the same at the same time
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return classes
