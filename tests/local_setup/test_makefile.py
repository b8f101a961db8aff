"""What every target of the Makefile gets."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "localhost,127.0.0.1"),
        ({"NO_PROXY": "mirror.example"}, "mirror.example,127.0.0.1"),
        ({"NO_PROXY": "mirror.example", "no_proxy": ".lan"}, ".lan,127.0.0.1"),
    ],
)
def test_no_proxy_stands_before_our_own_servers(
    repository: Path, given: dict[str, str], expected: str
) -> None:
    environ = {"PATH": os.environ["PATH"], "http_proxy": "http://127.0.0.1:9", **given}
    command = ["make", "--eval", "shown: ; @echo $$no_proxy $$NO_PROXY", "shown"]
    done = subprocess.run(
        command, cwd=repository, env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == [expected, expected]
