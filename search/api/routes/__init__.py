"""The routes by subject: parse, call, answer."""

from fastapi import APIRouter

from search.api.routes import estimates, ingest, outliers, records, search
from search.api.routes import status as service

router = APIRouter()
for subject in (search, records, estimates, outliers, ingest, service):
    router.include_router(subject.router)
