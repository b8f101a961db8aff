"""What kinds of files a pull request changes, from their paths alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .text import extension

DEPENDENCY_FILES = frozenset(
    "package.json package-lock.json yarn.lock pnpm-lock.yaml requirements.txt pyproject.toml poetry.lock"
    " uv.lock pipfile pipfile.lock setup.py setup.cfg go.mod go.sum cargo.toml cargo.lock pom.xml"
    " build.gradle build.gradle.kts gemfile gemfile.lock composer.json composer.lock".split()
)
BUILD_FILES = frozenset(
    "makefile dockerfile cmakelists.txt configure configure.ac jenkinsfile rakefile gulpfile.js"
    " webpack.config.js build.sh install.sh codeowners".split()
)
CI_FOLDERS = (".github/", ".circleci/", ".gitlab/", ".buildkite/", "ci/", ".azure-pipelines/")
CI_FILES = frozenset(".travis.yml .gitlab-ci.yml appveyor.yml azure-pipelines.yml".split())
BINARY_ENDINGS = frozenset(
    ".exe .dll .so .dylib .a .o .bin .jar .class .pyc .whl .zip .gz .tar .7z .rar .apk .iso .dmg .wasm".split()
)
DOC_ENDINGS = frozenset(".md .rst .txt .adoc .html .tex .pdf .markdown".split())
_TEST = re.compile(r"(?:^|/)(?:tests?|specs?|__tests__)/|(?:^|/)test_|[_.-](?:test|spec)\.", re.IGNORECASE)


class FileKinds(NamedTuple):
    """Shares of the listed files, each 0 to 1; ``sensitive`` is CI, dependencies, build and binaries."""

    docs: float
    tests: float
    sensitive: float
    binary: float
    folders: int


def file_kinds(files: Sequence[Mapping[str, Any]]) -> FileKinds:
    """files: one or more objects with ``path``."""
    docs = tests = sensitive = binary = 0
    folders = set()
    for file in files:
        path = file["path"]
        ending = extension(path)
        folders.add(path.rpartition("/")[0])
        is_binary = ending in BINARY_ENDINGS
        binary += is_binary
        sensitive += is_binary or is_sensitive(path)
        docs += ending in DOC_ENDINGS
        tests += _TEST.search(path) is not None
    count = len(files)
    return FileKinds(docs / count, tests / count, sensitive / count, binary / count, len(folders))


def is_sensitive(path: str) -> bool:
    """Whether a change of this file can change what runs on others' machines without being code."""
    lower = path.lower()
    name = lower.rpartition("/")[2]
    return (
        name in DEPENDENCY_FILES
        or name in BUILD_FILES
        or name in CI_FILES
        or lower.startswith(CI_FOLDERS)
        or "/.github/" in lower
    )
