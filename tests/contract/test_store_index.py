"""The vector index of a store as large as a catalogue: in use, and nearly always right."""

import numpy as np
import pytest
from qdrant_client import models

from search.store.base import CollectionSchema, NearestQuery, VectorField

NAME = "test-index"
N_POINTS, WIDTH, N_CLUSTERS, N_QUESTIONS = 200_000, 64, 300, 200
CLASSES = ("AGN", "QSO", "Sy1", "Sy2", "LXB", "HXB", "CV*", "SNR", "YSO", "ULX")
SCHEMA = CollectionSchema(
    {"own": VectorField(WIDTH)},
    {
        "hard_hs": models.PayloadSchemaType.FLOAT,
        "class_path": models.PayloadSchemaType.KEYWORD,
    },
    linked=frozenset({"class_path"}),
)


def clustered(rng):
    """Vectors as encoders make them: a mixture of Gaussians of unlike weights and widths."""
    centres = rng.normal(size=(N_CLUSTERS, WIDTH))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    label = rng.choice(N_CLUSTERS, N_POINTS, p=rng.dirichlet(np.full(N_CLUSTERS, 0.5)))
    width = rng.uniform(0.3, 1.2, N_CLUSTERS)[label, None] / np.sqrt(WIDTH)
    return centres[label] + width * rng.normal(size=(N_POINTS, WIDTH))


@pytest.mark.slow
def test_index_of_200_000_points_finds_the_nearest(open_engine):
    """Recall is 0.99 and more, however many points a filter leaves out."""
    rng = np.random.default_rng(20260304)
    vectors = clustered(rng)
    hardness = rng.uniform(-1, 1, N_POINTS)
    classes = rng.choice(CLASSES, N_POINTS)
    asked = vectors[rng.choice(N_POINTS, N_QUESTIONS)] + rng.normal(0, 0.05, (N_QUESTIONS, WIDTH))
    with open_engine("embedded") as store:
        store.create_collection(NAME, SCHEMA)
        for start in range(0, N_POINTS, 5000):
            store.upsert(
                NAME,
                [
                    models.PointStruct(
                        id=i,
                        vector={"own": vectors[i].tolist()},
                        payload={"hard_hs": hardness[i], "class_path": ["X", str(classes[i])]},
                    )
                    for i in range(start, start + 5000)
                ],
            )
        assert store.index_state(NAME).indexed_vectors == 0
        store.optimize(NAME)
        state = store.index_state(NAME)
        assert (state.points, state.indexed_vectors) == (N_POINTS, N_POINTS)
        kept = [[], *([softest(share)] for share in (0.9, 0.75, 0.5, 0.3, 0.21, 0.1, 0.01))]
        for conditions in (*kept, [of_class("AGN")], [of_class("AGN"), softest(0.3)]):
            recall = recall_at_10(store, asked, conditions)
            assert recall >= 0.99, (conditions, recall)


def softest(share):
    """Keep a share of all points, by a field without links."""
    return models.FieldCondition(key="hard_hs", range=models.Range(lt=2 * share - 1))


def of_class(name):
    """Keep a tenth of all points, by a field with links."""
    return models.FieldCondition(key="class_path", match=models.MatchValue(value=name))


def recall_at_10(store, asked, conditions):
    """Mean share of the ten nearest points that the index finds among those that are kept."""
    condition = models.Filter(must=conditions) if conditions else None
    found, nearest = (
        store.query_batch(
            NAME,
            [NearestQuery(v, "own", condition, with_payload=False, exact=exact) for v in asked],
        )
        for exact in (False, True)
    )
    common = [
        len({hit.id for hit in some} & {hit.id for hit in best})
        for some, best in zip(found, nearest, strict=True)
    ]
    return np.mean(common) / 10
