"""Train what reads concepts and topic from texts, on a corpus and on short texts written for it."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from common.concepts import CLASSES, N_CONCEPTS
from common.ports import Float32Array, Progress, TextEmbedder, no_progress
from common.records import Summary
from encoders.config import TextConceptsConfig
from encoders.text.concept_templates import Template, write_templates
from encoders.text.sentences import embed_sentences
from encoders.text.text_concepts import ConceptReader, TextConcepts

IntArray = npt.NDArray[np.int64]

VALIDATION_PART: Final = 10  # one text in so many is kept to stop by and to calibrate on
HELD_OUT_TEMPLATES: Final = 800
ABSENT_FROM_TEMPLATE: Final = 0.4  # weight of the attributes that a template does not say
SIMULATED_PART: Final = 0.5  # simulated texts drawn for each text of the corpus
SIMULATED_FOR_TOPIC: Final = 600
LEAST_EPOCH: Final = 2000
LOWEST_PRIOR: Final = 0.01
_STAGE: Final = "training text concepts"
_WARM_UP: Final = 0.2
_STEPS_OF_CALIBRATION: Final = 50


class ConceptText(NamedTuple):
    """A text and what it teaches.

    Attributes
    ----------
    summary : Summary
        The text.
    targets : ndarray of float32, shape (N_CONCEPTS,)
        Probability that each concept is said.
    weights : ndarray of float32, shape (N_CONCEPTS,)
        How much each counts; all 0 for a text that teaches nothing of concepts.
    topic : float
        Probability that it is about X-ray sources; NaN where not known.
    """

    summary: Summary
    targets: Float32Array
    weights: Float32Array
    topic: float = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class _Texts:
    """n texts: sentences (s, d), their rows (n, longest), targets, weights (n, N), topic (n,)."""

    sentences: Tensor
    of_text: Tensor
    targets: Tensor
    weights: Tensor
    topic: Tensor


def fit_text_concepts(
    embedder: TextEmbedder,
    corpus_texts: Sequence[ConceptText],
    config: TextConceptsConfig | None = None,
    simulated: Sequence[ConceptText] = (),
    progress: Progress = no_progress,
) -> TextConcepts:
    """Train the reader of concepts and that of the topic.

    Parameters
    ----------
    embedder : TextEmbedder
        What embeds sentences.
    corpus_texts : sequence of ConceptText
        Real texts, on and off the topic; may be empty, then there is no topic (it is 0.5).
    config : TextConceptsConfig or None
        Hyperparameters; its seed decides all random numbers.
    simulated : sequence of ConceptText
        Summaries of simulated sources with the concepts they say.
    progress : callable
        Told how many sentences are embedded and how many epochs are done.

    Returns
    -------
    TextConcepts
        On the processor, ready to use.
    """
    config = config or TextConceptsConfig()
    rng = np.random.default_rng([config.seed, 11])
    parts = (
        corpus_texts,
        simulated,
        _as_texts(write_templates(config.templates, rng, held_out=False)),
        _as_texts(write_templates(HELD_OUT_TEMPLATES, rng, held_out=True)),
    )
    every = [text for part in parts for text in part]
    embedded = embed_sentences(embedder, [text.summary for text in every], progress)
    torch.manual_seed(config.seed)
    model = TextConcepts(embedded.embeddings.shape[1], config)
    model.fit_whitening(torch.from_numpy(embedded.embeddings))
    texts = _Texts(
        model.prepare(torch.from_numpy(embedded.embeddings), torch.from_numpy(embedded.numbers)),
        torch.from_numpy(embedded.of_text),
        torch.from_numpy(np.stack([text.targets for text in every])),
        torch.from_numpy(np.stack([text.weights for text in every])),
        torch.tensor([text.topic for text in every]),
    )
    ends = np.cumsum([len(part) for part in parts])
    corpus, of_simulated, templates, held_out = np.split(np.arange(len(every)), ends[:-1])
    validation = np.array([_is_validation(text.summary) for text in corpus_texts], dtype=bool)
    learnt = corpus[~validation]
    telling = texts.weights.sum(dim=1).numpy() > 0
    pools = [learnt[telling[learnt]], of_simulated, templates]
    judged = [corpus[validation & telling[corpus]], held_out]
    total = len(model.members) * config.epochs
    for number, member in enumerate(model.members):
        for epoch in _fit_concepts(
            cast("ConceptReader", member), texts, pools, judged, number, config
        ):
            progress(_STAGE, number * config.epochs + epoch + 1, total)
    progress(_STAGE, total, total)  # validation may have ended it sooner
    # Written summaries have a style of their own: without some of them all real texts come first.
    some = of_simulated[:: max(1, len(of_simulated) // SIMULATED_FOR_TOPIC)]
    _fit_topic(model, texts, np.concatenate([learnt, some]), corpus[validation], config)
    model.eval()
    probabilities, _ = model.probabilities([text.summary for text in every], embedded)
    on_topic = texts.topic.numpy()[: len(corpus)] > 0.5
    means = [
        probabilities[part].mean(axis=0) for part in (corpus[on_topic], templates) if len(part)
    ]
    model.prior.copy_(torch.from_numpy(np.mean(means, axis=0)).clamp_min(LOWEST_PRIOR))
    return model


def _as_texts(templates: Sequence[Template]) -> list[ConceptText]:
    texts = []
    for template in templates:
        weights = np.ones(N_CONCEPTS, dtype=np.float32)
        absent = template.targets[len(CLASSES) :] < 0.5
        weights[len(CLASSES) :][absent] = ABSENT_FROM_TEMPLATE
        summary = Summary(template.text, template.text, template.text, method="given")
        texts.append(ConceptText(summary, template.targets, weights))
    return texts


def _is_validation(summary: Summary) -> bool:
    return int(summary.hash(), 16) % VALIDATION_PART == 0


def _fit_concepts(
    reader: ConceptReader,
    texts: _Texts,
    pools: Sequence[IntArray],
    judged: Sequence[IntArray],
    number: int,
    config: TextConceptsConfig,
) -> Iterator[int]:
    """Train one member in place until validation gets no better; yield the epochs done."""
    rng = np.random.default_rng([config.seed, 12, number])
    torch.manual_seed(int(rng.integers(2**62)))
    corpus, simulated, templates = pools
    n_templates = max(LEAST_EPOCH, len(corpus)) if len(corpus) == 0 else len(corpus)
    n_templates = round(n_templates * config.template_share / (1 - config.template_share))
    n_simulated = min(len(simulated), round(SIMULATED_PART * max(len(corpus), LEAST_EPOCH)))
    n_batches = max(1, (len(corpus) + n_templates + n_simulated) // config.batch)
    optimizer = torch.optim.AdamW(reader.parameters(), weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        config.learning_rate,
        total_steps=config.epochs * n_batches + 1,
        pct_start=_WARM_UP,
    )
    best_loss, best_epoch, best = np.inf, 0, reader.state_dict()
    for epoch in range(config.epochs):
        reader.train()
        drawn = np.concatenate(
            [
                corpus,
                rng.choice(simulated, n_simulated, replace=False) if n_simulated else simulated[:0],
                rng.choice(templates, n_templates, replace=n_templates > len(templates)),
            ]
        )
        for rows in np.array_split(rng.permutation(drawn), n_batches):
            loss = _loss(reader, texts, rows, config, rng)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
        reader.eval()
        with torch.no_grad():
            losses = [float(_loss(reader, texts, rows)) for rows in judged if len(rows)]
        yield epoch
        if sum(losses) < best_loss:
            best_loss, best_epoch, best = sum(losses), epoch, copy.deepcopy(reader.state_dict())
        elif epoch - best_epoch >= config.patience:
            break
    reader.load_state_dict(best)


def _loss(
    reader: ConceptReader,
    texts: _Texts,
    rows: IntArray,
    config: TextConceptsConfig | None = None,
    rng: np.random.Generator | None = None,
) -> Tensor:
    """Return the weighted cross entropy of some texts, parts of which are left out in training."""
    chosen = torch.from_numpy(rows)
    of_text = _rows(texts, chosen)
    title = of_text[:, 0]
    if config is not None and rng is not None:
        of_text = _thin(of_text, config.dropped_sentences, rng)
        unknown = torch.from_numpy(rng.random(len(rows)) < config.dropped_titles)
        title = title.masked_fill(unknown, -1)
    logits = reader(texts.sentences, of_text, title)
    weights = texts.weights[chosen]
    entropy = functional.binary_cross_entropy_with_logits(
        logits, texts.targets[chosen], weights, reduction="sum"
    )
    return entropy / weights.sum()


def _rows(texts: _Texts, chosen: Tensor) -> Tensor:
    of_text = texts.of_text[chosen]
    return of_text[:, : int((of_text >= 0).sum(dim=1).max())]


def _thin(of_text: Tensor, part: float, rng: np.random.Generator) -> Tensor:
    """Leave sentences out, but never all of a text."""
    dropped = torch.from_numpy(rng.random(tuple(of_text.shape)) < part)
    fewer = of_text.masked_fill(dropped, -1)
    return torch.where((fewer >= 0).any(dim=1, keepdim=True), fewer, of_text)


def _fit_topic(
    model: TextConcepts, texts: _Texts, learnt: IntArray, kept: IntArray, config: TextConceptsConfig
) -> None:
    """Train the topic's reader in place and calibrate it on the texts kept."""
    topic = texts.topic.numpy()
    learnt, kept = learnt[np.isfinite(topic[learnt])], kept[np.isfinite(topic[kept])]
    if not len(learnt) or not (topic[learnt] > 0.5).any() or not (topic[learnt] < 0.5).any():
        model.topic_slope.fill_(torch.nan)  # not known, whatever the text
        return
    rng = np.random.default_rng([config.seed, 13])
    torch.manual_seed(int(rng.integers(2**62)))
    n_batches = max(1, len(learnt) // config.batch)
    optimizer = torch.optim.AdamW(model.topic.parameters(), weight_decay=config.weight_decay)
    epochs = max(1, config.epochs // 2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=epochs * n_batches + 1, pct_start=_WARM_UP
    )
    best_loss, best = np.inf, copy.deepcopy(model.topic.state_dict())
    for _ in range(epochs):
        model.topic.train()
        for rows in np.array_split(rng.permutation(learnt), n_batches):
            chosen = torch.from_numpy(rows)
            of_text = _thin(_rows(texts, chosen), config.dropped_sentences, rng)
            logits = model.topic(texts.sentences, of_text)
            loss = functional.binary_cross_entropy_with_logits(logits, texts.topic[chosen])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
        logits, target = _topic_logits(model, texts, kept if len(kept) else learnt)
        loss_kept = float(functional.binary_cross_entropy_with_logits(logits, target))
        if loss_kept < best_loss:
            best_loss, best = loss_kept, copy.deepcopy(model.topic.state_dict())
    model.topic.load_state_dict(best)
    if len(kept):
        slope, offset = _platt(*_topic_logits(model, texts, kept))
        model.topic_slope.fill_(slope)
        model.topic_offset.fill_(offset)


@torch.no_grad()
def _topic_logits(model: TextConcepts, texts: _Texts, rows: IntArray) -> tuple[Tensor, Tensor]:
    model.topic.eval()
    chosen = torch.from_numpy(rows)
    return model.topic(texts.sentences, _rows(texts, chosen)), texts.topic[chosen]


def _platt(logits: Tensor, target: Tensor) -> tuple[float, float]:
    """Return slope and offset that calibrate logits, with Platt's caution for few examples."""
    positive = float((target > 0.5).sum())
    low, high = 1 / (len(target) - positive + 2), (positive + 1) / (positive + 2)
    soft = target.clamp(low, high)
    line = nn.Parameter(torch.tensor([1.0, 0.0]))
    optimizer = torch.optim.LBFGS([line], max_iter=_STEPS_OF_CALIBRATION)

    def loss() -> float:
        optimizer.zero_grad()
        value = functional.binary_cross_entropy_with_logits(line[0] * logits + line[1], soft)
        torch.autograd.backward(value)
        return float(value.detach())

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    slope, offset = line.detach().tolist()
    return slope, offset
