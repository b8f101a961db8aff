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


@pytest.mark.parametrize(
    ("path", "stages"),
    [
        ("data_fetch/src/data_fetch/cli.py", {"data_fetch"}),
        ("libs/pr_features/src/pr_features/rows.py", {"data_fetch", "spark_preprocess", "ml_training"}),
        (
            "libs/stage_runtime/src/stage_runtime/vault.py",
            {"data_fetch", "spark_preprocess", "ml_training", "model_serving"},
        ),
        (".github/base-image", {"data_fetch", "spark_preprocess", "ml_training", "model_serving"}),
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
    built = {
        stage
        for stage in ("data_fetch", "spark_preprocess", "ml_training", "model_serving")
        if affected.affected(stage, [path])
    }
    assert built == stages


def test_an_unknown_base_builds(affected: ModuleType) -> None:
    assert affected.changed("0" * 40, "HEAD") is None
    assert affected.changed("", "HEAD") is None
    assert affected.changed("f" * 40, "HEAD") is None
    assert affected.affected("data_fetch", None) is True


def test_an_unknown_stage_is_refused(affected: ModuleType) -> None:
    with pytest.raises(SystemExit, match="no stage nonsense"):
        affected.affected("nonsense", ["x"])
