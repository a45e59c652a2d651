"""Limits and addresses of the outside world, from ``CHANDRA_*`` variables."""

from functools import lru_cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class IngestSettings(BaseSettings):
    """Settings of the readers; sizes are checked before anything is read."""

    model_config = SettingsConfigDict(env_prefix="CHANDRA_", env_parse_none_str="none", frozen=True)

    max_file_mb: float = Field(default=512.0, gt=0)
    """Largest input file, after decompression, in MiB."""

    max_text_characters: int = Field(default=50_000, gt=0)
    """Longest abstract or summary section."""

    summary_model: str = "gpt-4o-mini"
    """Language model that writes summaries where they are asked for."""

    summary_threads: int = Field(default=4, ge=1, le=64)
    """Summaries asked for at a time."""

    summary_tokens: int = Field(default=1_000, ge=100)
    """Most tokens of a summary; a cut-off one is asked for again with twice as many."""

    summary_temperature: float | None = Field(default=0.0, ge=0, le=2)
    """0 varies least; ``none`` leaves it to models that do not let it be set."""

    summary_price_read: float | None = Field(default=None, ge=0)
    """US dollars for a million tokens read; None is the price known here, if any."""

    summary_price_written: float | None = Field(default=None, ge=0)
    """US dollars for a million tokens written; None is the price known here, if any."""


@lru_cache
def get_settings() -> IngestSettings:
    """Return the settings, read when first asked for."""
    return IngestSettings()
