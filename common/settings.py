"""What several rooms need to know of the outside world, from ``CHANDRA_*`` variables."""

from functools import lru_cache
from pathlib import Path

from platformdirs import user_cache_path
from pydantic import AliasChoices, Field, HttpUrl, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class SharedSettings(BaseSettings):
    """The cache, and the service that OpenAI's interface is spoken with."""

    model_config = SettingsConfigDict(
        env_prefix="CHANDRA_", env_ignore_empty=True, frozen=True, populate_by_name=True
    )

    cache: bool = True
    """Whether embeddings and written summaries are kept on disk between runs."""

    cache_dir: Path = Field(default_factory=lambda: user_cache_path("chandra-search"))
    """Folder of the cache; it can be deleted at any time."""

    cache_gb: float = Field(default=10.0, gt=0)
    """Size in GiB above which what was kept or used longest ago is deleted."""

    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("CHANDRA_OPENAI_API_KEY", "OPENAI_API_KEY")
    )

    openai_base_url: HttpUrl | None = Field(
        default=None, validation_alias=AliasChoices("CHANDRA_OPENAI_BASE_URL", "OPENAI_BASE_URL")
    )
    """Another service with the same interface; None is OpenAI itself."""

    openai_timeout_s: float = Field(default=60.0, gt=0)
    """How long to wait for an answer before the request is repeated."""

    openai_max_retries: int = Field(default=5, ge=0)
    """Repetitions after a time-out, a 429 or a 5xx, later each time or as Retry-After says."""

    openai_requests_per_minute: float = Field(default=500.0, gt=0)
    """Most requests begun in a minute by one process."""


@lru_cache
def get_settings() -> SharedSettings:
    """Return the settings, read when first asked for."""
    return SharedSettings()
