import pytest

from ingest.spectra.product_names import ProductName, parse_product_name, release_of


def test_product_name_gives_the_detection_it_belongs_to():
    assert parse_product_name("acisf01575_001N001_r0085_pha3.fits.gz") == ProductName(
        instrument="ACIS", obsid=1575, obi=1, version=1, region_id=85, product="pha3"
    )


@pytest.mark.parametrize(
    ("name", "region_id", "product", "release"),
    [
        ("acisf04938_000N002_r0043_pha3.fits", 43, "pha3", "1.1"),
        ("acisf09335_000N021_r0003b_lc3.fits", 3, "lc3", "2.0"),
        ("hrcf02871_001N029_r2824_rmf3.fits", 2824, "rmf3", "2.0"),
        ("hrcf24564_000N030_r0001_arf3.fits", 1, "arf3", "2.1"),
        ("hrcf07279_000N020_r0043_regevt3.src.fits", 43, "regevt3", "2.0"),
        ("acisf123456_000N031_r12345_regevt3.fits.gz", 12345, "regevt3", "2.1"),
    ],
)
def test_product_name_gives_region_product_and_release(name, region_id, product, release):
    parsed = parse_product_name(name)
    assert (parsed.region_id, parsed.product, parsed.release) == (region_id, product, release)


@pytest.mark.parametrize(
    "name",
    [
        "source.pi",
        "acisf01575_000N001_evt2.fits",  # the whole field
        "acisfJ0042427p411608_001N020_r0085_pha3.fits",  # a stack of observations
        "copy_of_acisf01575_001N001_r0085_pha3.fits",
        "",
    ],
)
def test_other_names_are_no_product_of_one_detection(name):
    assert parse_product_name(name) is None


@pytest.mark.parametrize(
    ("version", "release"), [(1, "1.1"), (19, "1.1"), (20, "2.0"), (29, "2.0"), (30, "2.1")]
)
def test_release_follows_the_processing_version(version, release):
    assert release_of(version) == release
