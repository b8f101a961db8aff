"""Argo CD's repo-server and application-controller as processes, and a scratch repository with both branches."""

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from cluster import Cluster
from processes import Process, free_port, listens, server_folder

ROOT = Path(__file__).resolve().parent.parent.parent


class ArgoCD:
    """Without its API server and UI: Applications are made with kubectl."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.folder = cluster.folder / "argocd"
        self.processes: list[Process] = []

    def start(self) -> None:
        folder, redis = server_folder("argocd"), server_folder("redis")
        for part in ("tls", "ssh", "gpg/keys", "gpg/source", "plugins", "tmp"):
            (self.folder / part).mkdir(parents=True)
        (self.folder / "ssh" / "ssh_known_hosts").touch()
        self.cluster.apply(namespace("argocd"))
        self.cluster.apply_crds(folder / "crds")
        self.cluster.kubectl("apply", "-n", "argocd", "-k", str(folder / "config"))
        # Normally written by argocd-server.
        key = f'{{"stringData":{{"server.secretkey":"{secrets.token_hex(16)}"}}}}'
        self.cluster.kubectl("-n", "argocd", "patch", "secret", "argocd-secret", "-p", key)
        cache, server, metrics, controller = (free_port() for _ in range(4))
        env = {
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "PATH": f"{folder}:{os.environ['PATH']}",
            # https://kubernetes.default.svc is then the cluster of KUBECONFIG.
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_TLS_DATA_PATH": str(self.folder / "tls"),
            "ARGOCD_SSH_DATA_PATH": str(self.folder / "ssh"),
            "ARGOCD_GNUPGHOME": str(self.folder / "gpg" / "keys"),
            "ARGOCD_GPG_DATA_PATH": str(self.folder / "gpg" / "source"),
            "ARGOCD_PLUGINSOCKFILEPATH": str(self.folder / "plugins"),
            # The controller's resync and the repo-server's memory of a branch's commit.
            "ARGOCD_RECONCILIATION_TIMEOUT": "10s",
            "TMPDIR": str(self.folder / "tmp"),
        }
        redis_server = self._run(
            "redis",
            [
                redis / "redis-server",
                "--bind",
                "127.0.0.1",
                "--port",
                cache,
                "--save",
                "",
                "--appendonly",
                "no",
            ],
            {"LD_LIBRARY_PATH": str(redis / "lib")},
        )
        redis_server.wait_until(lambda: listens(cache))
        repo = self._run(
            "argocd-repo-server",
            [
                folder / "argocd-repo-server",
                *flags(redis=f"127.0.0.1:{cache}", address="127.0.0.1", port=server),
                *flags(metrics_address="127.0.0.1", metrics_port=metrics),
                "--disable-tls",
            ],
            env,
        )
        repo.wait_until(lambda: listens(server))
        self._run(
            "argocd-application-controller",
            [
                folder / "argocd-application-controller",
                "--repo-server-plaintext",
                *flags(kubeconfig=self.cluster.kubeconfig, namespace="argocd", redis=f"127.0.0.1:{cache}"),
                *flags(repo_server=f"127.0.0.1:{server}", metrics_port=controller),
            ],
            env,
        )

    def _run(self, name: str, command: list[Any], env: dict[str, str]) -> Process:
        process = Process(name, [str(part) for part in command], self.cluster.logs, env=env, cwd=self.folder)
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()

    def refresh(self, *names: str) -> None:
        """Look at the repository now."""
        for name in names:
            self.cluster.kubectl(
                "-n", "argocd", "annotate", "app", name, "argocd.argoproj.io/refresh=normal", "--overwrite"
            )

    def status(self, name: str) -> dict[str, Any]:
        """Sync status, health, revision and the last operation's phase of an Application."""
        status = self.cluster.get("application", name, "argocd").get("status", {})
        return {
            "sync": status.get("sync", {}).get("status"),
            "revision": status.get("sync", {}).get("revision"),
            "health": status.get("health", {}).get("status"),
            "phase": status.get("operationState", {}).get("phase"),
            "message": status.get("operationState", {}).get("message", "")[:300],
            "synced": status.get("operationState", {}).get("syncResult", {}).get("revision"),
            "out": [
                f"{r['kind']}/{r['name']}"
                for r in status.get("resources", [])
                if r.get("status") == "OutOfSync"
            ],
            "unhealthy": [
                f"{r['kind']}/{r['name']}={r['health'].get('status')}"
                for r in status.get("resources", [])
                if r.get("health", {}).get("status") not in (None, "Healthy")
            ],
            "conditions": [c["message"][:200] for c in status.get("conditions", [])],
        }


class Repository:
    """A bare repository as the remote, and a clone as a workflow has it."""

    def __init__(self, folder: Path) -> None:
        self.bare = folder / "remote.git"
        self.work = folder / "work"
        subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", self.bare], check=True)
        subprocess.run(["git", "init", "--quiet", "-b", "main", self.work], check=True)
        self.git("remote", "add", "origin", f"file://{self.bare}")
        shutil.copytree(
            ROOT / "argo-apps", self.work / "argo-apps", ignore=shutil.ignore_patterns("__pycache__")
        )
        (self.work / ".gitignore").write_text("__pycache__/\n")

    def git(self, *arguments: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.invalid"]
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.work, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def commit(self, message: str, branch: str = "staging") -> str:
        """Commit everything and push it to a branch."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        self.git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return self.git("rev-parse", "HEAD")

    def head(self, branch: str) -> str:
        """The commit of a branch at the remote."""
        return self.git("ls-remote", "origin", f"refs/heads/{branch}").split()[0]

    def script(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of argo-apps/scripts in the clone, as the workflows do."""
        return subprocess.run(
            [self.work / "argo-apps" / "scripts" / name, *arguments],
            cwd=self.work, capture_output=True, text=True, timeout=120,
            env={**os.environ, "PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip


def flags(**values: object) -> list[str]:
    """--name=value for each."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
