"""Where the one-machine set-up keeps what it downloads: git-ignored, made again when deleted."""

from __future__ import annotations

from pathlib import Path


def project_root() -> Path:
    """The checkout this package was installed from, else the current folder."""
    checkout = Path(__file__).resolve().parents[3]
    return checkout if (checkout / "local" / "pyproject.toml").is_file() else Path.cwd()


def jar_cache() -> Path:
    """Folder of the Java libraries of the embedded MongoDB."""
    return project_root() / "var" / "cache" / "jars" / "local"
