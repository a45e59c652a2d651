import json

import numpy as np
import pytest
import torch

from common.binning import min_max
from common.concepts import N_CONCEPTS
from common.errors import BundleError, InvalidSpectrumError, UnavailableError
from common.records import Summary, content_hash
from encoders.bundle import WEIGHTS, load
from encoders.manifest import MANIFEST


@pytest.fixture
def saved(bundle, tmp_path):
    bundle.save(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def spectra(dataset):
    return dataset.counts[:20], dataset.exposure_s[:20]


def test_what_another_training_may_begin_with_is_a_part_of_the_weights(bundle, saved, embedder):
    loaded = load(saved, embedder)
    for part in ("autoencoder", "spectrum_concepts", "text_concepts"):
        ours, theirs = bundle.weights(part), loaded.weights(part)
        assert ours
        for name, tensor in ours.items():  # the topic of a model that has not learnt it is NaN
            torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=0, equal_nan=True)


def test_the_concepts_of_spectra_are_probabilities(bundle, spectra):
    told = bundle.concepts_of_spectra(spectra[0])
    assert told.shape == (20, N_CONCEPTS)
    assert ((told >= 0) & (told <= 1)).all()


def test_a_source_of_many_more_counts_is_found_at_its_place(bundle, spectra):
    counts, exposure_s = spectra
    bright = bundle.encode_spectra(3000 / counts.sum(1, keepdims=True) * counts, exposure_s)
    brighter = bundle.encode_spectra(1e4 * counts, exposure_s)
    assert ((bright.own * brighter.own).sum(1) > 0.999).all()
    assert ((bright.shared * brighter.shared).sum(1) > 0.99).all()


def summaries_of(dataset):
    return [text.summary for text in dataset.texts[:20]]


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_bundle_gives_equal_vectors_after_saving_and_loading(
    bundle, saved, embedder, spectra, dataset
):
    loaded = load(saved, embedder)
    assert loaded.model_id == bundle.model_id
    summaries = [text.summary for text in dataset.texts[:5]]
    for one, other in (
        (bundle.encode_spectra(*spectra), loaded.encode_spectra(*spectra)),
        (bundle.encode_summaries(summaries), loaded.encode_summaries(summaries)),
        (bundle.encode_question("hard"), loaded.encode_question("hard")),
    ):
        assert np.array_equal(one.own, other.own)
        assert np.array_equal(one.shared, other.shared)


def test_bundle_saved_again_is_the_same_bytes(saved, embedder, tmp_path):
    load(saved, embedder).save(tmp_path / "again")
    for name in (MANIFEST, WEIGHTS):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_vectors_have_the_widths_announced_and_unit_length(bundle, spectra, dataset):
    for vectors, own_width in (
        (bundle.encode_spectra(*spectra), bundle.spectrum_width),
        (bundle.encode_summaries(summaries_of(dataset)), bundle.text_width),
    ):
        assert vectors.own.shape == (20, own_width)
        assert vectors.shared.shape == (20, bundle.shared_width)
        for rows in (vectors.own, vectors.shared):
            assert rows.dtype == np.float32
            assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_places_of_texts_are_those_of_their_vectors(bundle, dataset):
    summaries = summaries_of(dataset)[:5]
    placed, encoded = bundle.place_summaries(summaries), bundle.encode_summaries(summaries)
    np.testing.assert_array_equal(placed.shared, encoded.shared)
    np.testing.assert_array_equal(placed.topic_probability, encoded.topic_probability)
    assert bundle.place_summaries([]).shared.shape == (0, bundle.shared_width)


def test_encoding_nothing_gives_no_rows(bundle):
    assert bundle.encode_spectra(np.empty((0, 400)), np.empty(0)).own.shape == (0, 64)
    texts = bundle.encode_summaries([])
    assert texts.own.shape == (0, bundle.text_width)
    assert texts.topic_probability.shape == (0,)


def test_each_text_has_a_probability_of_being_about_x_ray_sources(bundle, dataset):
    probability = bundle.encode_summaries(summaries_of(dataset)[:20]).topic_probability
    assert probability.shape == (20,)
    assert probability.dtype == np.float32
    assert np.isnan(probability).all()  # it was trained without a corpus
    assert bundle.encode_question("a soft source").topic_probability.shape == (1,)


def test_question_is_a_summary_whose_sections_are_the_question(bundle):
    question = bundle.encode_question("a soft source")
    summary = bundle.encode_summaries([Summary(*["a soft source"] * 3, "given")])
    assert np.array_equal(question.shared, summary.shared)


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_format_asks_for_a_new_training(saved, embedder, version):
    edit(saved / MANIFEST, format_version=version)
    with pytest.raises(BundleError, match=f"format {version}, .* reads 3: train the bundle again"):
        load(saved, embedder)


def test_reconstructed_shapes_are_close_to_those_of_the_spectra(bundle, spectra):
    drawn = bundle.reconstruct(*spectra)
    assert drawn.shape == (20, 400)
    assert np.abs(drawn - min_max(spectra[0])).mean() < 0.2


def test_the_order_of_sentences_after_the_title_does_not_matter(bundle):
    one = Summary("A star. It is soft. It is red.", "The spectrum is hard.", "Nothing.", "given")
    other = Summary("A star. It is red. It is soft.", "Nothing.", "The spectrum is hard.", "given")
    vectors = bundle.encode_summaries([one, other]).shared
    assert np.allclose(vectors[0], vectors[1], atol=1e-5)


def test_texts_are_encoded_alike_alone_and_together(bundle, dataset):
    together = bundle.encode_summaries(summaries_of(dataset)).shared
    alone = bundle.encode_summaries(summaries_of(dataset)[7:8]).shared
    assert np.allclose(together[7], alone[0], atol=1e-5)


def test_spectra_are_encoded_alike_alone_and_in_batches(bundle, dataset):
    repeated = np.tile(dataset.counts, (3, 1))  # more than one batch
    together = bundle.encode_spectra(repeated, np.tile(dataset.exposure_s, 3))
    alone = bundle.encode_spectra(dataset.counts[-1:], dataset.exposure_s[-1:])
    assert np.allclose(together.shared[-1], alone.shared[0], atol=1e-5)


def test_the_latent_does_not_depend_on_exposure(bundle, spectra):
    counts, exposure_s = spectra
    longer = bundle.encode_spectra(counts, 10 * exposure_s)
    assert np.allclose(bundle.encode_spectra(counts, exposure_s).own, longer.own, atol=1e-5)


@pytest.mark.parametrize(
    ("value", "what"),
    [(np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (-1.0, "negative counts")],
)
def test_wrong_counts_are_refused_by_row(bundle, spectra, value, what):
    counts, exposure_s = spectra[0].copy(), spectra[1]
    counts[4, 7] = value
    with pytest.raises(InvalidSpectrumError, match=f"spectrum 4 of 20 has .*{what}"):
        bundle.encode_spectra(counts, exposure_s)


def test_a_spectrum_without_shape_is_refused(bundle):
    with pytest.raises(InvalidSpectrumError, match=r"spectrum 0 of 1 .* shape"):
        bundle.encode_spectra(np.zeros((1, 400)), np.array([1e4]))


def test_counts_beyond_single_precision_are_refused(bundle):
    counts = np.zeros((1, 400))
    counts[0, 3] = 1e300
    with pytest.raises(InvalidSpectrumError, match="too large"):
        bundle.encode_spectra(counts, np.array([1e4]))


@pytest.mark.parametrize("exposure", [0.0, -5.0, np.nan, np.inf])
def test_an_exposure_that_is_not_positive_is_refused(bundle, spectra, exposure):
    with pytest.raises(InvalidSpectrumError, match="exposure"):
        bundle.encode_spectra(spectra[0][:1], np.array([exposure]))


def test_arrays_of_the_wrong_shape_are_refused(bundle):
    with pytest.raises(InvalidSpectrumError, match=r"\(3, 399\).*give \(n, 400\)"):
        bundle.encode_spectra(np.ones((3, 399)), np.ones(3))


def test_an_altered_byte_of_the_weights_is_refused(saved, embedder):
    weights = bytearray((saved / WEIGHTS).read_bytes())
    weights[-100] ^= 1
    (saved / WEIGHTS).write_bytes(weights)
    with pytest.raises(BundleError, match="altered"):
        load(saved, embedder)


@pytest.mark.parametrize("changes", [{"dataset": "another"}, {"model_id": "0" * 16}])
def test_an_altered_manifest_is_refused(saved, embedder, changes):
    edit(saved / MANIFEST, **changes)
    with pytest.raises(BundleError, match="altered"):
        load(saved, embedder)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_a_missing_file_is_named(saved, embedder, name):
    (saved / name).unlink()
    with pytest.raises(BundleError, match=name):
        load(saved, embedder)


def test_truncated_weights_are_incomplete(saved, embedder):
    (saved / WEIGHTS).write_bytes((saved / WEIGHTS).read_bytes()[:-1000])
    with pytest.raises(BundleError, match="incomplete"):
        load(saved, embedder)


@pytest.mark.parametrize(
    ("text", "what"), [("{", "no JSON"), ("[]", "no manifest"), ("{}", "no manifest")]
)
def test_a_manifest_that_is_none_is_refused(saved, embedder, text, what):
    (saved / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=what):
        load(saved, embedder)


def test_a_newer_format_asks_for_an_update(saved, embedder):
    edit(saved / MANIFEST, format_version=4)
    with pytest.raises(BundleError, match="update the program"):
        load(saved, embedder)


def test_an_unknown_hyperparameter_is_refused(saved, embedder):
    config = json.loads((saved / MANIFEST).read_text())["config"]
    edit(saved / MANIFEST, config={**config, "colour": "red"})
    with pytest.raises(BundleError, match="colour"):
        load(saved, embedder)


def rehash(folder, config):
    """Give a bundle another config, and the hash that goes with it."""
    content = json.loads((folder / MANIFEST).read_text()) | {"config": config}
    described = {k: v for k, v in content.items() if k not in ("model_id", "weights_bytes")}
    canonical = json.dumps(described, indent=2, sort_keys=True)
    model_id = content_hash(canonical, (folder / WEIGHTS).read_bytes())
    edit(folder / MANIFEST, config=config, model_id=model_id)
    return model_id


def test_a_bundle_made_before_a_hyperparameter_was_added_is_the_same_model(
    saved, embedder, tmp_path
):
    config = json.loads((saved / MANIFEST).read_text())["config"]
    del config["autoencoder_steps"]
    model_id = rehash(saved, config)
    older = load(saved, embedder)
    assert older.model_id == model_id
    older.save(tmp_path / "again")
    again, before = (
        json.loads((folder / MANIFEST).read_text()) for folder in (tmp_path / "again", saved)
    )
    assert again == before


def test_weights_that_do_not_fit_the_manifest_are_refused(saved, embedder):
    # A bundle wrong from the start, with a right hash: only the shapes tell.
    config = json.loads((saved / MANIFEST).read_text())["config"]
    rehash(saved, config | {"hidden": 2 * config["hidden"]})
    with pytest.raises(BundleError, match="does not fit its manifest"):
        load(saved, embedder)


def test_a_bundle_for_another_text_model_is_refused(saved, make_embedder):
    with pytest.raises(BundleError, match="'hashed-words', not 'other-words'"):
        load(saved, make_embedder(name="other-words"))


def test_a_text_model_of_another_width_is_refused_when_first_used(saved, make_embedder):
    loaded = load(saved, make_embedder(width=17))
    with pytest.raises(BundleError, match="16 numbers, but hashed-words gives 17"):
        loaded.encode_question("hard")


def test_loading_does_not_touch_the_text_model(saved, embedder, spectra):
    load(saved, embedder).encode_spectra(*spectra)
    assert embedder.asked == 0


def test_a_bundle_that_cannot_be_written_is_reported(bundle, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UnavailableError, match="cannot be written"):
        bundle.save(tmp_path / "file")
