import re
import zipfile
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from dataset_files import section_texts
from hypothesis import given, settings
from hypothesis import strategies as st

from common.dataset import Dataset, Text, split_by_source
from common.errors import InvalidTableError
from common.records import Detection, Summary, catalogue_key
from common.source_class import normalise
from common.variables import VARIABLE_NAMES
from ingest.dataset.dataset import read_dataset, read_pairs, write_dataset

# Real datasets


def test_simbench_is_read_whole_and_splits_as_published(shared_data):
    dataset = read_dataset(shared_data / "simbench")
    assert (dataset.name, len(dataset), dataset.n_sources) == ("simbench", 11_447, 7_631)
    assert dataset.simulated
    assert all(detection.simulated for detection in dataset.detections)
    test = split_by_source(dataset.n_sources)["test"]
    assert (len(test), np.isin(dataset.source, test).sum()) == (1_144, 1_719)
    assert dataset.detections[1].source_class == normalise("LMXB")
    assert dataset.summary_of(1).nature.startswith("This object is a neutron star")
    assert dataset.summary_of(1).method == "simulated"
    assert dataset.texts[1].bibcode == "simbench:1"
    assert dataset.detections[1].bibcodes == ("simbench:1",)


def test_simbench_values_are_those_of_the_file(shared_data):
    dataset = read_dataset(shared_data / "simbench")
    with np.load(shared_data / "simbench" / "detections.npz") as file:
        np.testing.assert_array_equal(dataset.counts, file["counts"])
        np.testing.assert_array_equal(dataset.source, file["source"])
        np.testing.assert_array_equal(dataset.exposure_s, file["exposure"])
        for name in VARIABLE_NAMES:
            np.testing.assert_array_equal(dataset.variables[name], file[name])


def test_csc20_fits_are_grouped_by_name_under_their_catalogue_keys(shared_data):
    dataset, refusals = read_pairs(shared_data / "csc" / "csc20_fits.npz")
    first = dataset.detections[0]
    assert first.key == catalogue_key("2.0", 5479, 0, 17)
    assert (first.telescope, first.instrument, first.obsid) == ("CHANDRA", "ACIS", 5479)
    assert first.source_name == "2CXO J062244.5-002044"
    assert dataset.n_sources == len({d.source_name for d in dataset.detections})
    assert dataset.texts == []
    assert np.isnan(dataset.variables["apec_kt"]).all()
    assert "apec_kt" not in first.variables
    assert len(dataset) + len(refusals) == 1_588


def test_csc20_rows_matched_to_several_sources_are_left_out_by_name(shared_data, caplog):
    dataset, refusals = read_pairs(shared_data / "csc" / "csc20_fits.npz")
    confused = catalogue_key("2.0", 5469, 0, 1)
    assert sum(confused in refusal.input for refusal in refusals) == 25
    assert confused not in {d.key for d in dataset.detections}
    read_dataset(shared_data / "csc" / "csc20_fits.npz")
    assert confused in caplog.text


def test_csc20_spectra_drawn_from_fits_are_labelled_simulated(shared_data):
    dataset = read_dataset(shared_data / "csc" / "csc20_fits.npz")
    assert dataset.simulated
    assert all(detection.simulated for detection in dataset.detections)


# The format


def test_documented_example_works(repository, tmp_path, monkeypatch, capsys):
    page = (repository / "docs" / "reference" / "dataset-format.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert capsys.readouterr().out == "2 sources\n"
    dataset = read_dataset(tmp_path / "my_pairs")
    assert [d.source_class[-1] for d in dataset.detections] == ["QSO", "QSO", "Sy2"]
    assert not dataset.simulated


def test_documentation_names_every_array(repository):
    page = (repository / "docs" / "reference" / "dataset-format.md").read_text(encoding="utf-8")
    from ingest.dataset.rows import KINDS

    assert [name for name in KINDS if f"`{name}`" not in page] == []


def test_source_labels_may_be_any_text_or_number(write):
    dataset = read_dataset(
        write(
            source=np.array(["b", "a", "b"]),
            summaries=[section_texts(source="b", bibcode="2003A&A...402..477M")],
        )
    )
    assert dataset.source.tolist() == [1, 0, 1]
    assert dataset.texts_of(0) == ()
    assert [(text.source, text.bibcode) for text in dataset.texts] == [(1, "2003A&A...402..477M")]
    assert dataset.detections[2].bibcodes == ("2003A&A...402..477M",)


def test_keys_are_given_or_of_the_catalogue_or_of_the_row(write):
    ids = {"obsid": np.array([-1, 635, 635]), "obi": np.zeros(3, int), "region_id": np.arange(3)}
    dataset = read_dataset(
        write(key=np.array(["mine", "", ""]), release=np.array(["", "2.1", ""]), **ids)
    )
    assert [d.key for d in dataset.detections] == ["mine", "csc2.1/635/0/1", "dataset/pairs/2"]
    assert [d.obsid for d in dataset.detections] == [None, 635, 635]


@pytest.mark.parametrize(
    ("argument", "description", "expected"),
    [("2.0", {"release": "2.1"}, "2.0"), (None, {"release": "csc20"}, "2.0"), (None, None, "2.1")],
)
def test_release_comes_from_argument_then_description_then_default(
    write, argument, description, expected
):
    ids = {name: np.arange(3) for name in ("obsid", "obi", "region_id")}
    dataset = read_dataset(write(description=description, **ids), release=argument)
    assert {d.release for d in dataset.detections} == {expected}


@pytest.mark.parametrize(
    ("columns", "description", "expected"),
    [
        ({}, None, [True, True, True]),
        ({}, {"simulated": False}, [False, False, False]),
        ({"obsid": np.arange(3)}, None, [False, False, False]),
        ({"name": np.array(["a", "b", "c"])}, None, [False, False, False]),
        ({"name": np.array(["a", "b", "c"])}, {"simulated": True}, [True, True, True]),
        ({"simulated": np.array([True, False, False])}, {"simulated": False}, [True, False, False]),
        ({"obsid": np.arange(3), "drawn_from": np.array(["bb", "", ""])}, None,
         [True, False, False]),
    ],
)  # fmt: skip
def test_simulated_is_what_the_dataset_says_or_cannot_disprove(
    write, columns, description, expected
):
    dataset = read_dataset(write(description=description, **columns))
    assert [d.simulated for d in dataset.detections] == expected
    assert dataset.simulated is any(expected)


def test_values_outside_the_valid_range_are_no_values(write):
    dataset = read_dataset(
        write(hard_hs=np.float32([-0.5, -1.5, np.inf]), bb_kt=np.array([0, -1, 1]))
    )
    np.testing.assert_array_equal(dataset.variables["hard_hs"], [-0.5, np.nan, np.nan])
    np.testing.assert_array_equal(dataset.variables["bb_kt"], [0.0, np.nan, 1.0])
    assert [d.variables for d in dataset.detections] == [
        {"hard_hs": -0.5, "bb_kt": 0.0}, {}, {"bb_kt": 1.0},
    ]  # fmt: skip


def test_times_without_zone_are_utc(write):
    dataset = read_dataset(write(observed_at=np.array(["2003-05-14T10:20:30", "", "2003-05-14"])))
    assert dataset.detections[0].observed_at == datetime(2003, 5, 14, 10, 20, 30, tzinfo=UTC)
    assert dataset.detections[1].observed_at is None


def test_unknown_class_keeps_the_row_and_warns(write, caplog):
    dataset = read_dataset(write(source_class=np.array(["AGN", "Sy7", ""])))
    assert [d.source_class for d in dataset.detections] == [normalise("AGN"), (), ()]
    assert "Sy7" in caplog.text


def test_unknown_arrays_are_not_opened(write):
    path = write() / "detections.npz"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("facts.npy", b"no array at all")
    assert len(read_dataset(path.parent)) == 3


# Round trip

TEXT = st.text("abc ÄΩ*&.", min_size=1).filter(str.strip)


@st.composite
def datasets(draw):
    n_sources = draw(st.integers(1, 4))
    extra = draw(st.lists(st.integers(0, n_sources - 1), max_size=3))
    source = np.array(draw(st.permutations([*range(n_sources), *extra])))
    n = len(source)
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    whole = draw(st.booleans())
    counts = rng.poisson(2.0, size=(n, 400)) if whole else rng.gamma(2.0, size=(n, 400))
    variables = {name: np.full(n, np.nan) for name in VARIABLE_NAMES}
    for name in ("hard_hs", "var_prob_b"):
        values = st.one_of(st.just(np.nan), st.floats(0, 1, width=draw(st.sampled_from([32, 64]))))
        variables[name] = np.array(draw(st.lists(values, min_size=n, max_size=n)))
    flags = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    simulated = any(flags)
    methods = st.sampled_from(["given", "extractive", "simulated"])
    texts_of = [
        [
            Text(
                source=i,
                bibcode=f"2003A&A...402..{i}{j:02d}M",
                summary=draw(st.builds(Summary, TEXT, TEXT, TEXT, methods)),
                title=draw(st.one_of(st.just(""), TEXT)),
                abstract=draw(st.one_of(st.just(""), TEXT)),
                year=draw(st.one_of(st.none(), st.integers(1900, 2100))),
                object=draw(st.one_of(st.none(), TEXT)),
            )
            for j in range(draw(st.integers(0, 3)))
        ]
        for i in (*range(n_sources), None)
    ]
    bibcodes = [tuple(text.bibcode for text in texts) for texts in texts_of]
    name = draw(TEXT)
    use = draw(st.sampled_from(["any", "test"]))
    known = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    origins = draw(st.lists(st.sampled_from(["", "PHA"]), min_size=n, max_size=n))
    positions = st.one_of(st.none(), st.floats(-90, 90).map(abs))
    exposure_s = rng.uniform(1, 1e5, size=n)
    detections = [
        Detection(
            key=f"key/{row}",
            telescope=draw(st.sampled_from(["CHANDRA", "XMM"])),
            instrument=draw(st.sampled_from(["ACIS", "PN"])),
            obsid=draw(st.one_of(st.none(), st.integers(0, 99_999))),
            obi=draw(st.one_of(st.none(), st.integers(0, 9))),
            region_id=draw(st.one_of(st.none(), st.integers(0, 9_999))),
            release=draw(st.sampled_from([None, "2.0", "2.1"])),
            source_name=draw(st.one_of(st.none(), TEXT)),
            ra_deg=draw(positions),
            dec_deg=draw(positions),
            observed_at=draw(st.one_of(st.none(), st.datetimes(timezones=st.just(UTC)))),
            exposure_s=float(exposure_s[row]),
            source_class=draw(st.sampled_from([(), normalise("Sy1"), normalise("LMXB")])),
            variables={k: float(v[row]) for k, v in variables.items() if np.isfinite(v[row])},
            catalogue=({} if known[row] else {"exposure_known": False})
            | ({"origin": origins[row]} if origins[row] else {})
            | ({"use": "test"} if use == "test" else {}),
            bibcodes=bibcodes[source[row]],
            simulated=flags[row],
        )
        for row in range(n)
    ]
    return Dataset(
        name=name,
        counts=counts.astype(float),
        exposure_s=exposure_s,
        source=source,
        variables=variables,
        detections=detections,
        texts=[text for texts in texts_of for text in texts],
        simulated=simulated,
        use=use,
    )


def assert_same(actual, expected):
    assert actual.name == expected.name
    assert actual.simulated == expected.simulated
    assert actual.detections == expected.detections
    assert actual.use == expected.use
    assert list(actual.texts) == list(expected.texts)
    np.testing.assert_array_equal(actual.counts, expected.counts)
    np.testing.assert_array_equal(actual.exposure_s, expected.exposure_s)
    np.testing.assert_array_equal(actual.source, expected.source)
    for name in VARIABLE_NAMES:
        np.testing.assert_array_equal(actual.variables[name], expected.variables[name])


@given(datasets())
@settings(max_examples=40)
def test_written_dataset_is_read_back_as_it_was(tmp_path_factory, dataset):
    folder = tmp_path_factory.mktemp("dataset")
    write_dataset(dataset, folder)
    assert_same(read_dataset(folder), dataset)


def test_writing_again_replaces_the_whole_dataset(folder, write):
    write(summaries=[section_texts()], n=3)
    smaller = replace(read_dataset(write(n=2, summaries=[section_texts()])), texts=())
    write_dataset(smaller, folder)
    assert read_dataset(folder).texts == []
    assert sorted(p.name for p in folder.iterdir()) == [
        "dataset.json", "detections.npz", "summaries.jsonl",
    ]  # fmt: skip


def test_writing_sources_without_detections_is_refused(folder, write):
    dataset = read_dataset(write())
    more = replace(dataset, source=np.array([0, 1, 3]))
    with pytest.raises(InvalidTableError, match="sources 2 have no detection"):
        write_dataset(more, folder / "out")
