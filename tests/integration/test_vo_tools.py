"""What we answer, as the tools that astronomers use read it: stilts, pyvo, astropy."""

import os
import shutil
import subprocess
import threading
import time
import urllib.request
from io import BytesIO
from types import SimpleNamespace

import astropy.units as u
import pytest
import pyvo
import uvicorn
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table
from qdrant_client import models
from small_store import AGN, QUESTION, SmallStore, detection
from vo_answers import ANSWERS

from common.variables import VARIABLES
from search.api import create_api
from search.collections import schema
from search.rendering.formats import render
from search.settings import SearchSettings

pytestmark = pytest.mark.integration

POSITION = "RA=10.679&DEC=41.262"
NEIGHBOURS = [
    detection(
        10 + number,
        ra_deg=10.679,
        dec_deg=41.262 + number / 3600,
        variables={"powlaw_nh": 12.5, "bb_kt": 0.5},
    )
    for number in range(1, 4)
]
VARIED_CONES = {
    "normal": f"{POSITION}&SR=0.01",
    "all columns": f"{POSITION}&SR=0.01&VERB=3",
    "few columns": f"{POSITION}&SR=0.01&VERB=1",
    "metadata": f"{POSITION}&SR=0",
    "empty": "RA=200&DEC=-41&SR=0.01",
    "truncated": f"{POSITION}&SR=0.01&MAXREC=2",
    "whole sky": f"{POSITION}&SR=180",
    "error": "RA=as3f<&DEC=41&SR=0.01",
}


@pytest.fixture(scope="module")
def stilts():
    """Run stilts; missing it is a failure, since nothing else checks these answers as strictly."""
    if "CHANDRA_WITHOUT_STILTS" in os.environ:
        pytest.skip("CHANDRA_WITHOUT_STILTS is set: VOTables are not checked by stilts")
    command = shutil.which("stilts")
    if command is None:
        pytest.fail(
            "stilts is not installed: `apt-get install stilts`, or set CHANDRA_WITHOUT_STILTS=1 "
            "to do without it"
        )

    def run(*arguments, text=None):
        done = subprocess.run(
            [command, *arguments], input=text, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def small(module_folder):
    small = SmallStore(module_folder("vo") / "store")
    with small.store:
        payloads = [schema.detection_payload(one) for one in NEIGHBOURS]
        small.store.upsert(
            schema.DETECTIONS,
            [
                models.PointStruct(id=str(one.id), vector={}, payload=payload)
                for one, payload in zip(NEIGHBOURS, payloads, strict=True)
            ],
        )
        yield small


@pytest.fixture(scope="module")
def url(small):
    """The address of a real server."""
    api = create_api(SimpleNamespace(search=small.service), SearchSettings())
    server = uvicorn.Server(uvicorn.Config(api, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def get(address):
    with urllib.request.urlopen(address, timeout=30) as response:
        return response.read()


@pytest.mark.parametrize("kind", VARIED_CONES)
def test_votlint_finds_nothing_in_a_cone_search(stilts, url, kind):
    answer = get(f"{url}/vo/scs?{VARIED_CONES[kind]}").decode()

    assert stilts("votlint", "votable=-", "ucd=true", "unit=true", text=answer) == ""


def test_stilts_cone_finds_the_detections_of_a_cone(stilts, url, tmp_path):
    out = tmp_path / "cone.csv"
    said = stilts(
        "cone", f"serviceurl={url}/vo/scs", "lon=10.679", "lat=41.262", "radius=0.01",
        "verb=1", f"out={out}", "ofmt=csv",
    )  # fmt: skip

    assert said == ""
    assert Table.read(out)["key"].tolist() == [AGN.key, *(one.key for one in NEIGHBOURS)]


def test_stilts_cone_reads_an_empty_answer(stilts, url):
    counted = stilts(
        "cone", f"serviceurl={url}/vo/scs", "lon=200", "lat=-41", "radius=0.01", "omode=count"
    )

    assert "rows: 0" in counted


def test_pyvo_finds_position_and_id(url):
    position = SkyCoord(10.679, 41.262, unit="deg")
    found = pyvo.dal.SCSService(f"{url}/vo/scs").search(pos=position, radius=0.01 * u.deg)

    assert len(found) == 4
    assert found[0].id == AGN.key
    assert found[0].pos.separation(position).arcsec < 1e-6
    assert [record.id for record in found][1:] == [one.key for one in NEIGHBOURS]
    assert found[1].pos.separation(position).arcsec == pytest.approx(1)


def test_pyvo_learns_the_columns_and_is_told_of_mistakes(url):
    service = pyvo.dal.SCSService(f"{url}/vo/scs")

    assert "separation_arcsec" in {column.name for column in service.columns}
    with pytest.raises(pyvo.dal.DALQueryError, match=r"SR is '200\.0'"):
        service.search(pos=SkyCoord(10, 41, unit="deg"), radius=200.0)


@pytest.mark.parametrize("of", ["detections", "papers"])
def test_votlint_finds_nothing_in_the_answers_of_the_api(stilts, url, of):
    question = QUESTION.replace(" ", "%20")
    answer = get(f"{url}/v1/search/text?q={question}&to={of}&limit=2&format=votable").decode()

    assert stilts("votlint", "votable=-", "ucd=true", "unit=true", text=answer) == ""


@pytest.mark.parametrize("what", ANSWERS)
def test_votlint_finds_nothing_in_any_votable(stilts, what):
    assert (
        stilts("votlint", "votable=-", "ucd=true", "unit=true", text=ANSWERS[what]("votable")) == ""
    )


@pytest.mark.parametrize("fmt", ["ecsv", "votable"])
def test_units_of_the_variables_survive_the_round_trip(small, fmt):
    hits = small.service.by_text(QUESTION, "detections").hits
    text = render(hits, fmt)
    source = BytesIO(text.encode()) if fmt == "votable" else text
    table = QTable.read(source, format="votable" if fmt == "votable" else "ascii.ecsv")

    wanted = {variable.name: variable.unit for variable in VARIABLES}
    wanted |= {"ra_deg": "deg", "dec_deg": "deg", "exposure_s": "s", "counts": "ct"}
    for name, unit in wanted.items():
        assert (table[name].unit or u.dimensionless_unscaled) == u.Unit(unit)


def test_quantities_of_a_cone_can_be_computed_with(url):
    table = QTable.read(
        BytesIO(get(f"{url}/vo/scs?{POSITION}&SR=0.01")), format="votable", verify="ignore"
    )

    assert table["powlaw_nh"].unit == u.Unit("1e20 cm**-2")
    assert table["powlaw_nh"][1].unmasked.to_value(u.cm**-2) == pytest.approx(12.5e20)
    assert table["bb_kt"][1].unmasked.to_value(u.eV) == pytest.approx(500)
    assert table["separation_arcsec"][1].unmasked.to_value(u.deg) == pytest.approx(1 / 3600)
    assert table["ra_deg"].unit == u.deg
