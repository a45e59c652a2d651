"""Effective areas on axis, in cm^2, by energy in keV.

Those of ACIS were read off public responses of 2000 and 2001: the steps at 1.84 keV (silicon) and
2.1 keV (iridium of the mirrors) are what a fit sees most. Those of other observatories are as their
handbooks draw them, without fine structure.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# fmt: off
_ACIS_KEV = (
    0.10, 0.28, 0.30, 0.40, 0.50, 0.60, 0.70, 0.80, 1.00, 1.25, 1.50, 1.83, 1.85,
    2.00, 2.06, 2.20, 2.50, 3.00, 4.00, 5.00, 6.00, 7.00, 8.00, 9.00, 10.0,
)
_ACIS_I = (
    1, 27, 10, 45, 109, 108, 196, 282, 444, 575, 650, 605, 540,
    436, 400, 229, 300, 339, 373, 321, 211, 111, 43, 22, 9,
)
_ACIS_S = (
    10, 110, 51, 169, 363, 384, 469, 530, 618, 679, 707, 665, 621,
    595, 560, 292, 356, 382, 390, 314, 192, 96, 36, 19, 8,
)
_OTHER_KEV = (
    0.10, 0.30, 0.50, 0.70, 1.00, 1.50, 1.83, 1.85, 2.10, 2.25, 3.00, 4.00, 5.00, 6.00, 7.00, 8.00,
    9.00, 10.0,
)
_PN = (
    60, 850, 960, 1120, 1230, 1320, 1260, 1240, 1080, 720, 760, 820, 830, 800, 710, 590, 480, 380,
)
_MOS = (5, 120, 190, 330, 470, 560, 540, 440, 390, 320, 370, 390, 370, 290, 190, 100, 55, 30)
_XRT = (2, 22, 42, 72, 108, 135, 126, 108, 92, 66, 70, 72, 64, 46, 30, 18, 10, 5)
_SIS = (0, 6, 38, 92, 160, 195, 186, 162, 140, 116, 132, 126, 106, 80, 55, 34, 20, 10)
_GIS = (0, 0, 2, 22, 82, 145, 156, 156, 150, 112, 132, 140, 134, 112, 90, 64, 40, 22)
_XIS_FI = (0, 25, 85, 160, 225, 325, 310, 268, 255, 220, 262, 275, 268, 240, 185, 120, 68, 36)
_XIS_BI = (5, 90, 170, 240, 290, 365, 340, 300, 280, 235, 262, 265, 240, 190, 125, 68, 34, 17)
# fmt: on


def _table(energy_kev: tuple[float, ...], area_cm2: tuple[int, ...]) -> FloatArray:
    return np.column_stack([energy_kev, area_cm2])


AREAS: Mapping[str, FloatArray] = MappingProxyType(
    {
        "ACIS-I": _table(_ACIS_KEV, _ACIS_I),
        "ACIS-S": _table(_ACIS_KEV, _ACIS_S),
        "EPIC-pn": _table(_OTHER_KEV, _PN),
        "EPIC-pn medium": _table(_OTHER_KEV, _PN),
        "EPIC-MOS": _table(_OTHER_KEV, _MOS),
        "XRT": _table(_OTHER_KEV, _XRT),
        "SIS": _table(_OTHER_KEV, _SIS),
        "GIS": _table(_OTHER_KEV, _GIS),
        "XIS-FI": _table(_OTHER_KEV, _XIS_FI),
        "XIS-BI": _table(_OTHER_KEV, _XIS_BI),
    }
)
