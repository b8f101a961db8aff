"""Clients of others, as they ask by default."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from artifact import pull_request

CURL = shutil.which("curl")


@pytest.mark.parametrize("chunked", [False, True])
def test_curl_that_asks_for_http_2(start: Any, tmp_path: Path, chunked: bool) -> None:
    if (
        CURL is None
        or "HTTP2" not in subprocess.run([CURL, "--version"], capture_output=True, text=True).stdout
    ):
        pytest.skip("needs a curl that speaks HTTP/2")
    service = start()
    (tmp_path / "one.json").write_text(json.dumps(pull_request(1)))
    url = f"http://127.0.0.1:{service.port}/predict"
    command = [CURL, "-sS", "--http2", "-w", "\n%{http_code} %{num_connects}\n", "-d", "@one.json"]
    command += [
        "-H",
        "Content-Type: application/json",
        *(["-H", "Transfer-Encoding: chunked"] if chunked else []),
    ]
    done = subprocess.run([*command, url, url], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    answers = done.stdout.splitlines()
    assert done.returncode == 0 and len(answers) == 4, done
    assert [json.loads(answer)["number"] for answer in answers[::2]] == [pull_request(1)["number"]] * 2
    assert answers[1::2] == ["200 1", "200 0"]  # by one connection
