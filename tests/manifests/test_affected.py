"""Which stage is built for which change."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def affected(repository: Path) -> ModuleType:
    path = repository / ".github" / "scripts" / "affected.py"
    spec = importlib.util.spec_from_file_location("affected", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STAGES = {"data_fetch", "spark_preprocess", "ml_training", "model_serving", "drift_detection", "perf"}


@pytest.mark.parametrize(
    ("path", "stages"),
    [
        ("data_fetch/src/data_fetch/cli.py", {"data_fetch"}),
        ("perf/src/perf/gate.py", {"perf"}),
        ("libs/github_client/src/github_client/errors.py", {"data_fetch", "model_serving"}),
        ("libs/model_registry/src/model_registry/artifacts.py", {"model_serving", "drift_detection", "perf"}),
        ("libs/pr_features/src/pr_features/rows.py", {"data_fetch", "spark_preprocess", "ml_training"}),
        ("libs/stage_runtime/src/stage_runtime/vault.py", STAGES),
        (".github/base-image", STAGES),
        (".github/scripts/build-image.sh", STAGES),
        ("argo-apps/base/release/kustomization.yaml", set()),  # its own commits start no build
        ("argo-apps/base/data-fetch.yaml", set()),
        ("data_fetch/README.md", set()),
        ("tests/data_fetch/test_cli.py", set()),
        ("data_fetch_extra/x.py", set()),
    ],
)
def test_a_change_builds_the_stages_that_it_goes_into(
    affected: ModuleType, path: str, stages: set[str]
) -> None:
    assert {stage for stage in STAGES if affected.affected(stage, [path])} == stages


def test_there_are_no_other_stages(repository: Path) -> None:
    assert {file.parent.name for file in repository.glob("*/Dockerfile")} == STAGES


def test_an_unknown_base_builds(affected: ModuleType) -> None:
    assert affected.changed("0" * 40, "HEAD") is None
    assert affected.changed("", "HEAD") is None
    assert affected.changed("f" * 40, "HEAD") is None
    assert affected.affected("data_fetch", None) is True


def test_an_unknown_stage_is_refused(affected: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no stage nonsense"):
        affected.affected("nonsense", ["x"])
