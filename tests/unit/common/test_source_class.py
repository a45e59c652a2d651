import csv
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidQueryError
from common.source_class import known_labels, label_of, normalise, normalise_or_none

SIMULATED = (
    "AGN QSO YSO Seyfert1 LMXB HMXB Star Seyfert2 ULX CV ClG GlobCluster"  # classes of simbench
)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("Star", "Star"),
        ("AGN", "Galaxy > AGN"),
        ("Sy1", "Galaxy > AGN > SyG > Sy1"),
        ("Seyfert_1", "Galaxy > AGN > SyG > Sy1"),
        ("Seyfert1", "Galaxy > AGN > SyG > Sy1"),
        ("seyfert 1", "Galaxy > AGN > SyG > Sy1"),
        ("LINER", "Galaxy > AGN > LIN"),
        ("QSO", "Galaxy > AGN > QSO"),
        ("BLLac", "Galaxy > AGN > QSO > Bla > BLL"),
        ("CV*", "Star > ** > CV*"),
        ("CataclyV*", "Star > ** > CV*"),
        ("LMXB", "Star > ** > XB* > LXB"),
        ("HighMassXBin", "Star > ** > XB* > HXB"),
        ("XB", "Star > ** > XB*"),
        ("BHXB", "Star > ** > XB* > BHXB"),
        ("Pulsar", "Star > Ma* > N* > Psr"),
        ("TTau*", "Star > Y*O > TT*"),
        ("Orion_V*", "Star > Y*O > Or*"),
        ("BYDra", "Star > ** > BY*"),
        ("Flare*", "Star > V* > Er*"),
        ("GlobCluster", "Cl* > GlC"),
        ("ULX", "X > ULX"),
        ("Radio", "Radio"),
        ("IR<10um", "IR > NIR"),
        ("SNR", "ISM > SNR"),
        ("BH", "Gravitation > BH"),
    ],
)
def test_normalise_gives_simbads_path(name, path):
    assert " > ".join(normalise(name)) == path


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("AG?", "Candidate > G? > AG?"),
        ("AGN_Candidate", "Candidate > G? > AG?"),
        ("QSO?", "Candidate > G? > AG? > Q?"),
        ("CV*_Candidate", "Candidate > **? > CV?"),
        ("YSO_Candidate", "Candidate > Y*?"),
        ("Candidate_LMXB", "Candidate > **? > XB? > LX?"),
        ("ULX?_Candidate", "Candidate > UX?"),
        ("LensSystem_Candidate", "Candidate > LS?"),
    ],
)
def test_candidates_have_a_tree_of_their_own(name, path):
    assert " > ".join(normalise(name)) == path


def test_no_candidate_is_found_under_a_confirmed_class():
    for label in known_labels():
        path = normalise(label)
        if path[0] == "Candidate":
            assert all(part.endswith("?") or "?" in part for part in path[1:])
        else:
            assert "Candidate" not in path


@given(st.sampled_from(known_labels()))
def test_normalise_of_a_label_ends_in_it_and_repeats_itself(label):
    path = normalise(label)
    assert path[-1] == label == label_of(label)
    assert [normalise(part) for part in path] == [path[: n + 1] for n in range(len(path))]


@given(st.sampled_from(known_labels()), st.data())
def test_case_blanks_and_underscores_do_not_matter(label, data):
    gap = data.draw(st.sampled_from(["", " ", "_", "-", "  "]))
    at = data.draw(st.integers(0, len(label)))
    spelled = label[:at] + gap + label[at:]
    spelled = data.draw(st.sampled_from([spelled, spelled.lower(), spelled.upper()]))
    assert normalise(spelled) == normalise(label)


def test_every_class_in_the_real_tables_is_known(shared_data):
    names = set(SIMULATED.split())
    for table, columns in {
        "csc20_detections.csv.gz": ["source_class"],
        "csc20_sources_simbad.csv.gz": ["main_type", "other_types"],
    }.items():
        with gzip.open(shared_data / "csc" / table, "rt") as file:
            for row in csv.DictReader(file):
                names.update(part for column in columns for part in row[column].split("|"))
    names.discard("")
    assert len(names) > 150
    assert [name for name in names if normalise_or_none(name) is None] == []


@pytest.mark.parametrize(
    ("typed", "meant"), [("AGM", "AGN"), ("Sefert 1", "Sy1"), ("LXMB", "LXB"), ("blazer", "Bla")]
)
def test_an_unknown_class_is_refused_with_the_nearest_names(typed, meant):
    with pytest.raises(InvalidQueryError, match=rf"{typed}.*nearest.*\b{meant}\b.*SIMBAD"):
        normalise(typed)
    assert normalise_or_none(typed) is None


def test_a_name_like_nothing_known_is_refused_briefly():
    with pytest.raises(InvalidQueryError) as caught:
        normalise("x" * 100_000)
    assert len(str(caught.value)) < 300
    assert normalise_or_none("") is None
