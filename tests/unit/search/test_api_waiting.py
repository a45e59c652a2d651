"""Who waits, waits without keeping others waiting: many requests at once, in one event loop."""

import asyncio
import json
import threading
from contextlib import asynccontextmanager

import httpx
import numpy as np
import pytest
from anyio import to_thread
from api_requests import pha
from hypothesis import given
from hypothesis import strategies as st
from small_services import small_services
from small_store import soft_counts

from search.api import create_api, uploads
from search.api import size_limits as limits
from search.api.size_limits import MAX_JSON_DEPTH, MAX_JSON_PARTS, MIB, check_json
from search.settings import SearchSettings

THREADS = 4
UPLOADS = 20
PATIENCE_S = 30  # before a request counts as hanging
FILE = {"file": ("x.pi", pha(soft_counts()))}


class Held:
    """A function whose calls wait until they are let go, in the threads that they are made in."""

    def __init__(self, call):
        self.call = call
        self.begun = threading.Semaphore(0)
        self.free = threading.Event()
        self.threads = []

    def __call__(self, *arguments, **options):
        self.threads.append(threading.current_thread())
        self.begun.release()
        assert self.free.wait(2 * PATIENCE_S)
        return self.call(*arguments, **options)

    async def has_begun(self):
        assert await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE_S)


@pytest.fixture
def api(small):
    return create_api(small_services(small), SearchSettings())


@asynccontextmanager
async def asking(api):
    to_thread.current_default_thread_limiter().total_tokens = THREADS
    transport = httpx.ASGITransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def answer(request):
    return await asyncio.wait_for(request, PATIENCE_S)


def test_health_and_questions_are_answered_while_uploads_wait(api, monkeypatch):
    reading = Held(uploads.read_observed)
    monkeypatch.setattr(uploads, "read_observed", reading)

    async def main():
        async with asking(api) as client:
            waiting = [
                asyncio.create_task(client.post("/v1/search/spectrum", files=FILE))
                for _ in range(UPLOADS)
            ]
            try:
                await reading.has_begun()
                await reading.has_begun()
                for _ in range(1000):  # until all the others wait, too
                    await asyncio.sleep(0)
                for path in ("/healthz", "/readyz", "/metrics", "/v1/status"):
                    assert (await answer(client.get(path))).status_code == 200, path
                assert len(reading.threads) == 2  # in memory are no more files than that
            finally:
                reading.free.set()
            assert {(await answer(task)).status_code for task in waiting} == {200}

    asyncio.run(main())


def test_health_is_answered_while_questions_hold_all_threads(api, monkeypatch):
    search = api.state.services.search
    asked = Held(search.status)
    monkeypatch.setattr(search, "status", asked)

    async def main():
        async with asking(api) as client:
            waiting = [asyncio.create_task(client.get("/v1/status")) for _ in range(THREADS + 2)]
            try:
                for _ in range(THREADS):
                    await asked.has_begun()
                for path in ("/healthz", "/readyz", "/metrics"):
                    assert (await answer(client.get(path))).status_code == 200, path
            finally:
                asked.free.set()
            assert {(await answer(task)).status_code for task in waiting} == {200}

    asyncio.run(main())


def test_a_large_json_body_is_checked_beside_the_event_loop(api, monkeypatch):
    checked = Held(check_json)
    monkeypatch.setattr(limits, "check_json", checked)
    body = {"text": "x" * MIB}

    async def main():
        async with asking(api) as client:
            large = asyncio.create_task(client.post("/v1/search/text", json=body))
            try:
                await checked.has_begun()
                assert (await answer(client.get("/v1/status"))).status_code == 200
            finally:
                checked.free.set()
            assert (await answer(large)).status_code == 422

    asyncio.run(main())
    assert checked.threads != [threading.main_thread()]


# What the check holds for too deep


PARTS = st.recursive(
    st.text(alphabet='a"\\[]{}é\n') | st.integers(),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(st.text(alphabet='a"\\[]{}'), inside, max_size=3)
    ),
    max_leaves=20,
)


def depth(part):
    inside = part.values() if isinstance(part, dict) else part
    return 0 if isinstance(part, str | int) else 1 + max(map(depth, inside), default=0)


@given(PARTS, st.integers(0, 40), st.booleans())
def test_depth_is_that_of_the_document_whatever_its_strings_hold(part, around, escaped):
    document = [part, *["["] * MAX_JSON_DEPTH]
    for _ in range(around):
        document = [document, "]}"]
    refused = False
    try:
        check_json(json.dumps(document, ensure_ascii=escaped).encode())
    except limits.HTTPException as exc:
        refused = "nested" in exc.detail
    assert refused == (depth(document) > MAX_JSON_DEPTH)


@pytest.mark.parametrize("part", ["[]", "{}"])
def test_json_of_very_many_parts_is_refused(part):
    check_json(f"[{','.join([part] * (MAX_JSON_PARTS - 1))}]".encode())
    with pytest.raises(limits.HTTPException, match="50,000 lists and objects"):
        check_json(f"[{','.join([part] * MAX_JSON_PARTS)}]".encode())


def test_brackets_in_many_strings_are_no_parts():
    check_json(json.dumps(["[{" for _ in range(MAX_JSON_PARTS)]).encode())


def test_numbers_may_be_as_many_as_there_is_room_for():
    check_json(json.dumps(np.arange(400_000).tolist()).encode())
