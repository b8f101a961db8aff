"""Settings of a data root: a folder, or a bucket on any S3."""

from typing import ClassVar

from pydantic import Field, SecretStr

from stage_runtime.settings import StageSettings


class DataRootSettings(StageSettings):
    """Where a stage reads and writes what others write and read, and how to get there."""

    vault_keys: ClassVar[frozenset[str]] = frozenset(
        {"do_spaces_endpoint", "do_spaces_bucket", "do_spaces_access_key", "do_spaces_secret_key"}
    )

    data_root: str = Field(
        default="",
        description="folder or s3a://bucket/prefix; empty: s3a://DO_SPACES_BUCKET where a bucket is set, else var/data",
    )
    do_spaces_endpoint: str = Field(default="", description="address of the S3 service; empty for Amazon's")
    do_spaces_bucket: str = Field(default="", description="bucket, where DATA_ROOT names none")
    do_spaces_access_key: SecretStr = Field(default=SecretStr(""), description="S3 access key")
    do_spaces_secret_key: SecretStr = Field(default=SecretStr(""), description="S3 secret key")

    @property
    def root_address(self) -> str:
        """The data root that was meant."""
        if self.data_root:
            return self.data_root
        return f"s3a://{self.do_spaces_bucket}" if self.do_spaces_bucket else "var/data"
