"""One OUT folder: where everything of one run lives, so that two never mix."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_setup.errors import LocalSetupError
from local_setup.paths import project_root


class WorkspaceBusy(LocalSetupError):
    """Another run uses this folder."""

    exit_code = 2


class NothingLearned(LocalSetupError):
    """A folder in which no model has been trained."""

    exit_code = 3


@dataclass(frozen=True)
class Workspace:
    """Paths below OUT, and the settings that every stage gets from them."""

    out: Path

    @property
    def mongo(self) -> Path:
        return self.out / "mongo"

    @property
    def data(self) -> Path:
        return self.out / "data"

    @property
    def mlflow(self) -> Path:
        return self.out / "mlflow"

    @property
    def scores(self) -> Path:
        return self.out / "scores.jsonl"

    @property
    def summary(self) -> Path:
        return self.out / "summary.json"

    @property
    def service(self) -> Path:
        """Address of the service that `make serve` runs over this folder, while it runs."""
        return self.out / "service.json"

    @property
    def tracking_uri(self) -> str:
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.mlflow / 'mlflow.db'}"

    def prepare(self) -> None:
        """Make the folders."""
        for folder in (self.out, self.mongo, self.data, self.mlflow):
            folder.mkdir(parents=True, exist_ok=True)

    def check_learned(self) -> None:
        """Raises NothingLearned where no training has written here, nor to a server that the user named."""
        if not os.environ.get("MLFLOW_TRACKING_URI") and not (self.mlflow / "mlflow.db").exists():
            raise NothingLearned(
                f"no model in {self.out}: run make pipeline CORPUS=export.jsonl.gz (or GITHUB_REPOS=owner/name) first; "
                "after make demo add OUT=var/demo"
            )

    def environ(self) -> dict[str, str]:
        """Settings for the stages, below whatever the user has set: a real MongoDB, Spaces, a tracking server."""
        ours = {
            "DATA_ROOT": str(self.data),
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "MLFLOW_ARTIFACT_ROOT": str(self.mlflow / "artifacts"),
            "SECRETS_DIR": str(self._secrets()),
        }
        return {**ours, **os.environ, "PYTHONUNBUFFERED": "1"}

    def _secrets(self) -> Path:
        """A folder of one file a secret; the reload token is made up once."""
        folder = self.out / "secrets"
        folder.mkdir(mode=0o700, exist_ok=True)
        token = folder / "reload_token"
        if not token.exists():
            token.touch(mode=0o600)
            token.write_text(secrets.token_urlsafe(32))
        return folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one run; the lock ends with this process, however it ends."""
        self.prepare()
        with (self.out / ".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WorkspaceBusy(
                    f"{self.out} is in use by another run; wait for it, or choose another OUT=..."
                ) from None
            yield


def stage_python(stage: str) -> Path:
    """The interpreter of a stage's own environment."""
    python = project_root() / ".venv" / stage / "bin" / "python"
    if not python.exists():
        raise LocalSetupError(f"no environment for {stage} in {python.parent.parent}; run: make setup")
    return python


def write_json(path: Path, content: Any) -> None:
    """Replace the file in one step, so that a reader sees the old or the new one."""
    part = path.with_suffix(path.suffix + ".part")
    part.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
    part.replace(path)
