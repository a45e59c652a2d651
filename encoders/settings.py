"""How texts are embedded, from ``CHANDRA_*`` variables."""

from functools import lru_cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class EncoderSettings(BaseSettings):
    """Limits of one request for embeddings; the defaults are within OpenAI's."""

    model_config = SettingsConfigDict(env_prefix="CHANDRA_", frozen=True)

    embedding_batch: int = Field(default=512, ge=1, le=2048)
    """Most texts in a request: what a broken-off run may have paid for in vain."""

    embedding_request_tokens: int = Field(default=300_000, ge=1)
    """Most tokens in a request, estimated from the bytes of its texts."""

    embedding_text_tokens: int = Field(default=8_191, ge=1)
    """Longest text in tokens, estimated alike; what exceeds it is cut off, with a warning."""


@lru_cache
def get_settings() -> EncoderSettings:
    """Return the settings, read when first asked for."""
    return EncoderSettings()
