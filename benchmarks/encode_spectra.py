"""Encode spectra with the shipped bundle, beside the autoencoder's bare forward pass.

Run: python benchmarks/encode_spectra.py [--n 20000]

Both sides encode the same spectra turn about in one run: the ratio is what checking, both sets of
vectors and the ensemble cost beyond the transformer.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from encoders.autoencoder import SpectrumAutoencoder
from encoders.bundle import SHIPPED_BUNDLE, load

BATCH = 256


def main() -> None:
    """Time both and print spectra per second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=20_000)
    n = parser.parse_args().n
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.exponential(2.0, size=(n, 400))).astype(np.float64)
    exposure_s = np.full(n, 3e4)
    bundle = load(SHIPPED_BUNDLE)
    bare = SpectrumAutoencoder(bundle.manifest.config)
    bare.load_state_dict(dict(bundle.autoencoder_weights()))
    tensor = torch.from_numpy(counts.astype(np.float32))

    def encode_bare() -> None:
        with torch.inference_mode():
            for batch in tensor.split(BATCH):
                bare.encode(batch)

    times: dict[str, list[float]] = {"bundle": [], "bare": []}
    for _ in range(5):
        times["bundle"].append(seconds(lambda: bundle.encode_spectra(counts, exposure_s)))
        times["bare"].append(seconds(encode_bare))
    bundle_s, bare_s = (statistics.median(times[name]) for name in ("bundle", "bare"))
    one_s = statistics.median(
        seconds(lambda: bundle.encode_spectra(counts[:1], exposure_s[:1])) for _ in range(100)
    )
    print(f"{torch.get_num_threads()} threads, batches of {BATCH}, median of 5 runs")
    print(
        f"bundle: {n / bundle_s:,.0f} spectra/s, {bundle_s / bare_s:.2f} x the bare encoder's time"
    )
    print(f"bare encoder: {n / bare_s:,.0f} spectra/s")
    print(f"one spectrum alone: {1e3 * one_s:.2f} ms")


def seconds(work: Callable[[], object]) -> float:
    """Return how long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
