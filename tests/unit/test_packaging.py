"""The price of top-level packages is generic names: they must be ours, and all of them shipped."""

import importlib.util
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOMS = ("common", "ingest", "encoders", "search", "workers", "cli", "chandra_client")


@pytest.mark.parametrize("room", ROOMS)
def test_room_resolves_inside_the_repository_and_belongs_to_no_other_distribution(room, repository):
    found = importlib.util.find_spec(room)
    assert Path(found.origin).is_relative_to(repository)
    assert set(packages_distributions().get(room, [])) <= {"chandra-search"}


def test_wheel_holds_the_rooms_their_data_files_and_nothing_else(repository, tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=repository, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == set(ROOMS)
    assert {
        "common/simbad_otypes.csv",
        "ingest/papers/prompts/summary.md",
        "ingest/simulation/phrases.toml",
        "ingest/simulation/phrases_classes.toml",
        "ingest/simulation/phrases_kinds.toml",
        "search/filters/where.lark",
        "encoders/bundles/simulated/model.json",
        "encoders/bundles/simulated/weights.safetensors",
    } <= set(names)


def test_nothing_heavy_is_loaded_by_asking_for_help():
    code = (
        "import sys, cli.main\n"
        "heavy = {'torch', 'sentence_transformers', 'sklearn', 'openai'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
