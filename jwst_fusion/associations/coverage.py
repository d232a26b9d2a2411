"""Wavelength ranges of cubes and exposures, and the filters that lie within them."""

from functools import lru_cache

import numpy as np

from jwst_fusion.bandpass import (
    MIN_COVERAGE,
    NIRSPEC_GAPS,
    SYMMETRIC_RANGES,
    coverage,
    load_bandpass,
)
from jwst_fusion.numerics.spectral_axis import NoWavelengthsError, linear_wavelengths
from jwst_fusion.psf.instruments import MRS_BANDS

__all__ = ["judge_filter", "ranges_of_cube", "ranges_of_exposure"]

#: Wavelengths [um] of the dispersers and filters of NIRSpec.
_NIRSPEC = {
    "F070LP": (0.70, 1.27),
    "F100LP": (0.97, 1.89),
    "F170LP": (1.66, 3.17),
    "F290LP": (2.87, 5.27),
    "CLEAR": (0.60, 5.30),
}
_GAPS = dict(zip(("G140H", "G235H", "G395H"), NIRSPEC_GAPS, strict=True))
_LETTERS = {"SHORT": "A", "MEDIUM": "B", "LONG": "C"}
_SAMPLES = 4001  # wavelengths at which coverage is counted


def ranges_of_exposure(header):
    """
    Return the wavelengths that an exposure of an integral field unit holds.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Its primary header.

    Returns
    -------
    list of tuple
        Ranges [um]; empty if disperser, filter, channel or band are unknown.
    """
    if header.get("INSTRUME") == "MIRI":
        letters = [_LETTERS.get(word) for word in str(header.get("BAND", "")).split("-")]
        channels = str(header.get("CHANNEL", ""))
        letters = letters * len(channels) if len(letters) == 1 else letters
        names = [f"{one}{letter}" for one, letter in zip(channels, letters, strict=False)]
        return [MRS_BANDS[name][1:] for name in names if name in MRS_BANDS]
    span = _NIRSPEC.get(str(header.get("FILTER", "")).upper())
    return [] if span is None else _without_gap(header, *span, header.get("DETECTOR"))


def ranges_of_cube(header, science):
    """
    Return the wavelengths that a cube holds.

    Parameters
    ----------
    header, science : `~astropy.io.fits.Header`
        Its primary header and that of the extension SCI.

    Returns
    -------
    list of tuple
        Ranges [um]; empty if nothing tells them.

    Raises
    ------
    ValueError
        If the unit of the wavelengths is not one of length.
    """
    edges = [0.5, science.get("NAXIS3", 0) + 0.5]
    try:
        ends = linear_wavelengths(science, edges, name="the cube").tolist()
    except NoWavelengthsError:
        return ranges_of_exposure({**header, "DETECTOR": None})
    return _without_gap(header, min(ends), max(ends), None)


# Share of a filter of MIRI that a band covers at least if its neighbours cover the rest.
_WORTH_A_HINT = 0.05


@lru_cache(maxsize=4096)
def judge_filter(name, instrument, ranges, *, gratings=(), minimum=MIN_COVERAGE):
    """
    Say whether images of a filter can be fused with given wavelengths.

    Parameters
    ----------
    name, instrument : str
        Filter, and "NIRCAM" or "MIRI".
    ranges : tuple of tuple
        Wavelengths that the spectra hold [um].
    gratings : tuple of tuple
        Disperser and blocking filter of NIRSpec, for the ranges of Marquis et al. (2026, Table 3).
    minimum : float
        Share of the filter that the spectra must cover.

    Returns
    -------
    usable : bool
        Whether they can.
    note : str
        Why not, or what to mind; may be empty.
    """
    band = load_bandpass(name, instrument=instrument)
    shares = [_share(band, [one]) for one in ranges] or [0.0]
    whole = _share(band, ranges)
    if max(shares) >= minimum:
        return True, ""
    for entry in SYMMETRIC_RANGES:
        listed = name in entry.filters and (entry.grating, entry.blocking_filter) in gratings
        if listed and any(
            low - 0.01 <= entry.low and entry.high <= high + 0.01 for low, high in ranges
        ):
            return True, (
                f"{name} is among the filters for {entry.grating}/{entry.blocking_filter} (Marquis "
                f"et al. 2026, Table 3), but only {100 * whole:.0f} % of it is covered: give "
                f"--min_coverage={np.floor(100 * max(shares)) / 100:.2f} to use it"
            )
    if whole >= minimum and instrument == "MIRI":
        return True, (
            f"{name} reaches over several bands: build cubes with output_type=channel or multi to "
            "use it"
        )
    text = ", ".join(f"{low:.4g}-{high:.4g}" for low, high in _merged(ranges)) or "none"
    covered = (
        f"{100 * whole:.0f} % of {name} is covered" if whole >= 0.005 else f"{name} lies outside"
    )
    hint = ""
    if instrument == "MIRI" and whole >= _WORTH_A_HINT:
        hint = ": cubes of whole channels (cube_build with output_type=channel) may cover it"
    return False, f"{covered} (wavelengths {text} um){hint}"


def _share(band, ranges):
    if not ranges:
        return 0.0
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    wave = np.linspace(low, high, _SAMPLES)
    valid = np.zeros(_SAMPLES, bool)
    for start, stop in ranges:
        valid |= (wave >= start) & (wave <= stop)
    return coverage(wave, band, valid=valid)


def _without_gap(header, low, high, detector):
    """Split a range of NIRSpec where its two detectors leave a gap; one detector has one side."""
    gap = _GAPS.get(str(header.get("GRATING", "")).upper())
    if gap is None or not low < gap[0] < gap[1] < high:
        return [(low, high)]
    sides = {"NRS1": [(low, gap[0])], "NRS2": [(gap[1], high)]}
    return sides.get(str(detector).upper(), [(low, gap[0]), (gap[1], high)])


def _merged(ranges):
    merged = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged
