from dataclasses import FrozenInstanceError
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.binning import BIN_EDGES_KEV
from common.records import (
    Detection,
    Outcome,
    Paper,
    Refusal,
    Spectrum,
    Summary,
    catalogue_key,
    content_hash,
    file_key,
    point_id,
)


def spectrum(counts, exposure_s=1000.0):
    return Spectrum(np.asarray(counts, float), BIN_EDGES_KEV[:-1], BIN_EDGES_KEV[1:], exposure_s)


def test_keys_are_readable():
    assert catalogue_key("2.0", 1575, 1, 475) == "csc2.0/1575/1/475"
    assert file_key("XMM", "EPN", 693760101, "ab12") == "file/XMM/EPN/693760101/ab12"
    assert file_key("ASCA", "SIS0", None, "ab12") == "file/ASCA/SIS0/-/ab12"


def test_point_ids_stay_what_they_were_when_first_stored():
    detection = Detection(key="csc2.0/1575/1/475", telescope="CHANDRA", instrument="ACIS")
    paper = Paper(bibcode="2010A&A...518A..10V", title="", abstract="")
    assert detection.id == UUID("63495c0d-342b-5726-89be-780e0bac790b")
    assert paper.id == UUID("aecb0862-6cb1-55ec-9c4e-82863a3cbd98")


@given(st.text(), st.text())
def test_point_ids_differ_where_kind_or_key_does(one, other):
    assert point_id("detection", one) != point_id("paper", one)
    assert (point_id("paper", one) == point_id("paper", other)) == (one == other)


@given(st.lists(st.binary(), max_size=4), st.lists(st.binary(), max_size=4))
def test_content_hash_tells_apart_how_parts_are_divided(one, other):
    assert (content_hash(*one) == content_hash(*other)) == (one == other)


def test_content_hash_of_an_array_does_not_depend_on_its_memory_layout():
    array = np.arange(12.0).reshape(3, 4)
    assert content_hash(array) == content_hash(np.asfortranarray(array))
    assert content_hash(array) == content_hash(array[::-1][::-1])
    assert content_hash("a", array) != content_hash("b", array)


def test_a_spectrum_on_the_bins_keeps_its_counts():
    counts = np.arange(400.0)
    np.testing.assert_allclose(spectrum(counts).binned_counts(), counts, atol=1e-9)


def test_the_hash_of_a_spectrum_is_that_of_its_content():
    counts = np.arange(400.0)
    assert spectrum(counts).hash() == spectrum(counts.copy()).hash()
    assert spectrum(counts).hash() != spectrum(counts[::-1]).hash()
    assert spectrum(counts).hash() != spectrum(counts, exposure_s=1001.0).hash()


def test_the_hash_of_a_summary_is_that_of_its_sections():
    summary = Summary("a", "b", "c", "given")
    assert summary.sections() == ("a", "b", "c")
    assert summary.hash() == Summary("a", "b", "c", "simulated").hash()
    assert summary.hash() != Summary("b", "a", "c", "given").hash()
    assert summary.hash() != Summary("ab", "", "c", "given").hash()


def test_records_cannot_be_altered():
    detection = Detection(key="k", telescope="CHANDRA", instrument="ACIS")
    with pytest.raises(FrozenInstanceError):
        detection.key = "other"


def test_the_outcome_of_a_refusal_says_what_and_why():
    outcome = Outcome.refused(Refusal("a.pha", "no counts: give another"))
    assert outcome == Outcome("a.pha", "refused", "no counts: give another")
