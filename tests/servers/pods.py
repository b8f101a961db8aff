"""A container of a pod as a process: its command, its environment, and its mounts at the paths that the pod has them.

A mount namespace of its own (hence root) gives the process what the pod would have: the stage's environment at
/opt/venv as in the image, a /tmp of its own, the projected ServiceAccount tokens, the names that the DNS would
know. What is not there: another network, another user, a read-only root.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname
from typing import Any

from cluster import Cluster
from processes import Process, needs

ROOT = Path(__file__).resolve().parent.parent.parent
IMAGE = {
    "PATH": "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "PYTHONUNBUFFERED": "1",
    "SPARK_JARS": "/opt/spark-jars",
    "MPLCONFIGDIR": "/tmp/matplotlib",
}
# FOLDER VENV JARS MOUNTS COMMAND...; MOUNTS: "SOURCE TARGET" lines. /tmp comes last: it may hide FOLDER.
ENTER = """
set -e
folder=$1 venv=$2 jars=$3 mounts=$4; shift 4
mount --bind "$folder/hosts" /etc/hosts
mount -t tmpfs tmpfs /run && mkdir /run/opt && mount --rbind /opt /run/opt
mount -t tmpfs tmpfs /opt && mkdir /opt/venv /opt/spark-jars
mount --bind "$venv" /opt/venv && mount --bind "$jars" /opt/spark-jars
# The rest of /opt stays where it is: an interpreter that the environments link to may lie there.
shopt -s nullglob
for part in /run/opt/*/; do
  target=/opt/$(basename "$part")
  [ ! -e "$target" ] || continue
  mkdir "$target" && mount --rbind "$part" "$target"
done
mount -t tmpfs tmpfs /run
while read -r source target; do
  [ -n "$source" ] && [ "$target" != /tmp ] || continue
  mkdir -p "$target" && mount --bind "$source" "$target"
done <<< "$mounts"
mount --bind "$folder/tmp" /tmp
cd /tmp
exec "$@"
"""


@dataclass
class Pod:
    """One container of a pod, ready to start; `tmp` is its /tmp as seen from outside."""

    name: str
    command: list[str]
    env: dict[str, str]
    folder: Path
    tmp: Path = field(init=False)

    def __post_init__(self) -> None:
        self.tmp = self.folder / "tmp"

    def run(self, seconds: float = 900) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.command,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=seconds,
            stdin=subprocess.DEVNULL,
        )

    def start(self, logs: Path) -> Process:
        """Start it and go on; the process must be stopped."""
        return Process(
            self.name, ["env", "-i", *(f"{k}={v}" for k, v in self.env.items()), *self.command], logs
        )


class Pods:
    """Makes processes of pods: knows the cluster, its ConfigMaps and its names."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        # Name -> addresses, as the cluster's DNS would answer.
        self.names: dict[str, list[str]] = {}
        # What envFrom brings: ConfigMap -> its data.
        self.configs: dict[str, dict[str, str]] = {}

    def make(
        self,
        spec: Mapping[str, Any],
        namespace: str,
        name: str,
        command: Sequence[str] | None = None,
        **environment: str,
    ) -> Pod:
        """The pod's first container named otherwise than `wait`; command: instead of the container's own.

        environment: what this machine needs otherwise, an address to listen on for instance.
        """
        container = next(c for c in spec["containers"] if c["name"] != "wait")
        command = [*container["command"], *container.get("args", [])] if command is None else list(command)
        module = command[command.index("-m") + 1]
        folder = self.folder / name
        venv = ROOT / ".venv" / module
        assert (venv / "bin" / "python").exists(), f"{venv} is missing: run make setup"
        # The stage is installed from the checkout, which the pod's own /tmp would hide.
        assert not ROOT.is_relative_to("/tmp"), f"{ROOT}: expected a checkout outside of /tmp"
        for part in ("tmp", "volumes"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        lines = [f"{address} {one}" for one, addresses in self.names.items() for address in addresses]
        (folder / "hosts").write_text("\n".join([f"127.0.0.1 localhost {gethostname()}", *lines, ""]))
        mounts = "\n".join(
            f"{source} {target}" for source, target in self._mounts(spec, container, namespace, folder)
        )
        jars = ROOT / "var" / "cache" / "jars" / "spark_preprocess"
        enter = [needs("unshare"), "--mount", "bash", "-c", ENTER, name, folder, venv, jars, mounts]
        return Pod(
            name,
            [str(part) for part in (*enter, *command)],
            self._environment(container, name) | environment,
            folder,
        )

    def _environment(self, container: Mapping[str, Any], name: str) -> dict[str, str]:
        env = dict(IMAGE)
        for source in container.get("envFrom", []):
            env |= self.configs[source["configMapRef"]["name"]]
        fields = {"status.podIP": "127.0.0.1", "metadata.name": name}
        for variable in container.get("env", []):
            reference = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
            env[variable["name"]] = fields[reference] if reference else variable.get("value", "")
        return env

    def _mounts(
        self, spec: Mapping[str, Any], container: Mapping[str, Any], namespace: str, folder: Path
    ) -> list[tuple[Path, str]]:
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        mounts = []
        for mount in container.get("volumeMounts", []):
            volume, target = volumes[mount["name"]], mount["mountPath"]
            if target == "/tmp" or "subPath" in mount:
                continue
            source = folder / "volumes" / mount["name"]
            source.mkdir(exist_ok=True)
            for one in volume.get("projected", {}).get("sources", []):
                self._project(one, spec["serviceAccountName"], namespace, source)
            mounts.append((source, target))
        return mounts

    def _project(self, source: Mapping[str, Any], account: str, namespace: str, folder: Path) -> None:
        """What the kubelet would write into a projected volume."""
        if "serviceAccountToken" in source:
            token = source["serviceAccountToken"]
            made = self.cluster.service_account_token(account, namespace, token.get("audience"))
            (folder / token["path"]).write_text(made)
        for item in source.get("configMap", {}).get("items", []):
            config = self.cluster.get("configmap", source["configMap"]["name"], namespace)
            (folder / item["path"]).write_text(config["data"][item["key"]])
        for item in source.get("downwardAPI", {}).get("items", []):
            (folder / item["path"]).write_text(namespace)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """The end of what a process printed, for a failed assertion."""
    return f"ended with {done.returncode}: {done.stdout[-3000:]}{done.stderr[-2000:]}"


def events(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """Its log lines."""
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
