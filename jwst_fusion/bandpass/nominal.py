"""Built-in filter curves of NIRCam and MIRI, from nominal half-power wavelengths."""

import numpy as np
from scipy.special import erf

from jwst_fusion.bandpass.curve import Bandpass

__all__ = ["MIRI_FILTERS", "NIRCAM_FILTERS", "nominal_bandpass"]

#: Half-power wavelengths [um] of the 29 NIRCam filters after the JWST User Documentation,
#: https://jwst-docs.stsci.edu/jwst-near-infrared-camera/nircam-instrumentation/nircam-filters.
#: They agree to 7 nm (F150W2: 46 nm) with the curves in the data of STPSF.
NIRCAM_FILTERS = {
    "F070W": (0.624, 0.781),
    "F090W": (0.795, 1.005),
    "F115W": (1.013, 1.282),
    "F140M": (1.331, 1.479),
    "F150W": (1.331, 1.668),
    "F162M": (1.542, 1.713),
    "F164N": (1.635, 1.653),
    "F150W2": (1.007, 2.380),
    "F182M": (1.722, 1.968),
    "F187N": (1.863, 1.885),
    "F200W": (1.755, 2.227),
    "F210M": (1.992, 2.201),
    "F212N": (2.109, 2.134),
    "F250M": (2.412, 2.595),
    "F277W": (2.423, 3.132),
    "F300M": (2.831, 3.157),
    "F322W2": (2.432, 4.013),
    "F323N": (3.217, 3.255),
    "F335M": (3.177, 3.537),
    "F356W": (3.135, 3.981),
    "F360M": (3.426, 3.814),
    "F405N": (4.028, 4.074),
    "F410M": (3.866, 4.302),
    "F430M": (4.167, 4.398),
    "F444W": (3.881, 4.982),
    "F460M": (4.515, 4.747),
    "F466N": (4.629, 4.681),
    "F470N": (4.683, 4.733),
    "F480M": (4.662, 4.973),
}

#: Half-power wavelengths [um] of the filters of the MIRI imager, from the curves in STPSF's data.
MIRI_FILTERS = {
    "F560W": (5.052, 6.170),
    "F770W": (6.587, 8.683),
    "F1000W": (9.021, 10.889),
    "F1130W": (10.960, 11.667),
    "F1280W": (11.586, 14.114),
    "F1500W": (13.522, 16.633),
    "F1800W": (16.516, 19.496),
    "F2100W": (18.474, 23.166),
    "F2550W": (23.288, 26.684),
}

_EDGE = 0.006  # width of an edge over its wavelength
_SAMPLES = 400  # along a curve


def nominal_bandpass(name):
    """
    Box with smooth edges between the nominal half-power wavelengths.

    Parameters
    ----------
    name : str
        Filter of NIRCam or of the MIRI imager; no name belongs to both.

    Returns
    -------
    Bandpass
        Curve with a maximum of about one. Its edges are error functions with a width of 0.6 % of
        the wavelength, or a tenth of the band if that is less.

    Raises
    ------
    ValueError
        If the filter is unknown.
    """
    text = str(name).upper()
    known = NIRCAM_FILTERS | MIRI_FILTERS
    if text not in known:
        msg = f"{name!r} is not a filter of NIRCam or MIRI; known are {', '.join(known)}"
        raise ValueError(msg)
    blue, red = known[text]
    blue_edge = min(_EDGE * blue, 0.1 * (red - blue))
    red_edge = min(_EDGE * red, 0.1 * (red - blue))
    lam = np.linspace(blue - 4 * blue_edge, red + 4 * red_edge, _SAMPLES)
    curve = 0.5 * (erf((lam - blue) / blue_edge) - erf((lam - red) / red_edge))
    return Bandpass(text, lam, curve, "nominal half-power wavelengths")
