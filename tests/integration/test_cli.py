"""The command as a user runs it: real files, the real engine, the shipped bundle."""

import json
import os
import signal
import subprocess
import sys
import time

import httpx2 as httpx
import numpy as np
import pytest
from astropy.io.votable import parse
from astropy.table import QTable
from command import COMMAND, answer, run

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def spectra(shared_data):
    return shared_data / "spectra"


@pytest.fixture(scope="module")
def store(module_folder, shared_data, spectra):
    """A store with the real spectra joined to the real catalogue, and the real papers."""
    data_dir = module_folder("data")
    catalogue = shared_data / "csc" / "csc20_detections.csv.gz"
    report = answer("ingest", "spectra", spectra, "--catalog", catalogue, data_dir=data_dir, code=3)
    (data_dir / "spectra.json").write_text(json.dumps(report))
    papers = data_dir / "papers.jsonl"
    lines = (shared_data / "papers" / "papers.jsonl").read_text().splitlines()
    chosen = [line for line in lines if json.loads(line)["mentions_xray"]][:60]
    papers.write_text("\n".join(chosen) + "\n")
    assert answer("ingest", "papers", papers, data_dir=data_dir)["ingested"] == len(chosen)
    return data_dir


def hits_of(*arguments, data_dir):
    return answer(*arguments, data_dir=data_dir)["answers"]


def test_cli_ingests_every_usable_real_set_and_refuses_the_others_by_name(store):
    report = json.loads((store / "spectra.json").read_text())
    assert set(report) == {"ingested", "unchanged", "refused"}
    refused = {one["input"].split("/")[-1]: one["reason"] for one in report["refused"]}
    assert report["ingested"] == 22
    assert set(refused) == {
        "hrcf24564_000N030_r0001_pha3.fits.gz",
        "3c120_heg_-1.pha.gz",
        "3c120_heg_1.pha.gz",
        "3c120_meg_-1.pha.gz",
        "3c120_meg_1.pha.gz",
        "MOS1_spectrum_grp.fits",
        "MOS2_spectrum_grp.fits",
        "mos_spec.fits",
        "interval0pcsource.pi",
    }
    assert "HRC" in refused["hrcf24564_000N030_r0001_pha3.fits.gz"]
    assert "grating" in refused["3c120_heg_1.pha.gz"]
    assert "RMF" in refused["MOS1_spectrum_grp.fits"]


def test_cli_second_run_finds_everything_unchanged(store, spectra, shared_data):
    catalogue = shared_data / "csc" / "csc20_detections.csv.gz"
    report = answer("ingest", "spectra", spectra, "--catalog", catalogue, data_dir=store, code=3)
    assert (report["ingested"], report["unchanged"]) == (0, 22)


def test_cli_joins_a_spectrum_to_its_catalogue_row_by_position(store):
    hits = hits_of("search", "text", "supernova remnant", "--obsid", 1838, data_dir=store)
    assert [hit["payload"]["key"] for hit in hits] == ["csc2.0/1838/0/165"]
    assert hits[0]["payload"]["matched_by"] == "position"
    assert hits[0]["payload"]["class_path"][-1] == "SNR"


def test_cli_spectrum_to_papers_answers_with_papers(store, spectra):
    query = spectra / "ngc4258_1618" / "source_bin10.pi"
    hits = hits_of("search", "spectrum", query, "--to", "papers", "--limit", 5, data_dir=store)
    assert len(hits) == 5
    assert all(len(hit["payload"]["bibcode"]) == 19 for hit in hits)
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_cli_spectrum_finds_itself_and_like_leaves_it_out(store, spectra):
    query = spectra / "3c273_459" / "3c273.pi"
    first = hits_of("search", "spectrum", query, "--limit", 1, data_dir=store)[0]
    assert first["payload"]["file"] == "3c273.pi"
    assert first["score"] == pytest.approx(1.0, abs=1e-4)
    others = hits_of("search", "like", first["id"], "--limit", 50, data_dir=store)
    assert first["id"] not in {hit["id"] for hit in others}
    assert len(others) == 21


def test_cli_votable_answer_reads_back_with_units(store, tmp_path):
    run_ = run("search", "text", "hot gas", "--format", "votable", data_dir=store)
    path = tmp_path / "answer.vot"
    path.write_text(run_.stdout)
    table = parse(path, verify="exception").get_first_table().to_table()
    assert len(table) == 10
    assert str(table["exposure_s"].unit) == "s"


def test_cli_pages_through_real_detections_into_one_file(store, tmp_path):
    path = tmp_path / "all.ecsv"
    run("search", "detections", "--all", "--output", path, data_dir=store)
    table = QTable.read(path, format="ascii.ecsv")
    assert len(table) == 22
    assert table["exposure_s"].unit == "s"


def test_cli_cone_finds_the_real_sources_nearest_first(store):
    snr = hits_of("search", "detections", "--obsid", 1838, data_dir=store)[0]["payload"]
    circle = f"{snr['ra_deg']} {snr['dec_deg']} 1arcsec"
    found = hits_of("search", "cone", circle, data_dir=store)
    assert found[0]["payload"]["key"] == snr["key"]
    assert found[0]["separation_arcsec"] < 0.001


def test_cli_estimates_classifies_and_describes_a_real_file(store, spectra):
    query = spectra / "3c273_459" / "3c273.pi"
    (estimates,) = answer("estimate", query, "--k", 3, data_dir=store)
    assert estimates["name"] == "3c273.pi"
    # Only one of the real sets is in the catalogue: values are not invented from one neighbour.
    assert all(one["value"] is None for one in estimates["estimates"].values())
    assert any("too few neighbours" in note for note in estimates["notes"])
    assert answer("classify", query, data_dir=store)["levels"]
    described = run("describe", query, data_dir=store).stdout
    assert "[1]" in described


def test_cli_outliers_are_scored_then_listed(store):
    refused = run("outliers", "list", data_dir=store, code=2)
    assert "outliers score" in refused.stderr
    assert "22 detections scored" in run("outliers", "score", data_dir=store).stdout
    report = answer("outliers", "list", "--limit", 3, data_dir=store)
    assert [one["rank"] for one in report["outliers"]] == [1, 2, 3]


def test_cli_samp_without_a_hub_still_answers_and_says_what_to_start(store, tmp_path, monkeypatch):
    monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{(tmp_path / 'no-hub').as_uri()}")
    done = run("search", "text", "hot gas", "--limit", 1, "--samp", data_dir=store, code=4)
    assert "start TOPCAT" in done.stderr
    assert "hot gas" in done.stdout


def test_cli_serve_refuses_to_listen_to_others_without_keys(store):
    done = run("serve", "--host", "0.0.0.0", data_dir=store, code=2)
    assert "CHANDRA_API_KEYS_READ" in done.stderr


def test_cli_status_counts_what_is_there(store):
    held = answer("status", data_dir=store)
    assert (held["detections"], held["papers"], held["engine"]) == (22, 60, "embedded")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search", "text", "x", "--class", "Sayfert"], "nearest: SyG"),
        (["search", "text", "x", "--where", "hard_hs >> 3"], "^"),
        (["search", "text", "x" * 100_000], "characters"),
        (["search", "text", " "], "empty"),
        (["search", "like", "nothing-of-that-name"], "no detection or paper"),
        (["ingest", "spectra", "no/such/folder"], "no/such/folder"),
        (["ingest", "catalog", "no-such-table.csv"], "no-such-table.csv"),
    ],
)
def test_cli_wrong_use_exits_2_and_says_what_to_do(store, arguments, message):
    done = run(*arguments, data_dir=store, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_cli_says_which_process_holds_the_store(store):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path\n"
            "from search.store.embedded import EmbeddedStore\n"
            "store = EmbeddedStore(Path(sys.argv[1])); print('open', flush=True); time.sleep(120)",
            str(store / "store"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "open\n"
        done = run("status", data_dir=store, code=4)
        assert f"process {holder.pid}" in done.stderr
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.slow
def test_cli_kill_9_during_ingestion_loses_nothing_acknowledged(tmp_path):
    """Killed in the middle, the next run completes the rest and repeats nothing it has."""
    dataset, data_dir = tmp_path / "dataset", tmp_path / "data"
    run("simulate", "--n", 600, "--seed", 5, "--out", dataset)
    victim = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path\n"
            "from ingest.dataset.dataset import read_dataset\n"
            "from search.settings import SearchSettings\n"
            "from workers.bootstrap import open_pipeline\n"
            "with open_pipeline(SearchSettings(data_dir=Path(sys.argv[2]))) as pipeline:\n"
            "    for outcome in pipeline.ingest_dataset(read_dataset(Path(sys.argv[1]))):\n"
            "        print(outcome.detail, flush=True)\n",
            str(dataset),
            str(data_dir),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    acknowledged = [victim.stdout.readline().strip() for _ in range(150)]
    os.kill(victim.pid, signal.SIGKILL)
    acknowledged += victim.communicate()[0].split()
    report = answer("ingest", "dataset", dataset, data_dir=data_dir)
    assert report["unchanged"] >= len(acknowledged) - 1
    assert report["ingested"] > 0, "the kill came too late to prove anything"
    again = answer("ingest", "dataset", dataset, data_dir=data_dir)
    assert again["ingested"] == 0
    assert again["unchanged"] == report["ingested"] + report["unchanged"]


def test_cli_demo_answers_four_questions_from_simulated_data(tmp_path):
    done = run("demo", "--n", 120, "--no-serve", data_dir=tmp_path)
    assert "1. Text -> spectra" in done.stdout
    assert "2. Spectrum -> papers" in done.stdout
    assert "3. Like -> like" in done.stdout
    assert done.stdout.lower().count("simulated") >= 3
    assert answer("status", data_dir=tmp_path / "demo")["detections_simulated"] == 120


def test_cli_serve_answers_over_http(store, shared_data):
    server = subprocess.Popen(
        [*COMMAND, "serve", "--port", "8765", "--data-dir", str(store)],
        stderr=subprocess.PIPE,
        text=True,
    )
    base = "http://127.0.0.1:8765"
    try:
        for _ in range(120):
            try:
                if httpx.get(f"{base}/healthz").status_code == 200:
                    break
            except httpx.ConnectError:
                time.sleep(0.5)
        question = {"q": "X-ray binary", "to": "papers", "limit": 3}
        assert (
            len(httpx.get(f"{base}/v1/search/text", params=question, timeout=60).json()["answers"])
            == 3
        )
        pha = shared_data / "spectra" / "csc_01575_r0043" / "acisf01575_001N001_r0043_pha3.fits.gz"
        body = {"counts": np.arange(400.0).tolist(), "exposure_s": 1000.0}
        assert httpx.post(f"{base}/v1/search/spectrum", json=body).status_code == 200
        with pha.open("rb") as upload:
            answered = httpx.post(
                f"{base}/v1/search/spectrum", files={"file": (pha.name, upload)}, timeout=60
            )
        assert answered.status_code == 200, answered.text
        assert answered.json()["answers"][0]["payload"]["file"] == pha.name
    finally:
        server.terminate()
        server.communicate(timeout=30)
    assert server.returncode == 0
