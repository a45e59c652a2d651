import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from common.binning import BIN_EDGES_KEV, N_BINS
from common.records import Spectrum, Summary, point_id
from search.collections.kept_inputs import (
    SCHEMA,
    SPECTRA,
    keep_inputs,
    read_inputs,
    spectrum_inputs,
    summary_inputs,
    unpack,
)
from search.store.embedded import EmbeddedStore

SUMMARY = Summary("a quasar", "a hard spectrum", "an obscured nucleus", "extractive")
KEY = "csc2.1/100/0/1"
COUNTS = np.arange(N_BINS) / 7


def spectrum(counts=COUNTS, exposure_s=1234.5):
    return Spectrum(counts, BIN_EDGES_KEV[:-1], BIN_EDGES_KEV[1:], exposure_s)


def packed(content):
    return base64.b64encode(zlib.compress(content)).decode()


@given(
    npst.arrays(np.float64, N_BINS, elements=st.floats(0, 1e6)),
    st.floats(1e-3, 1e7),
)
def test_unpacked_counts_are_those_that_were_packed(counts, exposure_s):
    given_ = spectrum(counts, exposure_s)
    found = unpack(spectrum_inputs(KEY, given_))
    np.testing.assert_array_equal(found.counts, given_.binned_counts())
    assert found.exposure_s == exposure_s
    assert found.spectrum_hash == given_.hash()


def test_spectrum_and_text_are_kept_side_by_side_in_any_order(tmp_path):
    point = point_id("detection", KEY)
    with EmbeddedStore(tmp_path / "store") as store:
        store.create_collection(SPECTRA, SCHEMA)
        keep_inputs(store, {point: summary_inputs(KEY, SUMMARY)})
        assert read_inputs(store, [point])[point].counts is None
        keep_inputs(store, {point: spectrum_inputs(KEY, spectrum())})
        found = read_inputs(store, [point])[point]
    assert found.summary == SUMMARY
    assert found.summary_hash == SUMMARY.hash()
    np.testing.assert_array_equal(found.counts, spectrum().binned_counts())


@pytest.mark.parametrize(
    "counts",
    [
        None,
        7,
        "",
        "no base64!",
        "AAAA",
        packed(b"short"),
        packed(bytes(N_BINS * 8 + 8)),
        packed(bytes(50_000_000)),
        packed(np.full(N_BINS, np.nan).tobytes()),
        packed(np.full(N_BINS, -1.0).tobytes()),
        packed(np.ones(N_BINS).tobytes()),
    ],
)
def test_damaged_counts_are_missing(counts):
    assert unpack(spectrum_inputs(KEY, spectrum()) | {"counts": counts}).counts is None


@pytest.mark.parametrize("exposure_s", [None, "long", 1.0])
def test_another_exposure_than_the_hash_is_of_is_damage(exposure_s):
    found = unpack(spectrum_inputs(KEY, spectrum()) | {"exposure_s": exposure_s})
    assert found.counts is None
    assert found.spectrum_hash is None


@pytest.mark.parametrize("text", [None, "prose", {}, {"nature": "x"}])
def test_damaged_texts_are_missing(text):
    assert unpack(summary_inputs(KEY, SUMMARY) | {"summary": text}).summary is None


def test_a_text_that_does_not_fit_its_hash_is_missing():
    payload = summary_inputs(KEY, SUMMARY)
    payload["summary"] |= {"nature": "a star"}
    assert unpack(payload).summary is None
