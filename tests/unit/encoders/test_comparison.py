import dataclasses
import json

import numpy as np
import pytest
from small_evaluation import small_representations

from common.errors import InputError
from common.representations import Texts
from encoders.evaluation.comparison import compare
from encoders.evaluation.matching import find_pairs, match


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def aligned(noise, seed=0, n_sources=300):
    """Vectors of two detections a source; the text of a source is near both of them."""
    given = small_representations()
    truth = np.random.default_rng(0).normal(size=(n_sources, 8))[given.source]
    rng = np.random.default_rng([seed, 1])
    spectra = unit(truth + noise * rng.normal(size=truth.shape))
    texts = unit(truth)
    vectors = {
        **given.vectors,
        "shared_spectrum": spectra,
        "shared_text": texts,
        "both": np.hstack([spectra, texts]),
    }
    return dataclasses.replace(given, vectors=vectors, model_id=f"noise {noise} seed {seed}")


def test_a_model_that_finds_more_is_better_beyond_chance():
    found = compare(aligned(3.0), aligned(0.3))
    assert found.is_better
    assert 0 < found.low < found.difference < found.high
    assert found.new.mean_recall - found.old.mean_recall == pytest.approx(found.difference)
    assert (found.n_sources, found.n_detections, found.n_texts) == (50, 100, 50)
    assert not compare(aligned(0.3), aligned(3.0)).is_better


def test_a_model_as_good_as_the_other_is_not_better():
    same = compare(aligned(1.0), aligned(1.0))
    assert (same.difference, same.low, same.high, same.is_better) == (0, 0, 0, False)
    alike = compare(aligned(1.0, seed=1), aligned(1.0, seed=2))
    assert alike.low < 0 < alike.high


def test_a_comparison_says_everything_as_json():
    document = json.loads(json.dumps(compare(aligned(3.0), aligned(0.3)).to_dict()))
    assert document["better"] is True
    assert document["new"]["spectrum_to_text"]["candidates"] == 50
    assert set(document["new"]["estimation"]) >= {"spectrum", "both", "refined"}


def test_models_are_compared_on_the_same_detections():
    other = dataclasses.replace(aligned(1.0), names=[f"other {i}" for i in range(600)])
    with pytest.raises(InputError, match="the same detections"):
        compare(aligned(1.0), other)


def test_any_text_of_a_source_is_found_and_each_looks_for_it():
    given = aligned(0.01)
    truth = given.vectors["shared_text"][::2]  # one row for each source
    # Two texts a source: one that says what the spectrum says, one about anything else.
    noise = unit(np.random.default_rng(5).normal(size=truth.shape))
    texts = Texts(np.concatenate([noise, truth]), np.tile(np.arange(300), 2))
    several = dataclasses.replace(given, texts=texts)
    tested = given.split["test"]
    found = find_pairs(several, tested)
    assert set(found.forth.ranks) == {1}
    assert len(found.back.ranks) == 100
    assert found.back.ranks[50:] == (1,) * 50
    forth, back = match(several, tested, 0)
    assert forth.overall == found.forth
    assert len(back.overall.ranks) == 100
    assert back.overall.candidates == 50
