"""Where the store is and what the HTTP API allows, from ``CHANDRA_*`` variables."""

from functools import lru_cache
from pathlib import Path

from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_RATE = "600/minute"


class SearchSettings(BaseSettings):
    """Settings of the search layer."""

    model_config = SettingsConfigDict(env_prefix="CHANDRA_", frozen=True)

    data_dir: Path = Path("data")
    """Folder of the embedded store and of everything else that is kept."""

    bundle: Path | None = None
    """Model bundle, a folder; None is the one shipped with the package."""

    qdrant_url: HttpUrl | None = None
    """Qdrant server; None is the embedded engine in ``data_dir``."""

    qdrant_api_key: SecretStr | None = None

    qdrant_private_network: bool = False
    """Whether nobody else listens on the way to the server: its key may go there unencrypted."""

    qdrant_shard_number: int | None = Field(default=None, ge=1)
    """Parts of a collection on a cluster; this and the next three act when one is created."""

    qdrant_replication_factor: int | None = Field(default=None, ge=1)
    """Nodes that hold each part."""

    qdrant_write_consistency_factor: int | None = Field(default=None, ge=1)
    """Nodes that must acknowledge a write."""

    qdrant_int8: bool = False
    """Whether the server keeps vectors as bytes in memory, and whole on disk."""

    timeout_s: float = Field(default=5.0, gt=0)
    """How long to wait for an answer of the Qdrant server."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)

    max_upload_mb: float = Field(default=64.0, gt=0)
    """Largest file that the HTTP API accepts, in MiB."""

    max_upload_s: float = Field(default=60.0, gt=0)
    """Longest time that a body may take to arrive, in seconds."""

    uploads_dir: Path | None = None
    """Folder of uploads to be ingested, shared with the workers; None is in ``data_dir``."""

    max_uploads_waiting: int = Field(default=100, gt=0)
    """Uploads that may wait to be ingested; more are told to come again."""

    uploads_kept_days: float = Field(default=30.0, gt=0)
    """How long the outcomes of an upload can be asked for."""

    max_query_characters: int = Field(default=10_000, gt=0)
    """Longest question that is read."""

    api_keys_read: SecretStr = SecretStr("")
    """Keys that may ask, separated by commas; with no key of any kind everything is open."""

    api_keys_ingest: SecretStr = SecretStr("")
    """Keys that may ask and ingest."""

    api_keys_admin: SecretStr = SecretStr("")
    """Keys that may do everything."""

    open: bool = False
    """Whether everybody may ask, from other machines and without a key."""

    rate_limit: str | None = None
    """Most requests of one key or address, ``600/minute`` for instance; empty is no limit, None is
    `DEFAULT_RATE` once there are keys."""

    max_concurrent: int = Field(default=64, gt=0)
    """Questions answered at the same time; more are told to come again."""

    cors_origins: str = ""
    """Web pages of other origins that may ask, ``https://example.org``, separated by commas."""


@lru_cache
def get_settings() -> SearchSettings:
    """Return the settings, read when first asked for."""
    return SearchSettings()
