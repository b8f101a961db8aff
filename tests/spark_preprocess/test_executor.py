"""The command line that an executor's pod runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from spark_preprocess.cli import main
from spark_preprocess.executor import command
from stage_runtime.exits import WrongSettings

ENVIRONMENT = {
    "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@10.0.0.5:7078",
    "SPARK_EXECUTOR_ID": "1",
    "SPARK_EXECUTOR_CORES": "2",
    "SPARK_APPLICATION_ID": "spark-abc",
    "SPARK_EXECUTOR_POD_IP": "10.0.0.6",
    "SPARK_RESOURCE_PROFILE_ID": "0",
    "SPARK_EXECUTOR_POD_NAME": "exec-1",
    "SPARK_EXECUTOR_MEMORY": "2048m",
    "SPARK_CLASSPATH": "/opt/spark-jars/*",
    "SPARK_CONF_DIR": "/opt/spark/conf",
    **{f"SPARK_JAVA_OPT_{i}": f"-Dnumber={i}" for i in range(12)},
}


def test_command() -> None:
    words = command(ENVIRONMENT, Path("/opt/pyspark"))
    assert words[0] == "java"
    assert words[1:13] == [f"-Dnumber={i}" for i in range(12)]  # by number, not by text
    assert words[13:17] == [
        "-Xms2048m",
        "-Xmx2048m",
        "-cp",
        "/opt/spark/conf:/opt/spark-jars/*:/opt/pyspark/jars/*",
    ]
    assert words[17].endswith("k8s.KubernetesExecutorBackend")
    flags = dict(zip(words[18::2], words[19::2], strict=True))
    assert flags["--driver-url"] == ENVIRONMENT["SPARK_DRIVER_URL"]
    assert flags["--podName"] == "exec-1" and len(flags) == 7


def test_outside_of_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_DRIVER_URL", raising=False)
    with pytest.raises(WrongSettings, match="expected SPARK_DRIVER_URL"):
        main(["executor"])
