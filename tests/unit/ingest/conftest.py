import json

import numpy as np
import pytest
from dataset_files import arrays_of


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "pairs"
    path.mkdir()
    return path


@pytest.fixture
def write(folder):
    def _write(summaries=(), description=None, **changes):
        np.savez_compressed(folder / "detections.npz", **arrays_of(**changes))
        if summaries:
            text = "\n".join(s if isinstance(s, str) else json.dumps(s) for s in summaries)
            (folder / "summaries.jsonl").write_text(text)
        if description is not None:
            (folder / "dataset.json").write_text(json.dumps(description))
        return folder

    return _write
