"""Which detections are of one source, as far as a store can tell."""

from search.schema import Payload


def label_of(payload: Payload) -> str:
    """Return what a detection's source is known by: its name, else its text, else its key.

    Detections of a dataset without names share nothing but the text of their source.
    """
    if "source_name" in payload:
        return str(payload["source_name"])
    if "summary_hash" in payload:
        return f"text:{payload['summary_hash']}"
    return str(payload["key"])
