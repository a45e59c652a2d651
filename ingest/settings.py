"""Limits and addresses of the outside world, from ``CHANDRA_*`` variables."""

from functools import lru_cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class IngestSettings(BaseSettings):
    """Settings of the readers; sizes are checked before anything is read."""

    model_config = SettingsConfigDict(env_prefix="CHANDRA_", frozen=True)

    max_file_mb: float = Field(default=512.0, gt=0)
    """Largest input file, after decompression, in MiB."""

    max_text_characters: int = Field(default=50_000, gt=0)
    """Longest abstract or summary section."""


@lru_cache
def get_settings() -> IngestSettings:
    """Return the settings, read when first asked for."""
    return IngestSettings()
