"""Who may do what: API keys of three roles, each of which may do what those before it may."""

import hmac
from collections.abc import Sequence
from enum import IntEnum
from ipaddress import ip_address
from typing import Any

from fastapi import FastAPI, HTTPException
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import Scope

from common.errors import InputError
from search.settings import SearchSettings

SHORTEST_KEY = 16
OPEN_PATHS = frozenset(
    {"/", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json", "/healthz", "/readyz"}
)


class Role(IntEnum):
    """What a caller may do; a higher one may do what a lower one may."""

    NOBODY = 0
    READ = 1
    INGEST = 2
    ADMIN = 3


READING = frozenset({"GET", "HEAD", "OPTIONS"})
ANY = READING | {"POST"}
ASKING = frozenset({"POST"})

RULES: tuple[tuple[frozenset[str], str, Role], ...] = (
    (ANY, "/metrics", Role.ADMIN),
    (ANY, "/v1/admin", Role.ADMIN),
    (ANY, "/v1/ingest", Role.INGEST),
    (ANY, "/v1/jobs", Role.INGEST),
    (ASKING, "/v1/search", Role.READ),
    (ASKING, "/v1/filters/explain", Role.READ),
    (ASKING, "/v1/estimates", Role.READ),
    (ASKING, "/v1/classes", Role.READ),
    (ASKING, "/v1/describe", Role.READ),
    (READING, "", Role.READ),
)
"""Who may send what where: methods, a path with all below it, and a role. The first that fits
counts; what fits none may be a way to write, and is for admins."""


class Keys:
    """Refuse who may not do what is asked; with no keys set, everybody may do everything."""

    def __init__(self, settings: SearchSettings) -> None:
        self._keys = read_keys(settings)
        self._everybody = (
            Role.ADMIN if not self._keys else Role.READ if settings.open else Role.NOBODY
        )

    def identify(self, scope: Scope) -> None:
        """Set ``scope["role"]``, and ``scope["caller"]`` for logs and rate limits."""
        given = given_key(Headers(scope=scope))
        role, caller = self._role_of(given) if given and self._keys else (self._everybody, None)
        scope["role"], scope["caller"] = role, caller

    def authorise(self, scope: Scope) -> None:
        """Raise HTTPException unless the role of the caller suffices for the path."""
        role, caller = scope["role"], scope["caller"]
        needed = needed_role(scope["method"], scope["path"])
        if role >= needed:
            return
        if caller:
            raise HTTPException(
                403,
                f"this API key may {role.name.lower()}, {scope['method']} {scope['path'][:80]} "
                f"needs one for {needed.name.lower()}: ask whoever runs the server",
            )
        wrong = (
            "this API key is not known here: ask whoever runs the server for one"
            if given_key(Headers(scope=scope))
            else "an API key is needed: send it as X-API-Key or as Authorization: Bearer"
        )
        raise HTTPException(401, wrong, {"WWW-Authenticate": "Bearer"})

    def _role_of(self, given: str) -> tuple[Role, str | None]:
        """Compare with every key, however early one fits: time must not tell which."""
        role, caller = Role.NOBODY, None
        for known_role, name, key in self._keys:
            if hmac.compare_digest(given.encode(), key.encode()):
                role, caller = known_role, name
        return role, caller


def describe_keys(api: FastAPI) -> None:
    """Let the OpenAPI description of an application with keys tell how to send one."""
    described = api.openapi

    def openapi() -> dict[str, Any]:
        document = described()
        document.setdefault("components", {})["securitySchemes"] = {
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
        }
        document["security"] = [{"header": []}, {"bearer": []}]
        return document

    api.openapi = openapi  # type: ignore[method-assign]  # FastAPI's way to extend it


def given_key(headers: Headers) -> str:
    """Return the key that a request carries, empty where there is none."""
    kind, _, bearer = headers.get("authorization", "").partition(" ")
    return headers.get("x-api-key", "") or (bearer.strip() if kind.lower() == "bearer" else "")


def needed_role(method: str, path: str) -> Role:
    """Return who may send a request of this method to a path."""
    if path in OPEN_PATHS and method in READING:
        return Role.NOBODY
    for methods, prefix, role in RULES:
        if method in methods and (not prefix or path == prefix or path.startswith(f"{prefix}/")):
            return role
    return Role.ADMIN


def owner_of(scope: Scope, job_id: str) -> str:
    """Return what marks a job as that of the key of a request, empty where it came without one.

    The key itself is not kept, and neither is its place in a list, which another may take over.
    """
    if not scope["caller"]:
        return ""
    key = given_key(Headers(scope=scope))
    return hmac.new(key.encode(), job_id.encode(), "sha256").hexdigest()


def may_see(scope: Scope, job_id: str, owner: str) -> bool:
    """Return whether a job is one of the caller's; all are those of admins."""
    if scope["role"] == Role.ADMIN:
        return True
    return bool(owner) and hmac.compare_digest(owner, owner_of(scope, job_id))


def read_keys(settings: SearchSettings) -> list[tuple[Role, str, str]]:
    """Return role, name for logs (``read-1``) and key of all keys.

    Raises
    ------
    InputError
        If a key is so short that it can be guessed.
    """
    found = []
    for role, variable in (
        (Role.READ, settings.api_keys_read),
        (Role.INGEST, settings.api_keys_ingest),
        (Role.ADMIN, settings.api_keys_admin),
    ):
        for number, key in enumerate(_split(variable), start=1):
            if len(key) < SHORTEST_KEY:
                raise InputError(
                    f"key {number} of CHANDRA_API_KEYS_{role.name} has {len(key)} characters, "
                    f"at least {SHORTEST_KEY} are needed: make one with `openssl rand -hex 24`"
                )
            found.append((role, f"{role.name.lower()}-{number}", key))
    return found


def _split(keys: SecretStr) -> Sequence[str]:
    return [key.strip() for key in keys.get_secret_value().split(",") if key.strip()]


def require_keys_beyond_this_machine(settings: SearchSettings) -> None:
    """Raise InputError where everybody on the network could ask and nobody has said so.

    ``serve`` calls it before it listens.
    """
    if settings.open or is_loopback(settings.host) or read_keys(settings):
        return
    raise InputError(
        f"listening on {settings.host} lets other machines ask, and no API keys are set: set "
        "CHANDRA_API_KEYS_READ (and CHANDRA_API_KEYS_ADMIN), or CHANDRA_OPEN=1 where everybody "
        "may ask, or listen on 127.0.0.1"
    )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine and nothing else."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
