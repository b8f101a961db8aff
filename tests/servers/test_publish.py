"""What the publish job does, on a real registry and with the real cosign: push by digest, signature, list of parts."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Process, free_port, listens, needs, server_folder

ROOT = Path(__file__).resolve().parent.parent.parent
COMMIT = "0123456789abcdef0123456789abcdef01234567"
# No certificate and no transparency log here: a key of our own, as COSIGN_OPTIONS is for.
OFFLINE = "--tlog-upload=false --allow-insecure-registry"
CHECK = ["--insecure-ignore-tlog", "--allow-insecure-registry"]
PARTS = {
    "spdxVersion": "SPDX-2.3",
    "SPDXID": "SPDXRef-DOCUMENT",
    "name": "stage:tested",
    "dataLicense": "CC0-1.0",
    "documentNamespace": "https://example.invalid/stage",
    "creationInfo": {"created": "2026-11-23T00:00:00Z", "creators": ["Tool: test"]},
    "packages": [],
}


class Publisher:
    """The job's machine: an engine with a storage of its own, a registry, and the artifact of the job before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        port = free_port()
        self.registry = f"127.0.0.1:{port}"
        (folder / "storage.conf").write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n'
        )
        (folder / "registries.conf").write_text(
            f'[[registry]]\nlocation = "{self.registry}"\ninsecure = true\n'
        )
        self.env = {
            "PATH": f"{server_folder('cosign')}:{server_folder('crane')}:{os.environ['PATH']}",
            "HOME": str(folder),
            "ENGINE": "buildah",
            "STORAGE_DRIVER": "vfs",
            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(folder / "registries.conf"),
            "COSIGN_PASSWORD": "",
            "COSIGN_OPTIONS": f"--key {folder}/cosign.key {OFFLINE}",
            "REGISTRY": f"{self.registry}/team",
            "GITHUB_SHA": COMMIT,
            "GITHUB_OUTPUT": str(folder / "output"),
        }
        serve = [server_folder("crane") / "crane", "registry", "serve", "--address", self.registry]
        self.process = Process("registry", serve, folder / "log")
        self.process.wait_until(lambda: listens(port))
        self.run("cosign", "generate-key-pair")
        self._artifact()

    def _artifact(self) -> None:
        """stage:tested and its list of parts, as the job `image` hands them on."""
        (self.folder / "content").write_text("what was tested\n")
        container = self.run("buildah", "from", "scratch").strip()
        self.run("buildah", "add", "--quiet", container, str(self.folder / "content"), "/content")
        self.run("buildah", "commit", "--quiet", container, "stage:tested")
        self.run("buildah", "rm", container)
        archive = self.folder / "image.tar"
        self.run("buildah", "push", "--quiet", "stage:tested", f"docker-archive:{archive}:stage:tested")
        self.run("buildah", "rmi", "--all", "--force")
        self.run("zstd", "-q", str(archive), "-o", str(archive) + ".zst")
        (self.folder / "sbom.spdx.json").write_text(json.dumps(PARTS))

    def run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [program, *arguments], env=self.env, cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{program} {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def publish(self, **environment: str) -> subprocess.CompletedProcess[str]:
        script = ROOT / ".github" / "scripts" / "publish-image.sh"
        return subprocess.run(
            [script, "data_fetch", self.folder], env=self.env | environment, cwd=ROOT,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    for program in ("buildah", "zstd"):
        needs(program)
    made = Publisher(tmp_path_factory.mktemp("publish"))
    yield made
    made.process.stop()


def test_the_tested_image_is_pushed_signed_and_named_by_its_digest(publisher: Publisher) -> None:
    done = publisher.publish()
    assert done.returncode == 0, done.stdout + done.stderr
    name = f"{publisher.registry}/team/data-fetch"
    line = (publisher.folder / "output").read_text().strip()
    # The line is what the next step reads as steps.push.outputs.reference.
    reference = line.removeprefix("reference=")
    assert line == f"reference={name}@{publisher.run('crane', 'digest', f'{name}:{COMMIT}').strip()}"
    # The same content, not another build of it.
    exported = publisher.run("crane", "export", reference, str(publisher.folder / "found.tar"))
    assert exported == ""
    files = publisher.run("tar", "--extract", "--to-stdout", "--file", "found.tar", "content")
    assert files == "what was tested\n"
    key = str(publisher.folder / "cosign.pub")
    (signed,) = json.loads(publisher.run("cosign", "verify", "--key", key, *CHECK, reference))
    assert signed["critical"]["image"]["docker-manifest-digest"] == reference.split("@")[1]
    publisher.run("cosign", "verify-attestation", "--key", key, "--type", "spdxjson", *CHECK, reference)


def test_a_registry_out_of_reach_ends_it_without_a_reference(publisher: Publisher) -> None:
    output = publisher.folder / "none"
    done = publisher.publish(REGISTRY="127.0.0.1:9/team", GITHUB_OUTPUT=str(output))
    assert done.returncode != 0
    assert not output.exists()
    assert "reference=" not in done.stdout


def test_a_refused_login_says_so_and_shows_no_password(publisher: Publisher) -> None:
    done = publisher.publish(
        REGISTRY="127.0.0.1:9/team", REGISTRY_USER="robot", REGISTRY_PASSWORD="secret-password-value"
    )
    assert done.returncode != 0
    assert "127.0.0.1:9" in done.stderr
    assert "secret-password-value" not in done.stdout + done.stderr
