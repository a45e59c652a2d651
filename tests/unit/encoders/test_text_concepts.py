import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from common.concept_targets import concept_targets, trust
from common.concepts import N_CONCEPTS, NAMES
from common.records import Summary
from encoders.fitting.fit_text_concepts import ConceptText, fit_text_concepts
from encoders.text.concept_templates import write_templates
from encoders.text.sentences import embed_sentences
from encoders.text.text_concepts import TextConcepts, TextConceptsConfig

CONFIG = TextConceptsConfig(
    components=24, hidden=32, topic_hidden=8, members=1, templates=300, epochs=6, learning_rate=1e-2
)
ON = ("A quasar", "the X-ray spectrum is soft", "a power law fits the quasar")
OFF = ("Butter prices", "the cost of butter rose", "cows are milked in the morning")


def summary(sections, number=0):
    return Summary(f"{sections[0]}.", f"{sections[1]} {number}.", f"{sections[2]}.", "given")


def question(text):
    return Summary(text, text, text, "given")


def corpus(number=60):
    texts = []
    for i in range(number):
        about = summary(ON, i)
        texts.append(ConceptText(about, *concept_targets(about.sections(), ["blazar"], 10.0), 0.95))
        nothing = np.zeros(N_CONCEPTS, dtype=np.float32)
        texts.append(ConceptText(summary(OFF, i), nothing, nothing, 0.0))
    return texts


@pytest.fixture(scope="module")
def embedder(make_embedder):
    return make_embedder(width=32)


@pytest.fixture(scope="module")
def fitted(embedder):
    return fit_text_concepts(embedder, corpus(), CONFIG)


def probabilities(model, embedder, summaries):
    return model.probabilities(summaries, embed_sentences(embedder, summaries))


def test_concepts_and_topic_of_a_text_are_found(fitted, embedder):
    concepts, topic = probabilities(fitted, embedder, [summary(ON), summary(OFF)])
    assert concepts.shape == (2, N_CONCEPTS)
    assert concepts.dtype == topic.dtype == np.float32
    assert topic[0] > 0.6 > 0.4 > topic[1]
    quasar, magnetar = NAMES.index("quasar"), NAMES.index("magnetar")
    assert concepts[0, quasar] > 0.5 > concepts[0, magnetar]
    assert fitted.standardise(concepts)[0].argmax() in {quasar, NAMES.index("blazar")}


def test_the_same_seed_gives_the_same_model(fitted, embedder):
    again = fit_text_concepts(embedder, corpus(), CONFIG)
    assert all(torch.equal(a, b) for a, b in zip(*map(_tensors, (fitted, again)), strict=True))
    other = fit_text_concepts(embedder, corpus(), replace(CONFIG, seed=1))
    assert not torch.equal(_tensors(other)[-1], _tensors(fitted)[-1])


def _tensors(model):
    return list(model.state_dict().values())


def test_a_model_is_its_tensors(fitted, embedder):
    copy = TextConcepts(embedder.width, CONFIG)
    copy.load_state_dict(fitted.state_dict())
    texts = [summary(ON), question("soft X-rays of a magnetar")]
    for ours, theirs in zip(
        probabilities(fitted, embedder, texts), probabilities(copy, embedder, texts), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_without_a_corpus_there_are_concepts_but_no_topic(embedder):
    model = fit_text_concepts(embedder, [], CONFIG)
    concepts, topic = probabilities(model, embedder, [question("a magnetar")])
    assert concepts[0, NAMES.index("magnetar")] > 0.4
    assert np.isnan(topic).all()


def test_simulated_texts_teach_too(embedder):
    text = summary(("Zorblax", "zorblax zorblax", "zorblax of kind"))
    targets = np.zeros(N_CONCEPTS, dtype=np.float32)
    targets[NAMES.index("magnetar")] = 1
    simulated = [
        ConceptText(summary(("Zorblax", "zorblax", "zorblax of kind"), i), targets, targets + 0.2)
        for i in range(200)
    ]
    model = fit_text_concepts(embedder, corpus(), CONFIG, simulated)
    (concepts,), _ = probabilities(model, embedder, [text])
    assert concepts.argmax() == NAMES.index("magnetar")


def test_no_texts_are_no_rows(fitted, embedder):
    sentences = embed_sentences(embedder, [summary(ON)])
    concepts, topic = fitted.probabilities([], replace(sentences, of_text=sentences.of_text[:0]))
    assert concepts.shape == (0, N_CONCEPTS)
    assert topic.shape == (0,)


def test_labels_are_trusted_by_their_score():
    assert trust(12.0) > trust(None) > trust(6.0)
    blazar = NAMES.index("blazar")
    sure, weights = concept_targets(["A source."], ["blazar"], 12.0)
    unsure, _ = concept_targets(["A source."], ["blazar", "SNR", "nova"], 6.0)
    assert sure[blazar] > 0.9 > unsure[blazar] > 0.3
    assert weights[blazar] > weights[NAMES.index("nova")] > weights[NAMES.index("soft")] > 0


def test_templates_say_what_they_are_meant_to_in_words_of_their_own():
    rng = np.random.default_rng(0)
    templates = write_templates(400, rng, held_out=False)
    assert len({template.text for template in templates}) == len(templates) > 350
    assert np.stack([template.targets for template in templates]).any(axis=0).all()
    held_out = {template.text for template in write_templates(400, rng, held_out=True)}
    assert not held_out & {template.text for template in templates}


def test_questions_of_validation_name_known_concepts():
    path = Path(__file__).parent / "concept_questions.toml"
    questions = tomllib.loads(path.read_text())["questions"]
    assert len(questions) == 40
    assert {name for q in questions for name in q["asks"] + q["says"]} <= {*NAMES}
