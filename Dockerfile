# One image for the API, the workers and beat; the command says which.
FROM python:3.12.8-slim-bookworm AS build

# Where torch comes from: its build for CPUs. The plain one, with gigabytes for GPUs:
#   docker build --build-arg TORCH_INDEX_URL= .
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1

WORKDIR /src
COPY constraints.txt ./
# That index alone, and nothing else from it.
RUN python -m venv /venv \
 && /venv/bin/pip install --no-deps --constraint constraints.txt \
        ${TORCH_INDEX_URL:+--index-url "${TORCH_INDEX_URL}"} torch
COPY pyproject.toml README.md LICENSE ./
COPY common common
COPY ingest ingest
COPY encoders encoders
COPY search search
COPY workers workers
COPY cli cli
COPY chandra_client chandra_client
RUN /venv/bin/pip install --constraint constraints.txt .


FROM python:3.12.8-slim-bookworm

RUN useradd --uid 10001 --create-home --home-dir /home/chandra chandra \
 && mkdir /data /downloads \
 && chown chandra:chandra /data /downloads
COPY --from=build /venv /venv

# /tmp is the one place that may be written when the root file system is read-only.
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    CHANDRA_CACHE_DIR=/data/cache \
    CHANDRA_DATA_DIR=/data \
    CHANDRA_DOWNLOADS_DIR=/downloads \
    CHANDRA_WORKER_METRICS_PORT=9100
USER 10001:10001
VOLUME ["/data", "/downloads"]
EXPOSE 8000
# `serve` answers the first, workers and beat the second.
HEALTHCHECK --interval=60s --timeout=25s --start-period=120s \
    CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/readyz', timeout=5)" 2>/dev/null \
     || python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:9100/metrics', timeout=15)"
ENTRYPOINT ["chandra-search"]
CMD ["--help"]
