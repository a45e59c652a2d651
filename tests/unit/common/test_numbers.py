import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.numbers import N_NUMBER_FEATURES, number_features, numbers_in, split_quantities


@pytest.mark.parametrize(
    ("sentence", "numbers"),
    [
        ("a photon index of 1.7 +/- 0.1", [1.7, 0.1]),
        ("a column density of 5.3e21 per square cm.", [5.3e21]),
        ("N_H = 6.2 x 10^22 cm^-2", [6.2e22]),
        ("N_H = 6.2 \u00d7 10²² cm⁻²", [6.2e22]),
        (r"$1.5\times10^{-13}$ erg s$^{-1}$ in 2-10 keV", [1.5e-13, 2, 10]),
        ("10^{21} and 10^-3", [1e21, 1e-3]),
        ("Γ≈1.9; kT~.5 keV", [1.9, 0.5]),
        ("a Seyfert 2 galaxy", [2]),
        ("NGC4258 and M31", []),
        ("zero is 0.0 and 1e999 too large", []),
        ("no number at all", []),
    ],
)
def test_numbers_are_read_as_papers_write_them(sentence, numbers):
    assert numbers_in(sentence) == pytest.approx(numbers)


def test_a_sentence_with_several_quantities_is_split_between_them():
    assert split_quantities("Gamma = 1.7 +/- 0.1, kT = 0.6 keV and a redshift of 0.2") == [
        "Gamma = 1.7 +/- 0.1",
        "kT = 0.6 keV",
        "and a redshift of 0.2",
    ]


@pytest.mark.parametrize(
    "sentence", ["between 6.4 and 7 keV", "A flat, hard continuum is found.", "", "z = 0.5"]
)
def test_a_sentence_with_one_quantity_stays_whole(sentence):
    assert split_quantities(sentence) == [sentence]


@given(st.text(max_size=200))
def test_features_of_any_text_are_finite_and_bounded(sentence):
    features = number_features([sentence])
    assert features.shape == (1, N_NUMBER_FEATURES)
    assert np.abs(features).max() <= 1 + 1e-6
    assert (features[0, 0] == 1) == bool(numbers_in(sentence))


@given(st.floats(1e-20, 1e40), st.floats(1.1, 1.9))
def test_numbers_that_differ_by_a_tenth_have_different_features(value, factor):
    one, other = number_features([f"{value:.6e}", f"{value * factor:.6e}"])
    assert np.linalg.norm(one - other) > 0.1


@given(st.text(alphabet="ab 1.2,;and", max_size=80))
def test_splitting_loses_no_number(sentence):
    parts = split_quantities(sentence)
    assert [x for part in parts for x in numbers_in(part)] == numbers_in(sentence)
