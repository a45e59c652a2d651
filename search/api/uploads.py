"""Spectra that come with a request, and the options beside them."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar

from fastapi import HTTPException, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData

from common.errors import InvalidSpectrumError
from common.records import Spectrum
from ingest.spectra.discover import read_observed
from search.api.json_body import read_json
from search.api.request_models import Formatted, Numbers, OptionsT, Upload
from search.api.threads import READERS
from search.uploads import harmless_name

GivenT = TypeVar("GivenT", Numbers, Upload)

MAX_FIELDS = 100
UNPACKED = 4
"""How many times larger than the largest upload a file may be after decompression."""


@dataclass(frozen=True, slots=True)
class Posted(Generic[OptionsT]):
    """The body of a request: a spectrum, and options."""

    spectrum: Spectrum
    options: OptionsT


class PostedBody(Generic[OptionsT]):
    """Read the body of a request as a spectrum with options of one kind."""

    def __init__(self, options: type[OptionsT]) -> None:
        self.options = options

    async def __call__(self, request: Request) -> Posted[OptionsT]:
        """Return the body; a file is read before a thread is taken for the answer."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            numbers, options = self._parts(Numbers, read_json(await request.body()))
            return Posted(numbers.spectrum(), options)
        if kind == "multipart/form-data":
            async with request.form(max_files=2, max_fields=MAX_FIELDS) as form:
                upload, options = self._parts(Upload, _fields(form))
                max_mb = UNPACKED * request.app.state.max_upload_mb
                spectrum = await READERS.run(_read, upload, max_mb)
            return Posted(spectrum, options)
        raise HTTPException(
            415,
            f"content type {kind[:80] or 'none'}: send a file as multipart/form-data "
            "(curl -F file=@source.pha), or application/json with counts and exposure_s",
        )

    def _parts(self, kind: type[GivenT], body: Any) -> tuple[GivenT, OptionsT]:  # noqa: ANN401
        """Split a body in two; mistakes are answered like those that the framework finds."""
        if not isinstance(body, Mapping):
            raise RequestValidationError(
                [{"type": "dict_type", "loc": ("body",), "msg": "give an object", "input": body}]
            )
        own = kind.model_fields.keys()
        mistakes: list[Any] = []
        given = _checked(kind, {k: v for k, v in body.items() if k in own}, mistakes)
        rest = {k: v for k, v in body.items() if k not in own}
        options = _checked(self.options, rest, mistakes)
        if given is None or options is None:
            raise RequestValidationError(mistakes)
        return given, options


def documented(options: type[Formatted], example: dict[str, Any]) -> dict[str, Any]:
    """Return what OpenAPI says of the body of a spectrum with options."""
    others = options.model_json_schema()["properties"]
    content = {}
    for media, kind in (("multipart/form-data", Upload), ("application/json", Numbers)):
        schema = kind.model_json_schema()
        content[media] = {"schema": schema | {"properties": schema["properties"] | others}}
    content["application/json"]["example"] = example
    return {"requestBody": {"required": True, "content": content}}


def _checked(kind: type[Any], fields: dict[str, Any], mistakes: list[Any]) -> Any:  # noqa: ANN401
    try:
        return kind.model_validate(fields)
    except ValidationError as exc:
        mistakes.extend(exc.errors())
        return None


def _fields(form: FormData) -> dict[str, Any]:
    """Return the fields of a form, repeated ones as lists."""
    lists = {name: form.getlist(name) for name in form}
    return {name: values if len(values) > 1 else values[0] for name, values in lists.items()}


def _read(upload: Upload, max_mb: float) -> Spectrum:
    with TemporaryDirectory(prefix="chandra-search-") as folder:
        path = _saved(upload.file, Path(folder, "spectrum"))
        rmf = _saved(upload.rmf, Path(folder, "response")) if upload.rmf else None
        found = read_observed(path, rmf=rmf, max_mb=max_mb)
    if upload.row > len(found):
        raise InvalidSpectrumError(f"{path.name} has {len(found)} spectra: row is {upload.row}")
    return found[upload.row - 1].spectrum


def _saved(upload: UploadFile, folder: Path) -> Path:
    """Save an upload under a harmless form of its name, which may tell what kind of file it is."""
    folder.mkdir()
    path = folder / harmless_name(upload.filename, "spectrum.fits")
    with path.open("wb") as out:
        shutil.copyfileobj(upload.file, out)
    return path
