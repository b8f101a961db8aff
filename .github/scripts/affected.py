#!/usr/bin/env python3
"""Whether a stage has to be built: did a commit range change it, a library that it uses, or how it is built?

    .github/scripts/affected.py STAGE BASE HEAD     prints true or false

STAGE is the folder's name (data_fetch). BASE may be a commit of zeros (a new branch) or empty: then the answer is true.
The libraries come from the stage's own pyproject.toml, so there is no second list to keep.
"""

import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ALWAYS = (".github/base-image", ".github/scripts/build-image.sh", ".github/scripts/test-image.sh")


def sources(stage: str, root: Path = ROOT) -> list[str]:
    """Folders and files, relative to the repository, that go into a stage's image."""
    file = root / stage / "pyproject.toml"
    if not file.exists():
        raise SystemExit(f"affected: no stage {stage}: {file} does not exist")
    project = tomllib.loads(file.read_text(encoding="utf-8"))
    libraries = project.get("tool", {}).get("uv", {}).get("sources", {})
    paths = [(root / stage / entry["path"]).resolve() for entry in libraries.values() if "path" in entry]
    return [f"{stage}/", *sorted(f"{path.relative_to(root.resolve())}/" for path in paths), *ALWAYS]


def changed(base: str, head: str, root: Path = ROOT) -> list[str] | None:
    """Paths that differ between the commits; None where the base is not known here."""
    if not base.strip("0"):
        return None
    done = subprocess.run(  # noqa: S603
        ["git", "diff", "--name-only", f"{base}...{head}"],  # noqa: S607
        cwd=root,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines() if done.returncode == 0 else None


def affected(stage: str, paths: Sequence[str] | None, root: Path = ROOT) -> bool:
    """Whether any of the paths goes into the stage's image; documentation does not."""
    if paths is None:
        return True
    wanted = sources(stage, root)
    return any(
        path.startswith(tuple(part for part in wanted if part.endswith("/"))) or path in wanted
        for path in paths
        if not path.endswith(".md")
    )


def main(argv: Sequence[str]) -> int:
    if len(argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    stage, base, head = argv
    print("true" if affected(stage, changed(base, head)) else "false")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
