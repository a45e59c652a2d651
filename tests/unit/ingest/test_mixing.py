from dataclasses import replace

import numpy as np
import pytest

from ingest.simulation.mixing import DEFAULT_SHARE, default_share, mix_simulated, n_paired
from ingest.simulation.simulate import simulate


@pytest.fixture(scope="module")
def observed():
    dataset = simulate(90, 4)
    detections = [replace(one, simulated=False) for one in dataset.detections]
    return replace(dataset, name="observed", detections=detections, simulated=False)


def test_simulated_sources_are_a_share_of_those_trained_on_and_of_no_other(observed):
    before, mixed = observed.split(), mix_simulated(observed, 0.4, 0)
    after = mixed.split()
    for part in ("calibration", "validation", "test"):
        np.testing.assert_array_equal(before[part], after[part])
    added = np.setdiff1d(after["train"], before["train"])
    assert added.min() == observed.n_sources
    assert len(added) / n_paired(mixed, "train") == pytest.approx(0.4, abs=0.02)
    assert all(mixed.texts_of(source) for source in added.tolist())
    simulated = [mixed.detections[row].simulated for row in range(len(mixed))]
    assert simulated == [False] * len(observed) + [True] * (len(mixed) - len(observed))


def test_what_is_observed_stays_as_it_was(observed):
    mixed = mix_simulated(observed, 0.2, 0)
    n = len(observed)
    np.testing.assert_array_equal(mixed.counts[:n], observed.counts)
    np.testing.assert_array_equal(mixed.source[:n], observed.source)
    assert mixed.texts_of(3) == observed.texts_of(3)
    assert mixed.name.startswith("observed and ")


def test_no_share_is_the_dataset_itself(observed):
    assert mix_simulated(observed, 0.0, 0) is observed


def test_simulation_is_mixed_into_what_was_observed_only(observed):
    assert default_share(observed) == DEFAULT_SHARE
    assert default_share(simulate(20, 4)) == 0
