"""The imaging filters of JWST, and a check that a name is one of them."""

import difflib

from jwst_fusion.bandpass.nominal import MIRI_FILTERS, NIRCAM_FILTERS

__all__ = ["FILTERS", "band_of_wheels", "filter_name"]

#: Imaging filters of each instrument. Names that NIRISS shares with NIRCam have other curves.
FILTERS = {
    "NIRCAM": tuple(NIRCAM_FILTERS),
    "MIRI": tuple(MIRI_FILTERS),
    "NIRISS": tuple(
        "F090W F115W F140M F150W F158M F200W F277W F356W F380M F430M F444W F480M".split()
    ),
}


def filter_name(name, *, instrument=None, parameter="filter"):
    """
    Check and normalise the name of a filter.

    Parameters
    ----------
    name : str
        Filter, in any case, for instance "f182m".
    instrument : {"NIRCAM", "MIRI", "NIRISS"}, optional
        Only filters of this instrument are accepted; by default those of all three.
    parameter : str, optional
        The parameter in which the name was given, for the error message.

    Returns
    -------
    str
        The name in upper case.

    Raises
    ------
    ValueError
        If the instrument is unknown or has no such filter; the message names the parameter and the
        filters that are meant most likely.
    """
    if instrument is None:
        known, of = sorted({one for names in FILTERS.values() for one in names}), ", ".join(FILTERS)
    elif str(instrument).upper() in FILTERS:
        of = str(instrument).upper()
        known = FILTERS[of]
    else:
        msg = f"no filters of instrument {instrument!r} are known, only of {', '.join(FILTERS)}"
        raise ValueError(msg)
    text = str(name).strip().upper()
    if text in known:
        return text
    likely = difflib.get_close_matches(text, known, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(likely)}?" if likely else f"known are {', '.join(known)}"
    msg = f"{parameter}: {str(name)!r} is not an imaging filter of {of}; {hint}"
    raise ValueError(msg)


def band_of_wheels(*names):
    """
    Return the filter that shapes the band: NIRCam and NIRISS have two wheels.

    Parameters
    ----------
    *names : str or None
        What is in each wheel.

    Returns
    -------
    str
        The filter in upper case; empty if there is none.
    """
    texts = [str(name or "").strip().upper() for name in names]
    bands = [text for text in texts if text[:1] == "F" and text[1:2].isdigit()]
    # A medium or narrow filter in the pupil wheel is crossed with a wide one that only blocks.
    return min(bands, key=lambda band: "NMW".find(band.rstrip("0123456789")[-1:]), default="")
