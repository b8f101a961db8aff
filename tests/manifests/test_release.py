"""The generated file: digests, and Job names that change with what the Job runs and with nothing else."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml


def module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def release(repository: Path) -> ModuleType:
    return module(repository / "argo-apps" / "scripts" / "release.py")


@pytest.fixture
def base(repository: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of argo-apps/base to change."""
    shutil.copytree(repository / "argo-apps" / "base", tmp_path / "base")
    yield tmp_path / "base"


def jobs(release: ModuleType, base: Path) -> dict[str, str]:
    """Stage -> its Job's name, as rendered."""
    names = [o["metadata"]["name"] for o in release.render(base) if o["kind"] == "Job"]
    return {name.rsplit("-", 1)[0]: name for name in names}


def reference(stage: str, digit: str) -> str:
    return f"{stage}=registry.test:5000/team/{stage}@sha256:{digit * 64}"


def test_the_committed_file_fits(release: ModuleType, base: Path) -> None:
    assert release.check(base) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("digest: sha256:" + "0" * 64, "newTag: latest"), "no digest for data-fetch"),
        (("digest: sha256:" + "0" * 64, "digest: sha256:12"), "no digest for data-fetch"),
        (("- name: data-fetch\n", "- name: data-fetched\n"), "data-fetched is none of"),
    ],
)
def test_an_entry_without_a_digest_of_a_stage_does_not_fit(
    release: ModuleType, base: Path, change: tuple[str, str], said: str
) -> None:
    file = base / "release" / "kustomization.yaml"
    file.write_text(file.read_text().replace(*change, 1))
    assert any(problem.startswith(said) for problem in release.check(base))


def test_a_new_digest_renames_its_stages_jobs_only(release: ModuleType, base: Path) -> None:
    before = jobs(release, base)
    assert release.main(["--base", str(base), "set", reference("ml-training", "7")]) == 0
    after = jobs(release, base)
    changed = {stage for stage in before if before[stage] != after[stage]}
    assert changed == {"ml-training", "ml-training-gate"}
    assert release.check(base) == []
    objects = release.render(base)
    (job,) = [o for o in objects if o["metadata"]["name"] == after["ml-training"]]
    image = job["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == "registry.test:5000/team/ml-training@sha256:" + "7" * 64


def test_the_spark_driver_starts_executors_from_its_own_digest(release: ModuleType, base: Path) -> None:
    release.set_images(base, [reference("spark-preprocess", "5")])
    (job,) = [
        o
        for o in release.render(base)
        if o["kind"] == "Job" and o["metadata"]["labels"]["app.kubernetes.io/name"] == "spark-preprocess"
    ]
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "SPARK_IMAGE", "value": container["image"]} in container["env"]


def test_a_changed_setting_renames_the_job_once_the_script_ran(release: ModuleType, base: Path) -> None:
    file = base / "data-fetch.yaml"
    file.write_text(file.read_text().replace("30m", "20m"))
    (problem,) = release.check(base)
    assert "release.py names" in problem
    before = jobs(release, base)
    release.main(["--base", str(base), "names"])
    after = jobs(release, base)
    assert {stage for stage in before if before[stage] != after[stage]} == {"data-fetch"}


def test_a_label_of_the_cron_job_or_a_new_schedule_renames_nothing(release: ModuleType, base: Path) -> None:
    file = base / "data-fetch.yaml"
    file.write_text(file.read_text().replace("17 * * * *", "18 * * * *"))
    assert release.check(base) == []


def test_writing_the_same_again_changes_nothing(release: ModuleType, base: Path) -> None:
    file = base / "release" / "kustomization.yaml"
    before = file.read_bytes()
    release.main(["--base", str(base), "names"])
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "assignment",
    [
        "ml-training=team/x:latest",
        "ml-training=r.test/x@sha256:12",
        "nobody=r.test/x@sha256:" + "1" * 64,
        "x",
    ],
)
def test_what_is_no_digest_of_a_stage_is_refused(
    release: ModuleType, base: Path, assignment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (base / "release" / "kustomization.yaml").read_bytes()
    assert release.main(["--base", str(base), "set", assignment]) == 2
    assert assignment in capsys.readouterr().err
    assert (base / "release" / "kustomization.yaml").read_bytes() == before


def test_a_job_and_its_cron_job_have_one_pod_template(release: ModuleType, base: Path) -> None:
    objects = release.render(base)
    crons = {
        o["metadata"]["name"]: o["spec"]["jobTemplate"]["spec"] for o in objects if o["kind"] == "CronJob"
    }
    found = [o for o in objects if o["kind"] == "Job"]
    assert len(found) == 4
    for job in found:
        assert job["spec"] == crons[job["metadata"]["name"].rsplit("-", 1)[0]]


def test_the_component_is_valid_yaml_with_every_stage(release: ModuleType, base: Path) -> None:
    component = yaml.safe_load((base / "release" / "kustomization.yaml").read_text())
    assert [entry["name"] for entry in component["images"]] == sorted(release.IMAGES)
