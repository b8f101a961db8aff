"""What a process sees that stands for a pod."""

import os
import subprocess
from pathlib import Path

import pytest
from pods import ENTER
from processes import needs

# A folder below /opt of its own, with a program in it, before the pod is entered.
OUTSIDE = """
set -e
mount -t tmpfs tmpfs /opt
[ -z "$1" ] || { mkdir -p /opt/hostedtoolcache/bin && cp "$(command -v bash)" "$1"; }
shift
exec "$@"
"""
LOOK = "cat /opt/venv/name /opt/spark-jars/name; echo /opt/*; touch /run/mine /tmp/mine"


@pytest.mark.parametrize("interpreter", ["/opt/hostedtoolcache/bin/sh", ""])
def test_environment_and_jars_are_at_the_image_s_paths_and_the_rest_of_opt_stays(
    tmp_path: Path, interpreter: str
) -> None:
    """GitHub's setup-python puts the interpreter below /opt, and the environments only link to it."""
    for part in ("venv", "jars", "tmp"):
        (tmp_path / part).mkdir()
    for part in ("venv", "jars"):
        (tmp_path / part / "name").write_text(f"{part}\n")
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n")
    pod = ["bash", "-c", ENTER, "pod", tmp_path, tmp_path / "venv", tmp_path / "jars", ""]
    done = subprocess.run(
        [needs("unshare"), "--mount", "bash", "-c", OUTSIDE, "outside", interpreter,
         *pod, interpreter or "sh", "-c", LOOK],
        capture_output=True, text=True, timeout=60, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    own = "/opt/hostedtoolcache " if interpreter else ""
    assert done.stdout == f"venv\njars\n{own}/opt/spark-jars /opt/venv\n"
    assert (tmp_path / "tmp" / "mine").exists()
    assert not Path("/run/mine").exists()
