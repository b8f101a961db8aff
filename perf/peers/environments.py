"""Environments of other people's programs under var/bench-venvs/, each from its lock in this folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


def environment(name: str) -> Path:
    """The folder of the environment, made anew when its lock has changed; raises RuntimeError where that fails."""
    folder = ROOT / "var" / "bench-venvs" / name
    lock = HERE / f"{name}.lock"
    done = folder / "lock"
    if done.exists() and done.read_bytes() == lock.read_bytes():
        return folder
    uv = shutil.which("uv") or str(ROOT / ".venv" / "tools" / "bin" / "uv")
    try:
        # The base interpreter, not the environment this runs in.
        subprocess.run(
            [uv, "venv", "--quiet", "--clear", "--python", Path(sys.base_prefix) / "bin" / "python3", folder],
            check=True,
        )
        subprocess.run(
            [uv, "pip", "sync", "--quiet", "--python", folder / "bin" / "python", "--require-hashes", lock],
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise RuntimeError(f"the environment of {name} cannot be made: {said[-500:]}") from error
    shutil.copyfile(lock, done)
    return folder


if __name__ == "__main__":
    for wanted in sys.argv[1:]:
        print(environment(wanted))
