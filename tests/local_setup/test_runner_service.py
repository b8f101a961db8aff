"""What `make serve`, `make mlflow-ui` and the reload of `make retrain` do around a folder."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from local_setup.runner import service
from local_setup.runner.workspace import Workspace
from rich.console import Console


@pytest.mark.parametrize("command", ["serve", "mlflow-ui", "evaluate", "score"])
def test_before_any_training_there_is_nothing_to_show(command: str, tmp_path: Path) -> None:
    out = tmp_path / "mistyped" / "out"
    done = subprocess.run(
        [sys.executable, "-m", "local_setup.runner", command, "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert (
        done.stderr.startswith(f"error: no model in {out}: run make pipeline") and "make demo" in done.stderr
    )
    assert not list(tmp_path.iterdir()), "no folder is made for a name that may be mistyped"


def test_mlflow_ui_says_where_the_experiments_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    with pytest.raises(service.WrongSettings, match="the experiments are at http://mlflow.example:5000"):
        service.mlflow_ui(Workspace(tmp_path), 5000)


Answer = Callable[[BaseHTTPRequestHandler], None]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "out")
    made.prepare()
    made.environ()  # makes the token up
    return made


@contextmanager
def served(workspace: Workspace, answer: Answer) -> Iterator[str]:
    """A service whose /reload answers so, as its address stands in the workspace."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        workspace.service.write_text(json.dumps({"url": url}))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield url
        finally:
            server.shutdown()


def test_a_taken_port_is_named_and_the_service_there_keeps_its_address(workspace: Workspace) -> None:
    (workspace.mlflow / "mlflow.db").touch()
    with served(workspace, says(200, '{"version": "7"}')) as url:
        with pytest.raises(
            service.WrongSettings, match=f"PORT: something listens on {url} already"
        ) as caught:
            service.serve(workspace, int(url.rpartition(":")[2]), "champion", Console())
        assert caught.value.exit_code == 2
        assert service.reload(workspace) == f"{url} serves version 7"


def says(status: int, body: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.end_headers()
        handler.wfile.write(body.encode())

    return answer


def test_a_reload_tells_the_version(workspace: Workspace) -> None:
    asked = {}

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked["path"], asked["token"] = handler.path, handler.headers["Authorization"]
        says(200, '{"version": "7", "converged": true}')(handler)

    with served(workspace, answer) as url:
        assert service.reload(workspace) == f"{url} serves version 7"
    token = (workspace.out / "secrets" / "reload_token").read_text()
    assert asked == {"path": "/reload", "token": f"Bearer {token}"}


def test_the_token_is_read_where_the_service_reads_it(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "reload_token").write_text("of my own\n")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "mine"))
    tokens = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        tokens.append(handler.headers["Authorization"])
        says(200, '{"version": "7"}')(handler)

    with served(workspace, answer):
        service.reload(workspace)
    assert tokens == ["Bearer of my own"]


def slow(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(1.5)
    handler.close_connection = True


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (says(409, '{"detail": "the served model stays: no network.onnx"}'), "409 .*the served model stays"),
        (says(401, "{}"), "found 401"),
        (says(202, '{"version": "7", "converged": false}'), "found 202"),
        (slow, "found ReadTimeout"),
        (cut_off, "found ConnectionError"),
    ],
)
def test_a_reload_that_did_not_reach_every_worker_is_an_error(
    workspace: Workspace, answer: Answer, found: str
) -> None:
    with served(workspace, answer):
        with pytest.raises(service.ReloadFailed, match=found) as caught:
            service.reload(workspace, seconds=0.4)
    assert caught.value.exit_code == 1 and "may still have the model before" in str(caught.value)


def test_without_a_service_there_is_nothing_to_reload(workspace: Workspace) -> None:
    assert service.reload(workspace) is None
    with served(workspace, says(500, "")):
        pass
    assert workspace.service.exists(), "a killed service leaves its address"
    assert service.reload(workspace) is None
