"""``python -m spark_preprocess executor``: what an executor's pod runs.

Spark on Kubernetes starts its executors with this one argument and tells them the rest by environment
variables. Spark's own images have a shell script for it, which PySpark from PyPI lacks. The names are those of
Spark 4.3's BasicExecutorFeatureStep.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from stage_runtime.exits import WrongSettings

_BACKEND = "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend"
_FLAGS = {
    "--driver-url": "SPARK_DRIVER_URL",
    "--executor-id": "SPARK_EXECUTOR_ID",
    "--cores": "SPARK_EXECUTOR_CORES",
    "--app-id": "SPARK_APPLICATION_ID",
    "--hostname": "SPARK_EXECUTOR_POD_IP",
    "--resourceProfileId": "SPARK_RESOURCE_PROFILE_ID",
    "--podName": "SPARK_EXECUTOR_POD_NAME",
}
_OPTION = "SPARK_JAVA_OPT_"


def command(environ: Mapping[str, str], spark_home: Path) -> list[str]:
    """The JVM's command line. Raises WrongSettings outside of an executor's pod."""
    missing = [name for name in (*_FLAGS.values(), "SPARK_EXECUTOR_MEMORY") if not environ.get(name)]
    if missing:
        raise WrongSettings(
            f"The command executor is for pods that Spark has made: expected {missing[0]} in the environment, "
            "found none. Start the stage without it."
        )
    home = environ.get("JAVA_HOME")
    java = str(Path(home) / "bin" / "java") if home else "java"
    numbered = {
        int(name.removeprefix(_OPTION)): value for name, value in environ.items() if name.startswith(_OPTION)
    }
    memory = environ["SPARK_EXECUTOR_MEMORY"]
    parts = [environ.get("SPARK_CONF_DIR"), environ.get("SPARK_CLASSPATH"), f"{spark_home}/jars/*"]
    return [
        java,
        *(numbered[number] for number in sorted(numbered)),
        f"-Xms{memory}",
        f"-Xmx{memory}",
        "-cp",
        ":".join(part for part in parts if part),
        _BACKEND,
        *(word for flag, name in _FLAGS.items() for word in (flag, environ[name])),
    ]


def become_executor() -> None:
    """Replace this process by the executor's JVM, so that signals reach it. Raises WrongSettings."""
    found = find_spec("pyspark")
    assert found is not None and found.origin is not None
    spark_home = Path(found.origin).parent
    os.environ.setdefault("SPARK_HOME", str(spark_home))
    os.environ["PYSPARK_PYTHON"] = sys.executable
    words = command(os.environ, spark_home)
    os.execvp(words[0], words)  # noqa: S606 - no shell: options may hold anything
