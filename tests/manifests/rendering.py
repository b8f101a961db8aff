"""The manifests as kustomize renders them, and the stored renderings that a reviewer reads."""

import re
import subprocess
from pathlib import Path

RENDERED = ("base", "drift", "components/minio", "components/mlflow", "components/mlserver")
GOLDEN = Path(__file__).resolve().parent / "golden"


def render(folder: Path) -> str:
    """The objects of a kustomization as Argo CD applies them."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def without_release(text: str) -> str:
    """Digests and hashes left out: those are the release file's, with tests of its own."""
    text = re.sub(r"@sha256:[0-9a-f]{64}", "@sha256:DIGEST", text)
    text = re.sub(r"image: \S+/([a-z-]+@)", r"image: REGISTRY/\1", text)
    text = re.sub(r"value: \S+/([a-z-]+@sha256:DIGEST)", r"value: REGISTRY/\1", text)
    return re.sub(r"(name: [a-z-]+)-[0-9a-f]{10}$", r"\1-HASH", text, flags=re.MULTILINE)
