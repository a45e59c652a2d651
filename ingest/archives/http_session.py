"""HTTP as archives deserve it: each attempt waits its turn, failures are repeated with patience.

Repetitions are tenacity's. Errors of ``requests`` become ours here and nowhere else.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, TypeVar
from weakref import WeakSet

import requests
import tenacity

from common.errors import ArchiveError, InputError, NotFoundError
from ingest.archives.pacing import Courtesy
from ingest.archives.settings import ArchiveSettings

USER_AGENT = f"chandra-search/{version('chandra-search')}"
LONGEST_REASON = 300
_PART_BYTES = 1 << 20
_REPEATED = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)

logger = logging.getLogger(__name__)

T = TypeVar("T")


class CutShortError(ArchiveError):
    """An archive answers no more than so much: asking the same again would not help."""


class PoliteSession:
    """A session with one archive; safe between threads, each of which has connections of its own.

    Parameters
    ----------
    archive : str
        Its name, for the courtesy and for messages.
    settings : ArchiveSettings
        Time-outs, repetitions, largest answer.
    courtesy : Courtesy
        Asked before each attempt.
    sleep : callable
        Waits so many seconds.
    """

    def __init__(
        self,
        archive: str,
        settings: ArchiveSettings,
        courtesy: Courtesy,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.archive = archive
        self.settings = settings
        self._courtesy = courtesy
        self._thread = threading.local()
        self._guard = threading.Lock()
        self._opened: WeakSet[requests.Session] = WeakSet()  # those of ended threads go
        self._attempts = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_may_pass),
            stop=self._is_enough,
            wait=self._wait_s,
            sleep=sleep,
            before_sleep=self._tell,
            reraise=True,
        )
        self._backoff = tenacity.wait_random_exponential(
            multiplier=settings.archive_backoff_s, max=settings.archive_max_wait_s
        )

    def close(self) -> None:
        """Close the connections of all threads; who goes on asking opens new ones."""
        with self._guard:
            for session in self._opened:
                session.close()

    def _own(self) -> requests.Session:
        """Return the session of this thread: those of ``requests`` are not for several."""
        session: requests.Session | None = getattr(self._thread, "session", None)
        if session is None:
            session = self._thread.session = requests.Session()
            session.headers["User-Agent"] = USER_AGENT
            with self._guard:
                self._opened.add(session)
        return session

    def request(
        self,
        method: str,
        url: str,
        *,
        courtesy: str | None = None,
        **options: Any,  # noqa: ANN401
    ) -> requests.Response:
        """Send a request until it is answered; the answer is read whole unless ``stream`` is given.

        Parameters
        ----------
        method, url : str
            As in ``requests``.
        courtesy : str or None
            Whose allowance it counts on; None is the archive's.
        **options
            As in ``requests``.

        Raises
        ------
        ArchiveError
            If there is no answer, or none that can be used, after all attempts.
        InputError, NotFoundError
            If repeating it would not help.
        BudgetError
            If no request may be sent any more today.
        """
        return self.repeat(lambda: self.once(method, url, courtesy=courtesy, **options))

    def repeat(self, attempt: Callable[[], T]) -> T:
        """Return what an attempt does, which is repeated while it raises ArchiveError.

        For answers that only reading shows to be broken; inside, requests are sent by `once`.
        """
        return self._attempts.copy()(attempt)

    def once(
        self,
        method: str,
        url: str,
        *,
        courtesy: str | None = None,
        accept: Collection[int] = (),
        **options: Any,  # noqa: ANN401
    ) -> requests.Response:
        """Send a request one time; as `request` otherwise.

        Parameters
        ----------
        method, url : str
            As in `request`.
        courtesy : str or None
            As in `request`.
        accept : collection of int
            Status codes that are no failure to the caller.
        **options
            As in ``requests``.
        """
        self._courtesy.wait(courtesy or self.archive)
        options = {"timeout": self.settings.archive_timeout_s, **options}
        stream = options.pop("stream", False)
        try:
            answer = self._own().request(method, url, stream=True, **options)
            if answer.status_code not in accept:
                self._check(answer)
            if not stream:
                self._read(answer)
        except requests.RequestException as exc:
            raise ArchiveError(f"{self.archive} does not answer: {plain(exc)}") from exc
        return answer

    def _check(self, answer: requests.Response) -> None:
        """Raise what a refusal is to us."""
        status = answer.status_code
        if status < HTTPStatus.BAD_REQUEST:
            return
        with answer:
            said = next(answer.iter_content(LONGEST_REASON * 4), b"")
        text = re.sub(r"<[^>]*>", " ", said.decode("utf-8", "replace"))  # often a page, or XML
        reason = " ".join(text.split())[:LONGEST_REASON]
        message = f"{self.archive} answers {status}: {reason or answer.reason}"
        if status in _REPEATED or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ArchiveError(message, retry_after_s(answer))
        if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
            raise NotFoundError(message)
        raise InputError(message)

    def _read(self, answer: requests.Response) -> None:
        """Read an answer whole, as ``requests`` would, but no more than is allowed."""
        limit = self.settings.archive_max_answer_mb * 2**20
        parts, size = [], 0
        with answer:
            for part in answer.iter_content(_PART_BYTES):
                size += len(part)
                if size > limit:
                    raise InputError(
                        f"{self.archive} answers with more than {limit / 2**20:g} MiB: ask for "
                        "less, or allow more by CHANDRA_ARCHIVE_MAX_ANSWER_MB"
                    )
                parts.append(part)
        # What iter_content has read is gone for `content`, which knows it by this attribute.
        answer._content = b"".join(parts)

    def _is_enough(self, state: tenacity.RetryCallState) -> bool:
        """Return whether to give up: after the last attempt, or if a longer wait is asked for."""
        if state.attempt_number >= self.settings.archive_attempts:
            return True
        return (_asked_s(state) or 0.0) > self.settings.archive_max_wait_s

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        """Return how long to wait: longer each time, and no less than the archive asks for."""
        return max(self._backoff(state), _asked_s(state) or 0.0)

    def _tell(self, state: tenacity.RetryCallState) -> None:
        wait_s = state.next_action.sleep if state.next_action else 0.0
        said = state.outcome.exception() if state.outcome else None
        logger.warning("%s; attempt %d, again in %.1f s", said, state.attempt_number, wait_s)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, ArchiveError) and not isinstance(error, CutShortError)


def retry_after_s(answer: requests.Response) -> float | None:
    """Return what ``Retry-After`` says, in seconds (RFC 9110, 10.2.3); None if it says nothing."""
    said = answer.headers.get("Retry-After", "").strip()
    if not said:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(said)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def _asked_s(state: tenacity.RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after_s if isinstance(error, ArchiveError) else None


def plain(exc: requests.RequestException) -> str:
    """Return what went wrong, without the address, which may hold a question of many lines."""
    if isinstance(exc, requests.Timeout):
        return "time-out"
    if isinstance(exc, requests.ConnectionError):
        return "no connection, or it was cut off; is there a network?"
    return type(exc).__name__
