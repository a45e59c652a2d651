"""Names of Chandra Source Catalog products: which detection of which release a file belongs to."""

import re
from dataclasses import dataclass

_NAME = re.compile(
    r"(?P<instrument>acis|hrc)f(?P<obsid>\d{5,})_(?P<obi>\d{3})N(?P<version>\d{3})"
    r"_r(?P<region>\d{4,})(?P<band>[a-z]?)_(?P<product>[a-z]+3)(?![a-z0-9])"
)


@dataclass(frozen=True, slots=True)
class ProductName:
    """What the name of a CSC product of one detection says."""

    instrument: str
    obsid: int
    obi: int
    version: int
    region_id: int
    product: str

    @property
    def release(self) -> str:
        """The release of the catalogue that the product belongs to."""
        return release_of(self.version)


def parse_product_name(name: str) -> ProductName | None:
    """Parse ``acisf01575_001N001_r0085_pha3.fits.gz`` and the like; None if it is no such name."""
    found = _NAME.match(name)
    if found is None:
        return None
    return ProductName(
        instrument=found["instrument"].upper(),
        obsid=int(found["obsid"]),
        obi=int(found["obi"]),
        version=int(found["version"]),
        region_id=int(found["region"]),
        product=found["product"],
    )


def release_of(version: int) -> str:
    """Return the release that a processing version (``N###``, header ``REVISION``) belongs to."""
    # No table of versions is published. What is: the CXC's page on detections in CSC 2.0
    # (cxc.cfa.harvard.edu/csc2/faq/detect.html) shows N021 and sherpa issue 1830 N029; products
    # of obsid 24564, observed in September 2021 and therefore first in CSC 2.1, are N030;
    # products processed in 2008 and 2009, for CSC 1.0 and 1.1, are N001 and N002.
    if version >= 30:
        return "2.1"
    return "2.0" if version >= 20 else "1.1"
