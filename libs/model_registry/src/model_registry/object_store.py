"""S3 in any flavour: DigitalOcean Spaces, MinIO, AWS."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class S3Access:
    """Endpoint (None: AWS) and keys; empty keys leave it to boto3's own chain (environment, instance role)."""

    endpoint: str | None = None
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)


def s3_client(access: S3Access, *, timeout_seconds: float = 10.0) -> tuple[Any, tuple[type[Exception], ...]]:
    """A boto3 client with time limits, and the exceptions that mean "the store does not do it now"."""
    # Imported here: it costs half a second and most services never touch S3.
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.session.Session().client(
        "s3",
        endpoint_url=access.endpoint or os.environ.get("MLFLOW_S3_ENDPOINT_URL") or None,
        aws_access_key_id=access.access_key or None,
        aws_secret_access_key=access.secret_key or None,
        region_name=os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
        config=Config(
            connect_timeout=timeout_seconds,
            read_timeout=timeout_seconds,
            retries={"max_attempts": 2, "mode": "standard"},
            s3={"addressing_style": "path"},
        ),
    )
    return client, (BotoCoreError, ClientError)
