import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.concept_rules import imply, label_concepts, plain_text, read_concepts
from common.concepts import N_CONCEPTS, NAMES

CLEAR = 0.8
FAINT = 0.5


def clear(text):
    told = read_concepts(text)
    return {name for name, value in zip(NAMES, told, strict=True) if value >= CLEAR}


@pytest.mark.parametrize(
    ("text", "concepts"),
    [
        ("a Seyfert 2 galaxy", {"agn", "seyfert2"}),
        ("Sy2 galaxies", {"agn", "seyfert2"}),
        ("NLS1s", {"agn", "seyfert1"}),
        ("neutron star low-mass X-ray binaries", {"low_mass_binary", "neutron_star_binary"}),
        ("Be/X-ray binaries", {"high_mass_binary", "neutron_star_binary", "xray_binary"}),
        ("the SNRs of the LMC", {"supernova_remnant"}),
        ("soft gamma repeaters", {"magnetar", "isolated_neutron_star"}),
        ("SN2014J", {"supernova"}),
        ("intracluster medium", {"cluster_of_galaxies", "thermal"}),
        ("colliding winds", {"massive_star", "star"}),
        ("a magnetic white dwarf", {"cataclysmic_variable"}),
        (r"the Fe K$\alpha$ line", {"iron_line"}),
        ("the Fe K\u03b1 line", {"iron_line"}),
        ("a hard X-ray source behind a thick column", {"hard", "absorbed", "heavily_absorbed"}),
    ],
)
def test_wording_tells_concepts(text, concepts):
    assert concepts <= clear(text)


@pytest.mark.parametrize(
    ("text", "concepts"),
    [
        ("N_H = 3 x 10^23 cm^-2", {"absorbed", "heavily_absorbed", "hard"}),
        (r"$N_{\rm H}\sim10^{22}$ cm$^{-2}$", {"absorbed"}),
        (r"$N_{\mathrm{H}}=(2.3\pm0.4)\times10^{24}\,{\rm cm}^{-2}$", {"heavily_absorbed"}),
        ("a column density of 6.2 \u00d7 10\u00b2\u00b2 cm\u207b\u00b2", {"absorbed"}),
        ("log(N_H/cm^-2) = 24.2", {"heavily_absorbed"}),
        ("a photon index of 1.9", {"power_law"}),
        (r"$\Gamma = 1.3 \pm 0.1$", {"power_law", "flat", "hard"}),
        ("\u0393 \u2248 2.8", {"power_law", "steep", "soft"}),
        ("kT = 0.6 keV", {"cool_plasma", "thermal", "soft"}),
        ("kT = 7.3 (+0.4/-0.3) keV", {"hot_plasma", "thermal"}),
        ("a temperature of about 20 MK", {"thermal"}),
        ("gas of 5 keV", {"hot_plasma"}),
        ("a blackbody with a temperature of 80 eV", {"blackbody", "supersoft", "soft"}),
    ],
)
def test_values_tell_concepts(text, concepts):
    assert concepts <= clear(text)


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("no evidence for absorption", "absorbed"),
        ("the source is not obscured", "absorbed"),
        ("without an iron line", "iron_line"),
        ("a quasar rather than a blazar", "blazar"),
        ("the unabsorbed flux is 1e-13 erg/s", "unabsorbed"),
        ("broad absorption lines", "absorbed"),
        ("the 2-10 keV band", "hot_plasma"),
        ("a signal of 3 keV", "hot_plasma"),
        ("a Lorentz factor Gamma = 1.2", "flat"),
        ("0.3 arcsec and 10^22 W/Hz", "absorbed"),
        ("soft gamma repeaters", "soft"),
        ("the survey is hard to complete", "hard"),
        ("a plasma of 5 keV", "cool_plasma"),
    ],
)
def test_what_is_denied_or_means_something_else_does_not_count(text, concept):
    assert read_concepts(text)[NAMES.index(concept)] < FAINT


def test_a_denial_ends_with_its_clause():
    assert "iron_line" in clear("no absorption, but a strong iron line")


def test_absorption_denied_is_told():
    assert "unabsorbed" in clear("There is no evidence for absorption.")


def test_the_title_counts_for_more_than_a_mention_in_passing():
    told = read_concepts(
        ["A new pulsar wind nebula. We report it.", "A quasar is in the field.", "It is bright."]
    )
    assert told[NAMES.index("pulsar_wind_nebula")] > 2 * told[NAMES.index("quasar")] > 0


def test_sections_that_repeat_each_other_count_once():
    question = "soft X-rays of stars"
    np.testing.assert_array_equal(read_concepts([question] * 3), read_concepts(question))


def test_labels_of_a_corpus_become_concepts():
    told, known = label_concepts(["blazar", "no such label"])
    assert known
    assert {NAMES[row] for row in np.flatnonzero(told)} == {"agn", "blazar"}
    assert not label_concepts(["no such label"])[1]


def test_what_is_implied_is_passed_on():
    told = np.zeros(N_CONCEPTS)
    told[NAMES.index("supersoft_source")] = 0.7
    assert imply(told)[NAMES.index("soft")] == 0.7


def test_latex_is_taken_out():
    assert plain_text(r"$N_{\rm H}\sim10^{ 22}$ K\alpha").split() == [
        "N_",
        "H",
        "10^22",
        "K",
        "alpha",
    ]


@given(st.text(max_size=300) | st.text("kTN_H=.0123456789^{}\\$-+ keVGamma", max_size=80))
def test_any_text_can_be_read(text):
    told = read_concepts(text)
    assert told.shape == (N_CONCEPTS,)
    assert told.dtype == np.float32
    assert ((told >= 0) & (told <= 1)).all()
