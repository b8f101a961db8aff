"""Settings: where the root is, what Kubernetes needs, and a README that tells of all."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from spark_preprocess.session import properties
from spark_preprocess.settings import Settings
from stage_runtime import readme

ON_KUBERNETES = {
    "spark_master": "k8s://https://10.0.0.1:6443",
    "spark_image": "registry/spark-preprocess@sha256:0",
    "spark_driver_host": "10.0.0.5",
    "do_spaces_bucket": "bucket",
}


def test_the_readme_shows_every_setting(repository: Path) -> None:
    assert readme.main([str(repository / "spark_preprocess" / "README.md"), "--check"]) == 0


def test_root() -> None:
    assert Settings().root == "var/data"
    assert Settings(do_spaces_bucket="b").root == "s3a://b"
    assert Settings(do_spaces_bucket="b", data_root="s3a://c/d/").root == "s3a://c/d"


@pytest.mark.parametrize("missing", ["spark_image", "spark_driver_host", "do_spaces_bucket"])
def test_kubernetes_needs_all(missing: str) -> None:
    Settings(**ON_KUBERNETES)
    with pytest.raises(ValidationError):
        Settings(**{name: value for name, value in ON_KUBERNETES.items() if name != missing})


def test_no_secret_is_a_spark_property() -> None:
    """They stand on the JVM's command line and in the executors' pods."""
    settings = Settings(
        **ON_KUBERNETES,
        mongo_uri=SecretStr("mongodb://u:hidden-1@h"),
        do_spaces_access_key=SecretStr("hidden-2"),
        do_spaces_secret_key=SecretStr("hidden-3"),
        do_spaces_endpoint="https://store.example",
    )
    found = properties(settings, Path("/jars"), Path("/scratch"))
    assert "hidden" not in repr(found)
    assert found["spark.kubernetes.container.image"] == ON_KUBERNETES["spark_image"]
    assert found["spark.hadoop.fs.s3a.committer.name"] == "magic"


def test_one_machine_listens_on_loopback_alone() -> None:
    found = properties(Settings(spark_conf=("spark.task.maxFailures=2",)), Path("/jars"), Path("/scratch"))
    assert found["spark.driver.bindAddress"] == found["spark.driver.host"] == "127.0.0.1"
    assert found["spark.ui.enabled"] == "false"
    assert found["spark.task.maxFailures"] == "2"


def test_a_property_that_is_none() -> None:
    with pytest.raises(ValidationError, match=r"spark\.task\.maxFailures=4"):
        Settings(spark_conf=("maxFailures",))
