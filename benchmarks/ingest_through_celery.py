"""Detections a second through Celery, beside the same steps in one process, and where time goes.

Run: PYTHONPATH=tests/support python benchmarks/ingest_through_celery.py [--detections 2000]

Both sides work on the same sky, with files already in the download cache, on an engine and with an
encoder (the shipped bundle) of their own, so that what differs is the queue: messages through Redis
to an io and an encode process, or threads of one process. The archives are servers on this machine
that stay within no limits but SIMBAD's five requests a second.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from institute import Institute
from world import nature, place_of

from ingest.archives.download_cache import DownloadCache
from ingest.archives.pacing import LocalCourtesy
from ingest.archives.products import CSCProducts

ROLES = {"through Celery": ("io-1", "encode-1", "beat"), "in one process": ("all",)}


def measure(folder: Path, roles: tuple[str, ...], detections: int) -> dict[str, float]:
    """Return detections a second, and the seconds that each step took in all."""
    institute = Institute(folder, io_threads=4, feeds='["csc"]')
    institute.environment = {"WORLD_ENCODER": "shipped"}
    world = institute.world.make(0)
    with institute:
        institute.start(*(role for role in roles if role != "beat"))
        if "beat" not in roles:  # it polls at once: let it find nothing yet
            institute.until(lambda: institute.polled("csc"), 60)
        world.grow(detections)
        cache = DownloadCache(folder / "downloads", 10**11)
        products = CSCProducts(world.csc.settings(), LocalCourtesy({}), cache)
        for number in range(detections):
            if nature(number) is None:
                products.fetch_spectrum(*place_of(number))
        if "beat" in roles:
            institute.start("beat")
        institute.ledger.notes.save_job("discover csc", next_at=None, leased_until=None)
        started = time.perf_counter()
        institute.settled({"csc": detections}, 900)
        took = time.perf_counter() - started
        return {"detections/s": detections / took, **steps(institute)}


def steps(institute: Institute) -> dict[str, float]:
    """Return how many seconds the steps of each kind took, added up over threads."""
    found: dict[str, float] = defaultdict(float)
    for name in institute.processes.running:
        for line in institute.processes.said(name).splitlines():
            said = json.loads(line) if line.startswith('{"') else {}
            if said.get("event") == "step done" and said["feed"] == "csc":
                found[f"{said['step']} s"] += said["seconds"]
    return dict(found)


def main() -> None:
    """Run both sides turn about and print rates, steps and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detections", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    results: dict[str, list[dict[str, float]]] = defaultdict(list)
    for _ in range(options.rounds):
        for side, roles in ROLES.items():
            with tempfile.TemporaryDirectory() as folder:
                results[side].append(measure(Path(folder), roles, options.detections))
                print(side, json.dumps({k: round(v, 2) for k, v in results[side][-1].items()}))
    best = {side: max(one["detections/s"] for one in rounds) for side, rounds in results.items()}
    for side, rate in best.items():
        print(f"{side}: {rate:.1f} detections a second")
    print(f"ratio: {best['through Celery'] / best['in one process']:.2f} (wanted: at least 0.8)")


if __name__ == "__main__":
    main()
