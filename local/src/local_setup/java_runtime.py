"""Finds the Java runtime that Spark and the embedded MongoDB need."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from local_setup.errors import JavaMissing

OLDEST = 17
"""Spark 4 and the embedded MongoDB are compiled for Java 17."""


def install_command() -> str:
    """The command that installs a fitting Java here, as far as that can be told."""
    if platform.system() == "Darwin":
        return "brew install openjdk@17"
    for tool, command in (
        ("apt-get", "sudo apt-get install openjdk-17-jre-headless"),
        ("dnf", "sudo dnf install java-17-openjdk-headless"),
        ("apk", "sudo apk add openjdk17-jre-headless"),
    ):
        if shutil.which(tool):
            return command
    return "install a Java 17 runtime, for example Eclipse Temurin"


def find_java() -> str:
    """Path of a ``java`` of version 17 or newer: that of ``JAVA_HOME``, else of ``PATH``.

    Raises JavaMissing with what was found and what to do.
    """
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    wanted = f"Java {OLDEST} or newer is needed"
    if java is None or not Path(java).exists():
        where = f"JAVA_HOME is {home}, which has no bin/java" if home else "there is no java on PATH"
        raise JavaMissing(f"{wanted}, but {where}. Install it: {install_command()}")
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60)
    text = answer.stderr + answer.stdout
    match = re.search(r'version "(\d+)(?:\.(\d+))?', text)
    if match is None:
        raise JavaMissing(f"{wanted}, but {java} -version said {text[:200]!r}")
    first, second = int(match[1]), int(match[2] or 0)
    version = second if first == 1 else first
    if version < OLDEST:
        raise JavaMissing(
            f"{wanted}, but {java} is version {version}. Install it: {install_command()}, "
            "or let JAVA_HOME point to it"
        )
    return java
