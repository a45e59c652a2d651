"""What qdrant-client raises, as errors of our own that say what to do."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from json import JSONDecodeError

from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from common.errors import (
    ChandraSearchError,
    InputError,
    InvalidQueryError,
    NotFoundError,
    StoreUnavailableError,
)


@contextmanager
def server_errors(url: str, refused: type[InputError] = InvalidQueryError) -> Iterator[None]:
    """Translate errors of the server at a URL; what it refuses becomes ``refused``."""
    try:
        yield
    except UnexpectedResponse as exc:
        raise _translated(url, exc, refused) from exc
    except (ResponseHandlingException, ResourceExhaustedResponse, JSONDecodeError) as exc:
        raise StoreUnavailableError(
            f"the Qdrant server at {url} does not answer ({exc}): is it running, and is "
            "CHANDRA_QDRANT_URL right?"
        ) from exc


def _translated(url: str, exc: UnexpectedResponse, refused: type[InputError]) -> ChandraSearchError:
    status, reason = exc.status_code or 0, _reason(exc)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return InputError(f"the Qdrant server at {url} refuses the key: set CHANDRA_QDRANT_API_KEY")
    if status == HTTPStatus.NOT_FOUND:
        return NotFoundError(f"{url}: {reason}")
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return refused(f"the Qdrant server at {url} refuses: {reason}")
    return StoreUnavailableError(f"the Qdrant server at {url} failed ({status}): {reason}")


def _reason(exc: UnexpectedResponse) -> str:
    """Return the server's own words, or what a proxy in between says."""
    try:
        return str(json.loads(exc.content)["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return f"{exc.reason_phrase} {exc.content[:200].decode(errors='replace')}".strip()
