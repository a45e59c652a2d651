"""Files of a form, written to disk as they arrive: in memory is never more than a piece of one."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from common.errors import NotFoundError
from search.api.upload_models import MAX_FILES, IngestForm, Received
from search.uploads import Draft, UploadFolder, harmless_name
from search.uploads.folder import disk_errors

MAX_FIELD_BYTES = 1000
MAX_FIELDS = 20
MAX_PART_HEADER_BYTES = 8 * 1024

FormT = TypeVar("FormT", bound=IngestForm)


@dataclass(frozen=True, slots=True)
class Arrived(Generic[FormT]):
    """A form whose files are in a draft."""

    draft: Draft
    form: FormT


class IngestBody(Generic[FormT]):
    """Receive the body of a request as a form of one kind."""

    def __init__(self, kind: type[FormT]) -> None:
        self.kind = kind

    async def __call__(self, request: Request) -> AsyncIterator[Arrived[FormT]]:
        """Give the form; what the route does not commit is removed."""
        with uploads_of(request).draft() as draft:
            values = await _receive(request, draft.files)
            try:
                form = self.kind.model_validate(values)
            except ValidationError as exc:
                raise RequestValidationError(exc.errors()) from exc
            yield Arrived(draft, form)


def uploads_of(request: Request) -> UploadFolder:
    """Return the folder of uploads of the application, or raise NotFoundError."""
    uploads: UploadFolder | None = request.app.state.uploads
    if uploads is None:
        raise NotFoundError("this server takes no uploads: start it with `chandra-search serve`")
    return uploads


async def _receive(request: Request, folder: Path) -> dict[str, Any]:
    """Return the fields of a form, its files written into a folder."""
    media, parameters = parse_options_header(request.headers.get("content-type", ""))
    if media != b"multipart/form-data" or b"boundary" not in parameters:
        raise HTTPException(
            415, "send files as multipart/form-data, for instance curl -F file=@source.pha"
        )
    form = _Form(parameters[b"boundary"], folder)
    received = 0
    try:
        async for chunk in request.stream():
            received += len(chunk)
            await run_in_threadpool(form.write, chunk)
    except ClientDisconnect as exc:
        raise _cut_off() from exc
    finally:
        form.close()
    declared = request.headers.get("content-length", "")
    if not form.complete or (declared.isdecimal() and int(declared) != received):
        raise _cut_off()
    return form.values


class _Form:
    """A parser that writes files beside each other, each under a number and a harmless name."""

    def __init__(self, boundary: bytes, folder: Path) -> None:
        self.complete = False
        self.values: dict[str, Any] = {}
        self._folder = folder
        self._header = [b"", b""]
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        self._text = b""
        self._file: IO[bytes] | None = None
        self._received: Received | None = None
        self._files = self._fields = 0
        self._names: set[str] = set()
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": lambda data, start, end: self._head(0, data[start:end]),
                    "on_header_value": lambda data, start, end: self._head(1, data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._open,
                    "on_part_data": lambda data, start, end: self._take(data[start:end]),
                    "on_part_end": self._end,
                    "on_end": self._finish,
                },
            )
        except FormParserError as exc:
            raise _malformed() from exc

    def write(self, chunk: bytes) -> None:
        """Take in a piece of the body."""
        try:
            with disk_errors():
                self._parser.write(chunk)
        except FormParserError as exc:
            raise _malformed() from exc

    def close(self) -> None:
        """Close what is open."""
        if self._file:
            self._file.close()

    def _begin(self) -> None:
        self._headers, self._header = {}, [b"", b""]
        self._text, self._received = b"", None

    def _head(self, which: int, data: bytes) -> None:
        self._header[which] += data
        if sum(map(len, self._header)) > MAX_PART_HEADER_BYTES:
            raise HTTPException(400, "a part of the form has a header that is too long")

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[name.lower()] = value
        self._header = [b"", b""]

    def _open(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise HTTPException(400, "a part of the form has no name: give each part one")
        self._name = options[b"name"].decode("utf-8", "replace")
        if b"filename" not in options:
            self._fields = _counted(self._fields, MAX_FIELDS, "fields")
            return
        self._files = _counted(self._files, MAX_FILES, "files")
        name = harmless_name(options[b"filename"].decode("utf-8", "replace"))
        if name in self._names:  # outcomes are told by name
            name = f"{self._files}_{name}"
        self._names.add(name)
        place = Path(f"{self._files}", name)
        (self._folder / place).parent.mkdir()
        self._file = (self._folder / place).open("wb")
        self._received = Received(place.as_posix())

    def _take(self, data: bytes) -> None:
        if self._file:
            self._file.write(data)
            return
        self._text += data
        if len(self._text) > MAX_FIELD_BYTES:
            raise HTTPException(
                422,
                f"{self._name[:80]} is longer than {MAX_FIELD_BYTES:,} bytes: send it as a file",
            )

    def _end(self) -> None:
        if self._file:
            self._file.close()
            self._file = None
        value = self._received or self._text.decode("utf-8", "replace")
        if self._name in self.values:
            before = self.values[self._name]
            self.values[self._name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            self.values[self._name] = value

    def _finish(self) -> None:
        self.complete = True


def _counted(n: int, most: int, what: str) -> int:
    if n == most:
        raise HTTPException(422, f"more than {most} {what}: send several uploads")
    return n + 1


def _malformed() -> HTTPException:
    return HTTPException(
        400, "the body is no well-formed multipart/form-data: let a library or curl -F make it"
    )


def _cut_off() -> HTTPException:
    return HTTPException(
        400,
        "the upload was cut off, nothing was kept of it: send it again",
        {"Connection": "close"},
    )
