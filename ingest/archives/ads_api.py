"""The API of ADS: its token, its allowances, and the forms of its answers."""

import re
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, TypeVar

import requests
from pydantic import BaseModel, Field, RootModel, SecretStr, ValidationError
from requests.auth import AuthBase

from common.errors import ArchiveError, BudgetError, InputError
from ingest.archives.http_session import PoliteSession, retry_after_s
from ingest.archives.pacing import Courtesy
from ingest.archives.settings import ArchiveSettings

TOKEN_AT: Final = "https://ui.adsabs.harvard.edu/user/settings/token"

T = TypeVar("T", bound=BaseModel)


class Found(BaseModel):
    """Records, and how many there are of them on all pages."""

    numFound: int = Field(ge=0)  # noqa: N815  # as ADS spells it
    docs: list[dict[str, Any]]


class Answer(BaseModel):
    """Of a search."""

    response: Found


class Translated(BaseModel):
    """A question that searches understand."""

    query: str


class Unknown(BaseModel):
    """Why there is none."""

    reason: str = Field(alias="Error Info")


class Translation(RootModel[Translated | Unknown]):
    """What becomes of a question about an object; ADS says no with status 200."""


class _Bearer(AuthBase):
    """Shows the token to ADS alone; set as a header it would give way to a ``.netrc``."""

    def __init__(self, token: SecretStr | None) -> None:
        self._token = token.get_secret_value().strip() if token else ""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def check(self) -> None:
        """Raise if there is no token, or none that can be sent."""
        if not re.fullmatch(r"[!-~]+", self._token):
            raise InputError(
                f"ADS wants the token of an account: set CHANDRA_ADS_TOKEN (get one at {TOKEN_AT})"
            )


class ADSService:
    """Asks ADS with the token of an account.

    Parameters
    ----------
    settings : ArchiveSettings
        Where it is, and the token.
    courtesy : Courtesy
        Asked before each request, as ``ads`` if nothing else is said.
    """

    def __init__(self, settings: ArchiveSettings, courtesy: Courtesy) -> None:
        self._url = str(settings.ads_url).rstrip("/")
        self._bearer = _Bearer(settings.ads_token)
        self._session = PoliteSession("ads", settings, courtesy)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def ask(
        self,
        form: type[T],
        method: str,
        path: str,
        **options: Any,  # noqa: ANN401
    ) -> T:
        """Return an answer in its form; one that has not got it is asked for again.

        Parameters
        ----------
        form : type
            What the answer should be.
        method, path : str
            Of the request.
        **options
            As in ``requests``, and ``courtesy``.

        Raises
        ------
        InputError
            If there is no token or it is refused, or what is asked is.
        ArchiveError
            If there is no answer, or none that can be used, after all attempts.
        BudgetError
            If the requests of the day are used up.
        """
        self._bearer.check()

        def attempt() -> T:
            answer = self._session.once(
                method,
                f"{self._url}{path}",
                accept=(HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS),
                auth=self._bearer,
                **options,
            )
            _check(answer)
            try:
                return form.model_validate_json(answer.content)
            except ValidationError as exc:
                raise ArchiveError(f"ads answers what is no answer: {_first(exc)}") from exc

        return self._session.repeat(attempt)


def _check(answer: requests.Response) -> None:
    """Raise if the token is refused or no more requests are granted."""
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        raise InputError(
            "ADS refuses the token in CHANDRA_ADS_TOKEN, it may have expired: make a new one at "
            f"{TOKEN_AT}"
        )
    if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        if answer.headers.get("X-RateLimit-Remaining") == "0":
            at = _reset(answer.headers.get("X-RateLimit-Reset", ""))
            raise BudgetError(f"ADS grants no more requests until {at:%Y-%m-%d %H:%M} UTC", at)
        raise ArchiveError("ads answers 429: too many requests", retry_after_s(answer))


def _reset(said: str) -> datetime:
    """Return when ADS begins to count anew: at midnight, if it does not say."""
    try:
        return datetime.fromtimestamp(int(said), UTC)
    except (ValueError, OverflowError, OSError):
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + timedelta(days=1)


def _first(exc: ValidationError) -> str:
    error = exc.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}"
