"""What real texts teach a model, and who keeps what they have taught."""

import dataclasses

import numpy as np
import pytest
from word_embedder import WordEmbedder

from common.concepts import N_CONCEPTS, NAMES
from common.errors import InputError
from common.records import Summary
from encoders.bundle import load
from encoders.fitting.fit_text_concepts import ConceptText
from encoders.training.train import TrainingTexts, train

ON = Summary("A quasar.", "The X-ray spectrum is soft.", "A power law fits the quasar.", "given")
OFF = Summary("Butter prices.", "The cost of butter rose.", "Cows are milked early.", "given")


def corpus(name="corpus.jsonl", number=60, told=1.0):
    quasar = np.zeros(N_CONCEPTS, dtype=np.float32)
    quasar[NAMES.index("quasar")] = told
    sure, nothing = np.ones(N_CONCEPTS, np.float32), np.zeros(N_CONCEPTS, np.float32)
    texts = []
    for i in range(number):
        on, off = (dataclasses.replace(one, xray=f"{one.xray} {i}.") for one in (ON, OFF))
        texts.append(ConceptText(on, quasar, sure, topic=0.95))
        texts.append(ConceptText(off, nothing, nothing, topic=0.0))
    return TrainingTexts(texts, {name: len(texts)})


@pytest.fixture(scope="module")
def quick(config):
    reader = dataclasses.replace(config.text_concepts, epochs=6, learning_rate=1e-2)
    few = {"autoencoder_epochs": 1, "concept_epochs": 1, "alignment_epochs": 1}
    return dataclasses.replace(config, text_concepts=reader, **few)


@pytest.fixture(scope="module")
def taught(dataset, quick):
    return train(dataset, WordEmbedder(), quick, words=corpus())


def topics(bundle):
    return bundle.encode_summaries([ON, OFF]).topic_probability


def test_a_corpus_teaches_the_topic_and_is_named(taught, bundle):
    on, off = topics(taught)
    assert on > 0.6 > 0.4 > off
    assert taught.manifest.corpus == {"corpus.jsonl": 120}
    assert np.isnan(topics(bundle)).all()  # it has seen no corpus
    assert bundle.manifest.corpus == {}


def test_equal_corpora_give_equal_models(dataset, quick, embedder, taught):
    assert train(dataset, embedder, quick, words=corpus()).model_id == taught.model_id


def test_without_a_corpus_what_the_start_has_learnt_is_kept(
    dataset, quick, embedder, taught, tmp_path
):
    other = dataclasses.replace(quick.text_concepts, hidden=24, rules_share=0.0)
    again = train(dataset, embedder, dataclasses.replace(quick, text_concepts=other), start=taught)
    np.testing.assert_array_equal(topics(again), topics(taught))
    assert again.manifest.corpus == taught.manifest.corpus
    assert again.manifest.config.text_concepts == quick.text_concepts  # as it was trained
    again.save(tmp_path)
    np.testing.assert_array_equal(topics(load(tmp_path, embedder)), topics(taught))


def test_a_corpus_teaches_anew_what_the_start_has_learnt(dataset, quick, embedder, taught):
    again = train(dataset, embedder, quick, start=taught, words=corpus("other.jsonl", number=40))
    assert again.manifest.corpus == {"other.jsonl": 80}
    assert again.manifest.started_from == taught.model_id
    assert not np.array_equal(topics(again), topics(taught))


def test_what_was_learnt_for_another_text_model_is_not_kept(dataset, quick, taught):
    again = train(dataset, WordEmbedder(name="other-words"), quick, start=taught)
    assert again.manifest.corpus == {}
    assert np.isnan(topics(again)).all()


class InterruptedTrainingError(Exception):
    pass


def test_a_training_is_not_continued_with_the_same_words_labelled_otherwise(
    dataset, quick, embedder, tmp_path
):
    def interrupt(stage, _done, _total):
        if stage == "training the alignment":
            raise InterruptedTrainingError

    with pytest.raises(InterruptedTrainingError):
        train(dataset, embedder, quick, interrupt, words=corpus(), checkpoints=tmp_path)
    with pytest.raises(InputError, match="other data or settings"):
        train(dataset, embedder, quick, words=corpus(told=0.0), checkpoints=tmp_path)
