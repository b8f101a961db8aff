"""A real Vault on loopback, set up by the very script that an installation runs."""

import json
import os
import secrets
import subprocess
import time
from pathlib import Path
from typing import Any

from cluster import Cluster
from processes import Process, free_port, server_folder

ROOT = Path(__file__).resolve().parent.parent.parent


class Vault:
    """A development server: in memory, unsealed, KV v2 at secret/; its audit log says what was asked of it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.root_token = "root-" + secrets.token_hex(16)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.audit = folder / "audit.log"
        self.process: Process | None = None
        self.unseal_key = ""

    def start(self) -> None:
        program = server_folder("vault") / "vault"
        self.process = Process(
            "vault",
            [program, "server", "-dev", "-dev-no-store-token", f"-dev-listen-address=127.0.0.1:{self.port}"],
            self.folder,
            env={"VAULT_DEV_ROOT_TOKEN_ID": self.root_token, "HOME": str(self.folder)},
        )
        self.process.wait_until(lambda: self.try_cli("status").returncode == 0)
        # Printed a moment after it answers.
        self.process.wait_until(lambda: "Unseal Key: " in self.process_log())
        self.unseal_key = self.process_log().split("Unseal Key: ")[1].split()[0]
        self.cli("audit", "enable", "file", f"file_path={self.audit}")

    def process_log(self) -> str:
        return self.process.log.read_text() if self.process else ""

    def stop(self) -> None:
        if self.process:
            self.process.stop()

    def env(self) -> dict[str, str]:
        """What a person at the command line has."""
        path = f"{server_folder('vault')}:{os.environ['PATH']}"
        return {
            **os.environ,
            "PATH": path,
            "HOME": str(self.folder),
            "VAULT_ADDR": self.address,
            "VAULT_TOKEN": self.root_token,
            "KUBECONFIG": str(self.cluster.kubeconfig),
            # The longest that the test cluster signs.
            "REVIEWER_DURATION": "24h",
        }

    def try_cli(self, *arguments: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
        env = self.env() | ({"VAULT_TOKEN": token} if token else {})
        return subprocess.run(
            [server_folder("vault") / "vault", *arguments],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def cli(self, *arguments: str) -> str:
        done = self.try_cli(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def try_set_up(self, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run argo-apps/vault/setup.sh against the cluster, whatever comes of it."""
        script = ROOT / "argo-apps" / "vault" / "setup.sh"
        env = self.env() | settings
        return subprocess.run([script], env=env, capture_output=True, text=True, timeout=120)

    def set_up(self) -> str:
        """Run it and return what it says."""
        done = self.try_set_up()
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def put(self, stage: str, **values: str) -> None:
        """Write a stage's secret."""
        file = self.folder / "secret.json"
        file.write_text(json.dumps(values))
        self.cli("kv", "put", "-mount=secret", f"mlops/base/{stage}", f"@{file}")
        file.unlink()

    def requests(self, path: str, since: int = 0) -> int:
        """How often this path was asked for, after so many lines of the audit log."""
        lines = self.audit.read_text().splitlines()[since:]
        entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return sum(e["type"] == "request" and e["request"].get("path") == path for e in entries)

    def mark(self) -> int:
        """Where the audit log is now."""
        return len(self.audit.read_text().splitlines())

    def seal(self) -> None:
        self.cli("operator", "seal")

    def unseal(self) -> None:
        self.try_cli("operator", "unseal", self.unseal_key)
        deadline = time.monotonic() + 30
        while self.try_cli("status").returncode != 0 and time.monotonic() < deadline:
            time.sleep(0.3)
