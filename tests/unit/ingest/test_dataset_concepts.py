"""Concepts of a dataset's detections."""

from dataclasses import replace

import numpy as np
import pytest

from common.concepts import NAMES
from common.errors import InvalidTableError
from ingest.dataset.dataset import read_dataset, read_pairs, write_dataset
from ingest.simulation.simulate import simulate


def test_concepts_are_read_by_name_and_missing_where_nobody_knows(write):
    dataset = read_dataset(write(concepts=["star soft", "", "hard agn absorbed"]))
    held = [{NAMES[index] for index in np.flatnonzero(row)} for row in dataset.concepts]
    assert held == [{"star", "soft"}, set(), {"agn", "absorbed", "hard"}]
    assert read_dataset(write()).concepts is None


def test_concepts_survive_writing_and_reading(tmp_path):
    dataset = simulate(40, 2, population="even")
    write_dataset(dataset, tmp_path / "even")
    np.testing.assert_array_equal(read_dataset(tmp_path / "even").concepts, dataset.concepts)
    write_dataset(replace(dataset, concepts=None), tmp_path / "none")
    assert read_dataset(tmp_path / "none").concepts is None


def test_concepts_of_ambiguous_rows_are_left_out_with_them(write):
    path = write(
        n=3,
        obsid=[1, 1, 2],
        obi=[0, 0, 0],
        region_id=[5, 5, 5],
        name=["A", "B", "C"],
        source=None,
        release=["2.1"] * 3,
        concepts=["star", "agn", "soft"],
    )
    dataset, refusals = read_pairs(path)
    assert len(refusals) == 2
    assert dataset.concepts.shape == (1, len(NAMES))
    assert dataset.concepts[0, NAMES.index("soft")]


def test_unknown_concepts_are_named(write):
    with pytest.raises(InvalidTableError, match=r"detections\.npz: unknown concepts warp_drive"):
        read_dataset(write(concepts=["star", "agn warp_drive", ""]))


def test_concepts_of_another_shape_are_refused():
    dataset = simulate(20, 0)
    with pytest.raises(InvalidTableError, match=r"concepts has shape \(20, 3\), expected \(20, "):
        replace(dataset, concepts=dataset.concepts[:, :3])
