import pytest

from common.errors import InvalidSpectrumError, NotFoundError
from ingest.spectra.discover import find_spectra, read_observed
from tests.support.fits_files import (
    ebounds_hdu,
    events_hdu,
    gzip_to,
    read_manifest,
    spectrum_hdu,
    write,
)


def names(paths):
    return [path.name for path in paths]


def test_folder_gives_spectra_and_event_lists_sorted_to_any_depth(tmp_path):
    deep = tmp_path / "b" / "c"
    deep.mkdir(parents=True)
    write(tmp_path / "z.pha", spectrum_hdu(OBS_ID="1"))
    write(tmp_path / "a.fits", events_hdu([1000.0]))
    write(deep / "m.pha", spectrum_hdu(OBS_ID="2"))
    assert names(find_spectra([tmp_path])) == ["a.fits", "z.pha", "m.pha"]


def test_files_are_recognised_by_their_headers_not_their_names(tmp_path):
    write(tmp_path / "spectrum.dat", spectrum_hdu())
    gzip_to(tmp_path / "packed.bin", (tmp_path / "spectrum.dat").read_bytes())
    write(tmp_path / "response.pha", ebounds_hdu())
    assert names(find_spectra([tmp_path])) == ["packed.bin", "spectrum.dat"]


def test_what_is_not_fits_is_passed_over_in_a_folder(tmp_path):
    for name in ("README.md", "table.csv", "image.png", "table.csv.gz"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
    (tmp_path / "empty").touch()
    assert find_spectra([tmp_path]) == []


@pytest.mark.parametrize("name", ["a.pi", "a.pha", "a.fits", "a.PHA", "a.fits.gz", "a.gz"])
def test_unreadable_files_named_like_fits_are_kept_to_be_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x1f\x8b not gzip")
    (path,) = find_spectra([tmp_path])
    with pytest.raises(InvalidSpectrumError, match=name):
        read_observed(path)


@pytest.mark.parametrize(
    ("background", "keywords"),
    [
        ("any_name.pha", {"HDUCLAS2": "BKG"}),
        ("named.pha", {}),
        ("named.pha.gz", {}),
        ("source_bkg.pha", {}),
        ("back1.pha", {}),
        ("PNbackground_spectrum.fits", {}),
        ("source_bg.pi", {}),
    ],
)
def test_backgrounds_are_passed_over_in_a_folder(tmp_path, background, keywords):
    write(tmp_path / "source.pha", spectrum_hdu(BACKFILE="named.pha"))
    write(tmp_path / background, spectrum_hdu(**keywords))
    assert names(find_spectra([tmp_path])) == ["source.pha"]


def test_spectrum_that_only_sounds_like_a_background_is_kept(tmp_path):
    write(tmp_path / "bgkelly.pha", spectrum_hdu(OBS_ID="1"))
    write(tmp_path / "outback.pha", spectrum_hdu(OBS_ID="2"))
    assert names(find_spectra([tmp_path])) == ["bgkelly.pha", "outback.pha"]


def test_file_that_names_itself_as_background_is_kept(tmp_path):
    background = spectrum_hdu(HDUCLAS2="BKG")
    write(tmp_path / "a_pha3.fits", spectrum_hdu(BACKFILE="a_pha3.fits"), background)
    assert names(find_spectra([tmp_path])) == ["a_pha3.fits"]


def test_file_named_directly_is_always_kept(tmp_path):
    paths = [
        write(tmp_path / "source.pha", spectrum_hdu(BACKFILE="back.pha")),
        write(tmp_path / "back.pha", spectrum_hdu()),
        write(tmp_path / "small.rmf", ebounds_hdu()),
    ]
    assert find_spectra(paths) == paths


def test_each_file_is_given_once(tmp_path):
    path = write(tmp_path / "a.pha", spectrum_hdu())
    (tmp_path / "link.pha").symlink_to(path)
    assert find_spectra([tmp_path, path, tmp_path]) == [path]


def test_links_between_folders_end(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    write(inner / "a.pha", spectrum_hdu())
    (inner / "up").symlink_to(tmp_path)
    assert names(find_spectra([tmp_path])) == ["a.pha"]


def test_linked_folder_is_searched(tmp_path):
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    elsewhere.mkdir()
    here.mkdir()
    write(elsewhere / "a.pha", spectrum_hdu())
    (here / "link").symlink_to(elsewhere)
    assert names(find_spectra([here])) == ["a.pha"]


def test_path_that_does_not_exist_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match="nowhere: there is no such file or folder"):
        find_spectra([tmp_path / "nowhere"])


def test_folder_of_the_real_sets_gives_their_spectra_and_nothing_else(shared_data):
    found = find_spectra([shared_data / "spectra"])
    assert {f"{path.parent.name}/{path.name}" for path in found} == {
        f"{row['set']}/{row['pha']}" for row in read_manifest(shared_data).values()
    }
