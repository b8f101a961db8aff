"""The manifests as kustomize renders them, and the stored renderings that a reviewer reads."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import yaml

# Applications of their own, and what is added to the first of them.
RENDERED = ("base", "drift", "components/minio", "components/mlflow", "components/mlserver")
ADDITIONS = ("components/monitoring", "components/drift-alerts", "components/prometheus-analysis")
GOLDEN = Path(__file__).resolve().parent / "golden"


def render(folder: Path) -> str:
    """The objects of a kustomization as Argo CD applies them."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def render_addition(folder: Path) -> str:
    """The objects that a component adds to the base or changes there."""
    argo_apps = folder.parent.parent
    with tempfile.TemporaryDirectory() as scratch:
        # As Argo CD does it: one more component of the base itself, whose namespace and labels reach it.
        shutil.copytree(argo_apps / "base", Path(scratch, "base"))
        shutil.copytree(folder, Path(scratch, "components", folder.name))
        file = Path(scratch, "base", "kustomization.yaml")
        kustomization = yaml.safe_load(file.read_text())
        kustomization["components"].append(f"../components/{folder.name}")
        file.write_text(yaml.safe_dump(kustomization))
        with_it = render(file.parent).split("\n---\n")
    without = set(render(argo_apps / "base").split("\n---\n"))
    return "\n---\n".join(one for one in with_it if one not in without)


def stored() -> dict[str, str]:
    """What the golden files hold: name -> the rendering of today."""
    argo_apps = GOLDEN.parent.parent.parent / "argo-apps"
    found = {name: render(argo_apps / name) for name in RENDERED}
    found |= {name: render_addition(argo_apps / name) for name in ADDITIONS}
    return {name: without_release(text) for name, text in found.items()}


def without_release(text: str) -> str:
    """Digests and hashes left out: those are the release file's, with tests of its own."""
    text = re.sub(r"@sha256:[0-9a-f]{64}", "@sha256:DIGEST", text)
    text = re.sub(r"image: \S+/([a-z-]+@)", r"image: REGISTRY/\1", text)
    text = re.sub(r"value: \S+/([a-z-]+@sha256:DIGEST)", r"value: REGISTRY/\1", text)
    return re.sub(r"(name: [a-z-]+)-[0-9a-f]{10}$", r"\1-HASH", text, flags=re.MULTILINE)
