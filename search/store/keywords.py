"""Text as weighted words, by Edge's own BM25, in the same way for both engines.

What is stored of a document is the saturated frequency of each word; how rare a word is, the
engine knows and weighs by itself.
"""

from functools import cache

import qdrant_edge as edge
from qdrant_client import models

KEYWORD_MODEL = "bm25-english"
"""What payloads say of how their words were made; another name makes papers be stored again."""


@cache
def _bm25() -> edge.Bm25:
    return edge.Bm25(edge.Bm25Config(language="english", ascii_folding=True))


def keywords_of_document(text: str) -> models.SparseVector:
    """Return the stemmed words of a document, each with its BM25 weight."""
    return _sparse(_bm25().embed_document(text))


def keywords_of_question(text: str) -> models.SparseVector:
    """Return the stemmed words of a question; empty if there are none but stop words."""
    return _sparse(_bm25().embed_query(text))


def _sparse(vector: edge.SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=vector.indices, values=vector.values)
