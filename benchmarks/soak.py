"""Half an hour at steady load: does any process keep growing?

Run: PYTHONPATH=tests/support python benchmarks/soak.py [--minutes 30] [--out soak/]

An institute (engine, Redis, two io workers, one encode worker with the shipped bundle, beat) whose
sky grows by so many detections a second. Writes ``memory.csv`` and ``memory.png``: resident memory
of each process, and what is stored. The engine holds more and more points, so only workers and beat
should be flat.
"""

import argparse
import csv
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import psutil
from institute import Institute

from search.collections.schema import DETECTIONS

mpl.use("agg")

from matplotlib import pyplot as plt

EVERY_S = 10.0
STEP_S = 5.0
WORKERS = ("io-1", "io-2", "encode-1", "beat")


def soak(folder: Path, minutes: float, rate: float) -> Iterator[dict[str, float]]:
    """Yield resident memory of each process in MB and points stored, every `EVERY_S`."""
    institute = Institute(
        folder,
        feeds='["csc", "ads"]',
        poll_csc_days=20 / 86_400,
        poll_ads_days=20 / 86_400,
    )
    institute.environment = {"WORLD_ENCODER": "shipped"}
    institute.world.make(200, 50)
    with institute:
        institute.start(*WORKERS)
        started = grown = sampled = time.monotonic()
        while (now := time.monotonic()) - started < 60 * minutes:
            if now - grown >= STEP_S:
                grown = now
                institute.world.grow(round(rate * STEP_S), round(rate * STEP_S / 5))
            if now - sampled >= EVERY_S:
                sampled = now
                yield {
                    "seconds": now - started,
                    **{name: _mb(process.pid) for name, process in _processes(institute)},
                    "detections": institute.store.count(DETECTIONS),
                }
            time.sleep(0.5)


def _processes(institute: Institute) -> Iterator[tuple[str, object]]:
    yield from institute.processes.running.items()
    yield "redis", institute.redis.process
    yield "engine", institute.engine.process


def _mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss) / 2**20


def slopes(samples: list[dict[str, float]]) -> dict[str, float]:
    """Return the growth of each process in MB an hour over the second half."""
    late = samples[len(samples) // 2 :]
    hours = np.array([one["seconds"] for one in late]) / 3600
    names = [name for name in late[0] if name not in ("seconds", "detections")]
    return {name: float(np.polyfit(hours, [s[name] for s in late], 1)[0]) for name in names}


def draw(samples: list[dict[str, float]], path: Path) -> None:
    """Plot memory over time."""
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(8, 6), height_ratios=(2, 1))
    minutes = [one["seconds"] / 60 for one in samples]
    for name in samples[0]:
        if name not in ("seconds", "detections"):
            above.plot(minutes, [one[name] for one in samples], label=name)
    above.set(ylabel="resident memory [MB]", yscale="log")
    above.legend(ncols=3, fontsize="small")
    below.plot(minutes, [one["detections"] for one in samples], color="black")
    below.set(xlabel="time [min]", ylabel="detections stored")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Run, write the samples as they come, then the plot and the growth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=4, help="detections a second")
    parser.add_argument("--out", type=Path, default=Path("soak"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    samples = []
    with (
        tempfile.TemporaryDirectory() as folder,
        (options.out / "memory.csv").open("w", newline="") as file,
    ):
        for sample in soak(Path(folder), options.minutes, options.rate):
            samples.append(sample)
            writer = csv.DictWriter(file, sample)
            if len(samples) == 1:
                writer.writeheader()
            writer.writerow(sample)
            file.flush()
    draw(samples, options.out / "memory.png")
    print("growth in the second half, MB an hour:", json.dumps(slopes(samples), indent=1))


if __name__ == "__main__":
    main()
