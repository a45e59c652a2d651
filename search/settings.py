"""Where the store is and what the HTTP API allows, from ``CHANDRA_*`` variables."""

from functools import lru_cache
from pathlib import Path

from pydantic import Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


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

    timeout_s: float = Field(default=5.0, gt=0)
    """How long to wait for an answer of the Qdrant server."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)

    max_upload_mb: float = Field(default=64.0, gt=0)
    """Largest file that the HTTP API accepts, in MiB."""

    max_query_characters: int = Field(default=10_000, gt=0)
    """Longest question that is read."""


@lru_cache
def get_settings() -> SearchSettings:
    """Return the settings, read when first asked for."""
    return SearchSettings()
