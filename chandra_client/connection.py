"""HTTP with patience: time-outs, repeated requests, and errors as this package's own."""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from chandra_client.errors import (
    BadAnswerError,
    ChandraError,
    NotFoundError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
)

Parameters = Mapping[str, Any]
Files = Sequence[tuple[str, tuple[str | None, bytes]]]

BUSY = (429, 503)
DOWN = (*BUSY, 502, 504, 507)
KEY = (401, 403)
FIRST_PAUSE_S = 0.5
SHOWN = 200


class Connection:
    """Requests to one server; those it has no time for are repeated."""

    def __init__(
        self, url: str, api_key: str | None, timeout_s: float, retries: int, patience_s: float
    ) -> None:
        headers = {"User-Agent": "chandra-client"} | ({"X-API-Key": api_key} if api_key else {})
        self.url = url.rstrip("/")
        self._retries = retries
        self._patience_s = patience_s
        self._timeout_s = timeout_s
        try:
            self._http = httpx.Client(
                base_url=self.url, headers=headers, timeout=timeout_s, follow_redirects=False
            )
        except (httpx.InvalidURL, ValueError) as exc:
            raise RefusedError(f"{url} is no address of a server ({exc})") from exc

    def close(self) -> None:
        """Close what is open."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        parameters: Parameters | None = None,
        *,
        accept: str,
        json: Any = None,  # noqa: ANN401
        files: Files | None = None,
    ) -> httpx.Response:
        """Return the answer of the media type wanted, or raise a `ChandraError`."""
        for attempt in range(self._retries + 1):
            response = self._once(
                method, path, params=parameters, headers={"Accept": accept}, json=json, files=files
            )
            if response.status_code not in BUSY or attempt == self._retries:
                break
            pause = _pause_s(response, attempt)
            if pause > self._patience_s:
                break
            time.sleep(pause)
        if response.status_code not in (httpx.codes.OK, httpx.codes.ACCEPTED):
            raise _error(response)
        kind = response.headers.get("content-type", "").partition(";")[0].strip()
        if kind != accept:
            raise BadAnswerError(
                f"{response.request.url.copy_with(query=None)} answered with {kind or 'nothing'} "
                f"in place of {accept}: is {self.url} a chandra-search server, and is there a "
                "proxy between?",
                response.status_code,
            )
        return response

    def _once(self, method: str, path: str, **request: Any) -> httpx.Response:  # noqa: ANN401
        try:
            return self._http.request(method, path, **request)
        except httpx.TimeoutException as exc:
            raise UnavailableError(
                f"{self.url} did not answer within {self._timeout_s:g} s: ask again, for less, or "
                "with a larger timeout_s"
            ) from exc
        except (httpx.RemoteProtocolError, httpx.DecodingError) as exc:
            raise BadAnswerError(
                f"the answer of {self.url} is incomplete or damaged ({exc}): ask again"
            ) from exc
        except (httpx.UnsupportedProtocol, httpx.LocalProtocolError) as exc:
            raise RefusedError(f"{self.url} cannot be asked ({exc})") from exc
        except httpx.TransportError as exc:
            raise UnavailableError(
                f"no server answers at {self.url} ({exc}): start one with chandra-search serve, or "
                "check the address"
            ) from exc


def _pause_s(response: httpx.Response, attempt: int) -> float:
    """Return how long the server wants us to wait, in seconds; else twice as long each time."""
    wanted = response.headers.get("retry-after", "")
    if wanted.isdecimal():
        return float(wanted)
    try:
        until = parsedate_to_datetime(wanted)
    except ValueError:
        return FIRST_PAUSE_S * 2.0**attempt
    return max(0.0, (until.astimezone(UTC) - datetime.now(UTC)).total_seconds())


def _error(response: httpx.Response) -> ChandraError:
    """Return the error that a refusal stands for, with the server's own words."""
    status = response.status_code
    try:
        detail = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        shown = " ".join(response.text.split())[:SHOWN]
        detail = f"{status} {response.reason_phrase} from {response.request.url}: {shown}"
        if status not in (*DOWN, *KEY):
            return BadAnswerError(detail, status)
    if status in KEY:
        return UnauthorizedError(detail, status)
    if status == httpx.codes.NOT_FOUND:
        return NotFoundError(detail, status)
    if status in DOWN:
        return UnavailableError(detail, status)
    return RefusedError(detail, status) if status < 500 else BadAnswerError(detail, status)
