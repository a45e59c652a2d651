import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from common.binning import (
    BIN_EDGES_KEV,
    BIN_WIDTH_KEV,
    ENERGY_HI_KEV,
    ENERGY_LO_KEV,
    N_BINS,
    count_rate,
    min_max,
    rebin,
)
from common.errors import InvalidSpectrumError


@st.composite
def channels_in_band(draw):
    """Channels of any width, with gaps or without, at least one reaching into the band."""
    steps = draw(st.lists(st.floats(1e-4, 3.0), min_size=2, max_size=60))
    start = draw(st.floats(0.0, 7.9))
    edges = start + np.concatenate([[0.0], np.cumsum(steps)])
    gaps = draw(st.booleans())
    lo, hi = (edges[:-1:2], edges[1::2]) if gaps else (edges[:-1], edges[1:])
    n = min(len(lo), len(hi))
    lo, hi = lo[:n], hi[:n]
    counts = draw(st.lists(st.integers(0, 100_000), min_size=n, max_size=n))
    shift = 0.0 if np.any(hi > ENERGY_LO_KEV) else 0.5
    return np.array(counts, dtype=float), lo + shift, hi + shift


def counts_inside(counts, lo, hi):
    overlap = np.clip(np.minimum(hi, ENERGY_HI_KEV) - np.maximum(lo, ENERGY_LO_KEV), 0, None)
    return float(np.sum(counts * overlap / (hi - lo)))


@given(channels_in_band())
def test_rebin_conserves_the_counts_inside_the_band(channels):
    counts, lo, hi = channels
    binned = rebin(counts, lo, hi)
    assert binned.shape == (N_BINS,)
    assert binned.sum() == pytest.approx(
        counts_inside(*channels), rel=1e-9, abs=1e-12 * (1 + counts.sum())
    )


@given(channels_in_band())
def test_rebin_gives_each_bin_its_overlap_with_every_channel(channels):
    counts, lo, hi = channels
    left = np.maximum(lo[:, None], BIN_EDGES_KEV[None, :-1])
    right = np.minimum(hi[:, None], BIN_EDGES_KEV[None, 1:])
    expected = counts / (hi - lo) @ np.clip(right - left, 0, None)
    np.testing.assert_allclose(
        rebin(counts, lo, hi), expected, rtol=1e-8, atol=1e-9 * (1 + counts.sum())
    )


@given(npst.arrays(np.float64, N_BINS, elements=st.integers(0, 1_000_000)))
def test_rebin_of_the_bins_themselves_changes_nothing(counts):
    binned = rebin(counts, BIN_EDGES_KEV[:-1], BIN_EDGES_KEV[1:])
    np.testing.assert_allclose(binned, counts, rtol=1e-9, atol=1e-6)


def test_rebin_shares_a_channel_wider_than_the_band_out_evenly():
    binned = rebin(np.array([150.0]), np.array([0.0]), np.array([15.0]))
    np.testing.assert_allclose(binned, 75.0 / N_BINS)


def test_rebin_drops_the_part_of_a_channel_outside_the_band():
    binned = rebin(np.array([10.0, 10.0]), np.array([0.4, 7.9]), np.array([0.6, 8.4]))
    assert binned.sum() == pytest.approx(5.0 + 2.0)


def test_rebin_leaves_gaps_between_channels_empty():
    binned = rebin(np.array([4.0, 4.0]), np.array([1.0, 3.0]), np.array([2.0, 4.0]))
    centres = (BIN_EDGES_KEV[:-1] + BIN_EDGES_KEV[1:]) / 2
    assert np.all(binned[(centres > 2.02) & (centres < 2.98)] == 0)
    assert binned.sum() == pytest.approx(8.0)


@pytest.mark.parametrize(("lo", "hi"), [(8.0, 10.0), (0.1, 0.5)])
def test_rebin_refuses_channels_outside_the_band(lo, hi):
    with pytest.raises(InvalidSpectrumError, match=r"nothing inside 0\.5-8 keV"):
        rebin(np.array([3.0]), np.array([lo]), np.array([hi]))


def test_count_rate_is_per_second_and_kev():
    rate = count_rate(np.full((2, N_BINS), 3.0), np.array([10.0, 20.0]))
    assert rate[0, 0] == pytest.approx(3.0 / 10.0 / BIN_WIDTH_KEV)
    assert rate[1, 0] == pytest.approx(rate[0, 0] / 2)


@given(
    npst.arrays(np.float64, N_BINS, elements=st.integers(0, 1000)).filter(
        lambda counts: np.ptp(counts) > 0
    ),
    st.floats(1e-3, 1e6),
)
def test_min_max_spans_zero_to_one_whatever_the_exposure(counts, exposure_s):
    shape = min_max(counts)
    assert (shape.min(), shape.max()) == (0.0, 1.0)
    np.testing.assert_allclose(min_max(count_rate(counts, exposure_s)), shape, atol=1e-12)


def test_min_max_scales_each_spectrum_of_a_batch_on_its_own():
    batch = np.zeros((2, N_BINS))
    batch[0, 0], batch[1, 1] = 5.0, 7.0
    np.testing.assert_array_equal(min_max(batch), batch / np.array([[5.0], [7.0]]))


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_min_max_refuses_a_spectrum_without_a_shape(value):
    with pytest.raises(InvalidSpectrumError, match="shape is not defined"):
        min_max(np.full(N_BINS, value))
