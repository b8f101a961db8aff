"""Starting and ending Spark: one session for the run, one temporary folder, nothing left behind."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pyspark.sql import SparkSession
from stage_runtime.exits import WrongSettings

from .jars import missing_jars
from .settings import Settings

LOG_SETTINGS = Path(__file__).with_name("log4j2.properties")
EXECUTOR_POD = Path(__file__).with_name("executor-pod.yaml")
DRIVER_PORT, BLOCK_MANAGER_PORT = 7078, 7079  # fixed, so that a NetworkPolicy can name them
STOP_SECONDS = 30.0


@contextlib.contextmanager
def spark_session(settings: Settings) -> Iterator[SparkSession]:
    """Spark for the length of a block. Raises WrongSettings without its jars or a Java runtime.

    Temporary files lie in one folder, removed here, or by the JVM's own exit when this process is killed.
    """
    jars = _jars(settings)
    scratch = Path(tempfile.mkdtemp(prefix="spark-preprocess-", dir=settings.spark_local_dir or None))
    try:
        with _started(settings, jars, scratch) as spark:
            yield spark
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _started(settings: Settings, jars: Path, scratch: Path) -> Iterator[SparkSession]:
    # Another Spark of this machine, or a folder of its own for temporary files, would win over ours.
    for name in ("SPARK_HOME", "SPARK_CONF_DIR", "PYSPARK_SUBMIT_ARGS", "SPARK_LOCAL_DIRS"):
        os.environ.pop(name, None)
    # The workers run this very interpreter, whatever "python3" means on the path.
    logging.getLogger("py4j").setLevel(logging.WARNING)  # it tells of each connection that it closes
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    builder = SparkSession.builder.appName("spark_preprocess").master(settings.spark_master)
    for key, value in properties(settings, jars, scratch).items():
        builder = builder.config(key, value)
    java = _java_problem()
    if java:
        raise WrongSettings(java)
    spark = builder.getOrCreate()
    gateway = spark.sparkContext._gateway
    try:
        jvm = spark._jvm
        assert jvm is not None
        # Python killed by SIGKILL: the JVM sees its end of the pipe close, exits and removes this folder.
        jvm.org.apache.spark.util.ShutdownHookManager.registerShutdownDeleteDir(
            jvm.java.io.File(str(scratch))
        )
        _give_keys(spark, settings)
        yield spark
    finally:
        with _signals_held():
            spark.stop()
            if gateway is not None:
                _end_jvm(gateway)


def properties(settings: Settings, jars: Path, scratch: Path) -> dict[str, str]:
    """Spark's properties for these settings. No secret is among them: they stand on a command line."""
    options = [
        f"-Dlog4j2.configurationFile={LOG_SETTINGS.as_uri()}",
        f"-Djava.io.tmpdir={scratch}",
        "-XX:-UsePerfData",  # no /tmp/hsperfdata_*
    ]
    if not settings.on_kubernetes:
        # On one machine most of the work is Python's, and the JVM's share is over before its second
        # compiler has paid off: half the processor time of a small run (50 s to 25 s) was spent in it.
        options += ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
    found = {
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.driver.extraJavaOptions": " ".join(options),
        # The class path and not spark.jars: those would be copied to a temporary folder at each start.
        "spark.driver.extraClassPath": f"{jars}/*",
        "spark.executor.extraClassPath": f"{jars}/*",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.ui.enabled": str(settings.spark_ui).lower(),
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.adaptive.coalescePartitions.parallelismFirst": "false",
        # Documents differ in size by a factor of a thousand; a batch is bounded by bytes as well.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "1000",
        "spark.sql.execution.arrow.maxBytesPerBatch": "16777216",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.rdd.compress": "true",
        "spark.io.compression.codec": "zstd",
        "spark.redaction.regex": "(?i)secret|password|passphrase|token|key|uri|url",
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "true",
        "spark.hadoop.parquet.summary.metadata.level": "NONE",
    }
    if settings.on_kubernetes:
        found |= _kubernetes(settings)
    else:
        found |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    if settings.on_object_store:
        found |= _object_store(settings)
    else:
        # Files whose checksums are in the manifest need no hidden .crc file beside each.
        found["spark.hadoop.fs.file.impl"] = "org.apache.hadoop.fs.RawLocalFileSystem"
    return found | dict(entry.split("=", 1) for entry in settings.spark_conf)


def _object_store(settings: Settings) -> dict[str, str]:
    """S3A with the magic committer: nothing is renamed, a killed job leaves no half-written object."""
    committer = "org.apache.spark.internal.io.cloud"
    found = {
        "spark.hadoop.fs.s3a.committer.name": "magic",
        "spark.hadoop.fs.s3a.committer.magic.enabled": "true",
        "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3a": (
            "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory"
        ),
        "spark.sql.sources.commitProtocolClass": f"{committer}.PathOutputCommitProtocol",
        "spark.sql.parquet.output.committer.class": f"{committer}.BindingParquetOutputCommitter",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.buffer.dir": "${java.io.tmpdir}/s3a",
        "spark.hadoop.fs.s3a.connection.establish.timeout": "10s",
        "spark.hadoop.fs.s3a.attempts.maximum": "3",
        "spark.hadoop.fs.s3a.retry.limit": "3",
    }
    endpoint = settings.do_spaces_endpoint
    if endpoint:
        found["spark.hadoop.fs.s3a.endpoint"] = endpoint
        found["spark.hadoop.fs.s3a.connection.ssl.enabled"] = str(not endpoint.startswith("http://")).lower()
        # Stores other than Amazon's ignore the region, but the SDK signs with one.
        found["spark.hadoop.fs.s3a.endpoint.region"] = "us-east-1"
    return found


def _kubernetes(settings: Settings) -> dict[str, str]:
    """Executors as pods of the same image; this process, in its own pod, is the driver."""
    found = {
        "spark.kubernetes.container.image": settings.spark_image,
        "spark.kubernetes.namespace": settings.spark_namespace,
        "spark.kubernetes.executor.podTemplateFile": str(EXECUTOR_POD),
        "spark.kubernetes.executor.podTemplateContainerName": "executor",
        "spark.executor.instances": str(settings.spark_executors),
        "spark.executor.cores": str(settings.spark_executor_cores),
        "spark.executor.memory": settings.spark_executor_memory,
        "spark.executor.memoryOverheadFactor": "0.6",  # the Python workers live in it
        "spark.driver.host": settings.spark_driver_host,
        "spark.driver.bindAddress": "0.0.0.0",  # noqa: S104 - executors connect from their own pods
        "spark.driver.port": str(DRIVER_PORT),
        "spark.driver.blockManager.port": str(BLOCK_MANAGER_PORT),
        "spark.blockManager.port": str(BLOCK_MANAGER_PORT),
        "spark.executor.extraJavaOptions": (
            f"-XX:-UsePerfData -Dlog4j2.configurationFile={LOG_SETTINGS.as_uri()}"
        ),
    }
    if settings.spark_driver_pod:
        found["spark.kubernetes.driver.pod.name"] = settings.spark_driver_pod
    if settings.spark_executor_service_account:
        account = settings.spark_executor_service_account
        found["spark.kubernetes.authenticate.executor.serviceAccountName"] = account
    # How the driver's Java comes to trust a private authority: executors read MongoDB and S3 too. The password of a
    # trust store, which may stand there, guards public certificates and nothing secret.
    if java_options := os.environ.get("JAVA_TOOL_OPTIONS"):
        found["spark.executorEnv.JAVA_TOOL_OPTIONS"] = java_options
    return found


def _give_keys(spark: SparkSession, settings: Settings) -> None:
    """The object store's keys go to Hadoop's configuration, which travels with each task.

    As Spark properties they would stand on the JVM's command line and in the executors' pods.
    """
    keys = {
        "fs.s3a.access.key": settings.do_spaces_access_key.get_secret_value(),
        "fs.s3a.secret.key": settings.do_spaces_secret_key.get_secret_value(),
    }
    configuration = spark.sparkContext._jsc.hadoopConfiguration()
    for name, value in keys.items():
        if value:
            configuration.set(name, value)


def _jars(settings: Settings) -> Path:
    folder = Path(settings.spark_jars).resolve()
    missing = missing_jars(folder)
    if missing:
        raise WrongSettings(
            f"SPARK_JARS: expected Spark's further Java libraries in {folder}, found {len(missing)} missing "
            f"({missing[0]}, ...). Bring them: python -m spark_preprocess.jars {folder}"
        )
    return folder


def _java_problem() -> str:
    """What is wrong with the Java runtime, or nothing."""
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else "java"
    if shutil.which(java):
        return ""
    where = f"in JAVA_HOME={home}" if home else "on the path"
    return (
        f"Spark needs a Java 17 runtime, found none {where}. Debian: apt-get install openjdk-17-jre-headless"
    )


def _end_jvm(gateway: object) -> None:
    """Wait for the JVM that PySpark started; a later session of this process starts a new one."""
    from pyspark import SparkContext

    process: subprocess.Popen[bytes] | None = getattr(gateway, "proc", None)
    gateway.shutdown()  # type: ignore[attr-defined]
    SparkContext._gateway = None
    SparkContext._jvm = None
    if process is None:
        return
    if process.stdin is not None:
        process.stdin.close()  # the JVM's sign to end
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Hold SIGTERM and SIGINT back, so that an impatient Ctrl-C cannot leave a JVM or a folder."""
    held = {signal.SIGTERM, signal.SIGINT}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
