"""What a person looks at over a folder: the service of `make serve`, told of a new champion; MLflow's pages."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import requests
from rich.console import Console

from local_setup.errors import LocalSetupError, WrongSettings
from local_setup.runner import processes
from local_setup.runner.workspace import Workspace, stage_python, write_json

# More than the service itself waits for its workers (RELOAD_TIMEOUT_SECONDS).
RELOAD_SECONDS = 120.0


class ReloadFailed(LocalSetupError):
    """The running service did not take the new champion, or not in all of its workers."""


def serve(workspace: Workspace, port: int, alias: str, console: Console) -> int:
    """The service until Ctrl-C. It takes no lock and no database, so that a retraining can run beside it.

    Raises NothingLearned where there is no model yet, and WrongSettings for a port that is taken.
    """
    workspace.check_learned()
    url = f"http://127.0.0.1:{port}"
    if port and _listens(url):
        raise WrongSettings(f"PORT: something listens on {url} already; end it, or choose another PORT=...")
    workspace.prepare()
    # No load balancer has to notice first that it goes.
    settings = {"DRAIN_WAIT_SECONDS": "0", **workspace.environ(), "HOST": "127.0.0.1", "PORT": str(port)}
    settings["MODEL_ALIAS"] = alias
    write_json(workspace.service, {"url": url})
    try:
        with processes.running("model_serving", [], settings) as process:
            console.print(f"serving {alias} of {workspace.out} at {url}  (Ctrl-C ends it)", highlight=False)
            return process.wait()
    except KeyboardInterrupt:  # what it waits for
        return 0
    finally:
        workspace.service.unlink(missing_ok=True)


def reload(workspace: Workspace, seconds: float = RELOAD_SECONDS) -> str | None:
    """POST /reload to the service that `make serve` runs over this folder: its address and version, None without one.

    seconds: longest wait for the answer. Raises ReloadFailed for any answer but 200.
    """
    if not workspace.service.exists():
        return None
    url = json.loads(workspace.service.read_text("utf-8"))["url"]
    if not _listens(url):  # it was killed, and could not take its address away
        return None
    token = Path(workspace.environ()["SECRETS_DIR"]) / "reload_token"
    headers = {"Authorization": f"Bearer {token.read_text('utf-8').strip()}"} if token.exists() else {}
    try:
        answer = requests.post(f"{url}/reload", headers=headers, timeout=seconds)
    except requests.RequestException as error:
        found = type(error).__name__
    else:
        if answer.status_code == 200:
            return f"{url} serves version {answer.json()['version']}"
        found = f"{answer.status_code} {answer.text[:500]}"
    raise ReloadFailed(
        f"{url}/reload: expected 200 and the new champion in every worker, found {found}. The candidate is champion, "
        "but the service may still have the model before: look at its log, or end it and run make serve again"
    )


def _listens(url: str) -> bool:
    address = urlsplit(url)
    try:
        with socket.create_connection((str(address.hostname), int(address.port or 80)), timeout=5):
            return True
    except OSError:
        return False


def mlflow_ui(workspace: Workspace, port: int) -> NoReturn:
    """MLflow's pages over this folder until Ctrl-C, in place of this process. Raises NothingLearned."""
    server = os.environ.get("MLFLOW_TRACKING_URI")
    if server:
        raise WrongSettings(
            f"MLFLOW_TRACKING_URI is set: the experiments are at {server}, not in {workspace.out}"
        )
    workspace.check_learned()
    python = str(stage_python("ml_training"))
    options = ["--backend-store-uri", workspace.tracking_uri, "--host", "127.0.0.1", "--port", str(port)]
    os.execv(python, [python, "-m", "mlflow", "ui", *options])  # noqa: S606, our own interpreter
