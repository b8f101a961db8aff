"""Exceptions of Spark as one sentence and an exit code."""

from __future__ import annotations

import pytest
from spark_preprocess.failures import plain
from stage_runtime.exits import ExitCode

REFUSED = """An error occurred while calling o1.exists.
: java.nio.file.AccessDeniedException: s3a://b/x: org.apache.hadoop.fs.s3a.auth.NoAuthWithAWSException
Caused by: software.amazon.awssdk.services.s3.model.S3Exception: Forbidden (Service: S3, Status Code: 403)"""
NO_BUCKET = """An error occurred while calling o1.delete.
: org.apache.hadoop.fs.s3a.UnknownStoreException: `s3a://nobucket/x': The specified bucket does not exist
Caused by: software.amazon.awssdk.services.s3.model.NoSuchBucketException: (Service: S3, Status Code: 404)"""
AWAY = """An error occurred while calling o1.localCheckpoint.
: org.apache.spark.SparkException: Job aborted due to stage failure
Caused by: com.mongodb.MongoTimeoutException: Timed out after 2000 ms"""
OTHER = "An error occurred while calling o1.save.\n: java.lang.OutOfMemoryError: Java heap space"


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        (REFUSED, ExitCode.WRONG_SETTINGS, "DO_SPACES_ACCESS_KEY"),
        (NO_BUCKET, ExitCode.WRONG_SETTINGS, "bucket of DATA_ROOT does not exist"),
        (AWAY, ExitCode.UNEXPECTED, "MongoTimeoutException"),
        (OTHER, ExitCode.UNEXPECTED, "Spark failed (OutOfMemoryError)"),
        ("", ExitCode.UNEXPECTED, "Spark failed (without a word)"),
    ],
)
def test_plain(text: str, code: ExitCode, named: str) -> None:
    error = plain(text)
    assert error.exit_code == code
    assert named in str(error)
