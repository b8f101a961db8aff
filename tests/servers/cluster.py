"""A Kubernetes control plane of real parts with simulated nodes: etcd, API server, controllers, scheduler, kwok.

Pods are simulated by kwok: no container runs. What runs is everything else: admission (the restricted level), RBAC,
ServiceAccount tokens, Jobs, Services, and whatever controllers the tests start beside it.
"""

import json
import secrets
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from processes import HERE, Process, ServerError, eventually, free_port, listens, needs, server_folder


class Cluster:
    """A running cluster; everything of it lies under one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "log"
        self.pki = folder / "pki"
        self.processes: list[Process] = []
        self.port = free_port()
        self.address = f"https://127.0.0.1:{self.port}"
        self.kubeconfig = folder / "kubeconfig"
        self.token = "admin-" + secrets.token_hex(16)

    # --- start and stop ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start all parts; takes some five seconds."""
        folder = server_folder("kubernetes")
        self._certificates()
        store, peer = free_port(), free_port()
        etcd = self._run(
            "etcd",
            server_folder("etcd") / "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{store}",
            f"--advertise-client-urls=http://127.0.0.1:{store}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",  # a test cluster is never recovered
        )
        etcd.wait_until(lambda: listens(store))
        api = self._run(
            "kube-apiserver",
            folder / "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{store}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",  # it need not publish an address that is not loopback
            "--service-cluster-ip-range=10.96.0.0/24",
            f"--tls-cert-file={self.pki / 'api.crt'}",
            f"--tls-private-key-file={self.pki / 'api.key'}",
            f"--client-ca-file={self.pki / 'ca.crt'}",
            f"--token-auth-file={self.pki / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            f"--service-account-key-file={self.pki / 'sa.pub'}",
            f"--service-account-signing-key-file={self.pki / 'sa.key'}",
            f"--service-account-issuer={self.address}",
            f"--api-audiences={self.address},vault",
        )
        self._write_kubeconfig()
        api.wait_until(lambda: self.try_kubectl("get", "--raw", "/readyz").returncode == 0)
        kubeconfig = f"--kubeconfig={self.kubeconfig}"
        self._run(
            "kube-controller-manager",
            folder / "kube-controller-manager",
            kubeconfig,
            "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}",
            "--leader-elect=false",
            f"--service-account-private-key-file={self.pki / 'sa.key'}",
            f"--root-ca-file={self.pki / 'ca.crt'}",
            "--controllers=*",
            # A simulated node never fails; on a busy machine its lease is only late.
            "--node-monitor-grace-period=20m",
        )
        self._run(
            "kube-scheduler",
            folder / "kube-scheduler",
            kubeconfig,
            "--bind-address=127.0.0.1",
            f"--secure-port={free_port()}",
            "--leader-elect=false",
        )
        self._run(
            "kwok",
            server_folder("kwok") / "kwok",
            f"--config={self._stages()}",
            kubeconfig,
            "--manage-all-nodes=true",
            "--node-ip=127.0.0.1",
            f"--server-address=127.0.0.1:{free_port()}",
            # Without leases the node controller marks every pod as not ready after 40 s.
            "--node-lease-duration-seconds=40",
        )
        for name in ("node-0", "node-1"):
            self.apply(
                {
                    "apiVersion": "v1",
                    "kind": "Node",
                    "metadata": {
                        "name": name,
                        "annotations": {"kwok.x-k8s.io/node": "fake"},
                        "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
                    },
                }
            )
        eventually(lambda: self.exists("serviceaccount", "default", "default"), 60, "controllers run")

    def stop(self) -> None:
        """End everything, last started first."""
        for process in reversed(self.processes):
            process.stop()

    def run(self, name: str, *command: str | Path, env: dict[str, str] | None = None) -> Process:
        """Start a further process that belongs to the cluster and ends with it."""
        return self._run(name, *command, env=env)

    def _run(self, name: str, *command: str | Path, env: dict[str, str] | None = None) -> Process:
        process = Process(name, command, self.logs, env=env, cwd=self.folder)
        self.processes.append(process)
        return process

    def _certificates(self) -> None:
        self.pki.mkdir(parents=True)
        names = (
            "IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,"
            "DNS:kubernetes.default.svc"
        )
        (self.pki / "names").write_text(f"subjectAltName={names}")
        (self.pki / "tokens.csv").write_text(f'{self.token},admin,admin,"system:masters"\n')
        openssl = needs("openssl")
        for command in (
            "req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=test-ca -keyout ca.key -out ca.crt",
            "req -newkey rsa:2048 -nodes -subj /CN=kube-apiserver -keyout api.key -out api.csr",
            "x509 -req -in api.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -out api.crt -extfile names",
            "genrsa -out sa.key 2048",
            "rsa -in sa.key -pubout -out sa.pub",
        ):
            subprocess.run([openssl, *command.split()], cwd=self.pki, check=True, capture_output=True)

    def _write_kubeconfig(self) -> None:
        self.kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [
                        {
                            "name": "test",
                            "cluster": {
                                "server": self.address,
                                "certificate-authority": str(self.pki / "ca.crt"),
                            },
                        }
                    ],
                    "users": [{"name": "admin", "user": {"token": self.token}}],
                    "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
                    "current-context": "test",
                }
            )
        )

    def _stages(self) -> Path:
        own = server_folder("kwok") / "stage" / "pod" / "fast"
        parts = [HERE / "kwok-stages.yaml", own / "pod-ready.yaml"]
        stages = self.folder / "kwok-stages.yaml"
        stages.write_text("\n---\n".join(part.read_text(encoding="utf-8") for part in parts))
        return stages

    # --- kubectl -------------------------------------------------------------------------------------------------

    def try_kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl against this cluster, whatever comes of it."""
        return subprocess.run(
            [needs("kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl and return what it prints. Raises ServerError with what it said."""
        done = self.try_kubectl(*arguments, stdin=stdin)
        if done.returncode != 0:
            raise ServerError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> str:
        """Apply objects as Argo CD does (three-way merge), with strict validation.

        Not --server-side: a Service's selector is atomic there, so applying the manifest again would take away the
        hash that the Rollouts controller added and open the active Service to every version.
        """
        return self.kubectl("apply", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(objects))

    def apply_crds(self, folder: Path) -> None:
        """Install the CRDs of a kustomization and wait until the API server knows them."""
        self.kubectl("apply", "--server-side", "-k", str(folder))
        # Not `kubectl wait`, which fails on a CRD that is so new that it has no conditions at all.
        eventually(self._crds_established, 60, f"the CRDs of {folder}")

    def _crds_established(self) -> bool:
        for crd in json.loads(self.kubectl("get", "crd", "-o", "json"))["items"]:
            conditions = {c["type"]: c["status"] for c in crd.get("status", {}).get("conditions") or []}
            if conditions.get("Established") != "True":
                return False
        return True

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        """One object."""
        found = json.loads(self.kubectl("-n", namespace, "get", kind, name, "-o", "json"))
        assert isinstance(found, dict)
        return found

    def items(self, kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        """All objects of a kind in a namespace."""
        extra = ["-l", selector] if selector else []
        found = json.loads(self.kubectl("-n", namespace, "get", kind, *extra, "-o", "json"))["items"]
        assert isinstance(found, list)
        return found

    def exists(self, kind: str, name: str, namespace: str) -> bool:
        """Whether there is such an object."""
        return self.try_kubectl("-n", namespace, "get", kind, name).returncode == 0

    def service_account_token(
        self, name: str, namespace: str, audience: str | None = None, duration: str = "1h"
    ) -> str:
        """A token as the kubelet would project it into a pod of this ServiceAccount."""
        extra = [f"--audience={audience}"] if audience else []
        made = self.kubectl("-n", namespace, "create", "token", name, f"--duration={duration}", *extra)
        return made.strip()


class PodEndings:
    """Lets the simulated pods of Jobs and Workflows end, with the exit code that a test wants.

    outcome(pod) is asked for each running pod of a Job or Workflow; a number ends it, None lets it run.
    """

    def __init__(self, cluster: Cluster, outcome: Callable[[dict[str, Any]], int | None]) -> None:
        self.outcome = outcome
        self.ended: list[dict[str, Any]] = []
        self._cluster = cluster
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._watch_or_keep_error, daemon=True)

    def __enter__(self) -> "PodEndings":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(60)
        if self._error:
            raise self._error

    def _watch_or_keep_error(self) -> None:
        """An exception would vanish with its thread, and the test would wait in vain without a reason."""
        try:
            self._watch()
        except Exception as error:
            self._error = error

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            done = self._cluster.try_kubectl("get", "pods", "-A", "-o", "json")
            if done.returncode != 0:
                continue
            for pod in json.loads(done.stdout)["items"]:
                self._end(pod)

    def _end(self, pod: dict[str, Any]) -> None:
        metadata = pod["metadata"]
        owners = {owner["kind"] for owner in metadata.get("ownerReferences", [])}
        decided = "sim/exit-code" in metadata.get("annotations", {})
        if not owners & {"Job", "Workflow"} or pod["status"].get("phase") != "Running" or decided:
            return
        code = self.outcome(pod)
        if code is None:
            return
        done = self._cluster.try_kubectl(
            "-n", metadata["namespace"], "annotate", "pod", metadata["name"], f"sim/exit-code={code}"
        )
        if done.returncode == 0:
            self.ended.append(pod)
