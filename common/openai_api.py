"""The one place where OpenAI's interface is spoken: key, pace, time-outs, errors made ours.

Repetitions, their delays and ``Retry-After`` are the ``openai`` package's own. Answers are
read here and not by that package: servers that imitate the interface take liberties.
"""

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, Field, ValidationError

from common.errors import ChandraSearchError, InputError, UnavailableError
from common.settings import SharedSettings

if TYPE_CHECKING:
    from openai import APIError, OpenAI

DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"

LONGEST_REASON: Final = 300

Request = Callable[["OpenAI"], Any]
"""Makes one request with a client's ``with_raw_response`` methods."""


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Tokens(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Answer(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Tokens | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What a language model wrote; empty, with the reason, where it cannot be used."""

    content: str
    problem: str = ""
    read_tokens: int = 0
    written_tokens: int = 0


class OpenAIService:
    """A service that answers requests; safe between threads, nothing is opened before the first.

    Parameters
    ----------
    settings : SharedSettings
        Address, key, time-out, repetitions and pace.
    """

    def __init__(self, settings: SharedSettings) -> None:
        self._settings = settings
        self.base_url = str(settings.openai_base_url or DEFAULT_BASE_URL).rstrip("/")
        self._interval_s = 60.0 / settings.openai_requests_per_minute
        self._next_s = 0.0
        self._lock = threading.Lock()

    def model_key(self, model: str) -> str:
        """Return what a model's answers are cached under: the same name elsewhere is another."""
        return model if self.base_url == DEFAULT_BASE_URL else f"{model} at {self.base_url}"

    def ask(self, what: str, request: Request) -> str:
        """Make a request and return the body of its answer.

        Raises
        ------
        InputError
            If there is no key or it is refused, or the request itself is.
        UnavailableError
            If the service does not answer, or not yet.
        """
        import openai  # takes a second, which commands that ask nothing should not pay

        with self._lock:
            client = self._client
            start_s = max(time.monotonic(), self._next_s)
            self._next_s = start_s + self._interval_s
        time.sleep(max(0.0, start_s - time.monotonic()))
        try:
            return str(request(client).http_response.text)
        except openai.APIError as exc:
            raise self._translated(what, exc) from exc

    def write(
        self,
        what: str,
        model: str,
        prompt: str,
        question: str,
        form: tuple[str, Mapping[str, Any]],
        max_tokens: int,
        temperature: float | None,
    ) -> Written:
        """Let a language model answer a question in JSON.

        Parameters
        ----------
        what : str
            What is asked for, for messages.
        model : str
            Which model.
        prompt, question : str
            What it is told as system and as user.
        form : tuple of str and mapping
            Name and JSON schema of the answer. Strict mode wants every field required and no
            other, and knows no lengths.
        max_tokens : int
            Room for the answer.
        temperature : float or None
            0 varies least; None leaves it to models that do not let it be set.

        Returns
        -------
        Written
            Its answer, or what is wrong with it.

        Raises
        ------
        InputError, UnavailableError
            As `ask` does.
        """
        name, schema = form
        body = self.ask(
            what,
            lambda client: client.chat.completions.with_raw_response.create(
                model=model,
                messages=[
                    {"role": "system", "content": prompt},
                    {"role": "user", "content": question},
                ],
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": name, "strict": True, "schema": dict(schema)},
                },
                max_completion_tokens=max_tokens,
                temperature=temperature,
            ),
        )
        try:
            answer = _Answer.model_validate_json(body)
        except ValidationError:
            return Written("", "its answer is malformed")
        choice, tokens = answer.choices[0], answer.usage or _Tokens()
        problem = ""
        if choice.message.refusal or choice.finish_reason == "content_filter":
            problem = "it refuses"
        elif choice.finish_reason == "length":
            problem = "its answer is cut off"
        content = "" if problem else choice.message.content or ""
        return Written(content, problem, tokens.prompt_tokens, tokens.completion_tokens)

    @cached_property
    def _client(self) -> "OpenAI":
        import openai

        client = openai.OpenAI(
            api_key=self._key(),
            base_url=self.base_url,
            timeout=self._settings.openai_timeout_s,
            max_retries=self._settings.openai_max_retries,
        )
        weakref.finalize(self, client.close)  # or its sockets are left to the garbage collector
        return client

    def _key(self) -> str:
        secret = self._settings.openai_api_key
        key = secret.get_secret_value().strip() if secret else ""
        if not key and self._settings.openai_base_url is None:
            raise InputError(
                "OpenAI asks for a key and none is given: set OPENAI_API_KEY, or "
                "CHANDRA_OPENAI_BASE_URL for a service that needs none"
            )
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise InputError("OPENAI_API_KEY holds characters that no key has: copy it again")
        return key or "none"

    def _translated(self, what: str, exc: "APIError") -> ChandraSearchError:
        import openai

        where = f"{what}: {self.base_url}"
        match exc:
            case openai.APITimeoutError():
                return UnavailableError(
                    f"{where} did not answer within {self._settings.openai_timeout_s:g} s, "
                    f"{self._attempts()}: try again later, or raise CHANDRA_OPENAI_TIMEOUT_S"
                )
            case openai.APIConnectionError():
                return UnavailableError(
                    f"{where} cannot be reached or broke off its answer, {self._attempts()}: check "
                    "the network and CHANDRA_OPENAI_BASE_URL, or try again later"
                )
            # The answer to a wrong key repeats parts of it, so it is not passed on.
            case openai.AuthenticationError():
                return InputError(f"{where} does not accept the key: set OPENAI_API_KEY to another")
            case openai.RateLimitError(code="insufficient_quota"):
                return UnavailableError(
                    f"{where} says that the quota of this key is used up: add credit, or use "
                    "another key"
                )
            case openai.RateLimitError():
                return UnavailableError(
                    f"{where} is asked too often (429), {self._attempts()}: lower "
                    "CHANDRA_OPENAI_REQUESTS_PER_MINUTE, or try again later"
                )
            case openai.APIStatusError(status_code=status) if status >= 500 or status in (408, 409):
                return UnavailableError(
                    f"{where} fails (HTTP {status}), {self._attempts()}: try again later"
                )
            case openai.APIStatusError(status_code=status):
                return InputError(
                    f"{where} refuses the request (HTTP {status}: {self._reason(exc)}): check the "
                    "model's name, what the key may use, and CHANDRA_OPENAI_BASE_URL"
                )
        return UnavailableError(f"{where} answers with what is no answer: try again later")

    def _attempts(self) -> str:
        times = self._settings.openai_max_retries + 1
        return "asked once" if times == 1 else f"asked {times} times"

    def _reason(self, exc: "APIError") -> str:
        body = exc.body
        reason = str(body["message"] if isinstance(body, dict) and "message" in body else body)
        return " ".join(reason.replace(self._key(), "***").split())[:LONGEST_REASON]
