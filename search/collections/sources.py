"""What a store can tell of a detection's source, and whether anything may be learnt from it."""

from common.dataset import USE
from search.collections.schema import Payload


def is_to_judge_by(payload: Payload) -> bool:
    """Return whether a detection comes from a dataset that is for tests only."""
    return (payload.get("catalogue") or {}).get(USE) == "test"


def label_of(payload: Payload) -> str:
    """Return what a detection's source is known by: its name, else its text, else its key.

    Detections of a dataset without names share nothing but the text of their source.
    """
    if "source_name" in payload:
        return str(payload["source_name"])
    if "summary_hash" in payload:
        return f"text:{payload['summary_hash']}"
    return str(payload["key"])
