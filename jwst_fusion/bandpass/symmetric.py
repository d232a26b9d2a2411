"""Filters of the imager that can be fused with given wavelengths of the spectrograph."""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.bandpass.names import filter_name
from jwst_fusion.bandpass.nominal import NIRCAM_FILTERS, nominal_bandpass
from jwst_fusion.bandpass.photometry import MIN_COVERAGE, coverage

__all__ = ["NIRSPEC_GAPS", "SYMMETRIC_RANGES", "SymmetricRange", "fusable_filters"]


@dataclass(frozen=True)
class SymmetricRange:
    """
    Wavelength range over which both instruments see everything that the other sees.

    Attributes
    ----------
    low, high : float
        Ends of the range [um].
    filters : tuple of str
        NIRCam filters.
    grating, blocking_filter : str
        NIRSpec disperser and filter.
    """

    low: float
    high: float
    filters: tuple
    grating: str
    blocking_filter: str


#: Marquis et al. (2026), Table 3: the six ranges in which fusion is symmetric.
SYMMETRIC_RANGES = (
    SymmetricRange(0.97, 1.27, ("F115W",), "G140H", "F070LP"),
    SymmetricRange(0.97, 1.355, ("F115W",), "G140H", "F100LP"),
    SymmetricRange(1.49, 1.89, ("F162M", "F164N"), "G140H", "F100LP"),
    SymmetricRange(1.66, 2.3, ("F182M", "F187N", "F200W", "F210M", "F212N"), "G235H", "F170LP"),
    SymmetricRange(2.87, 3.98, ("F300M", "F323N", "F335M", "F356W", "F360M"), "G395H", "F290LP"),
    SymmetricRange(4.35, 5.1, ("F460M", "F466N", "F470N"), "G395H", "F290LP"),
)

#: Marquis et al. (2026), Fig. 5: wavelengths [um] lost, in part of the field, between the two
#: detectors of NIRSpec when the integral field unit is used with the high-resolution gratings.
NIRSPEC_GAPS = ((1.4078, 1.4858), (2.36067, 2.49153), (3.98276, 4.20323))


# A range is one of the table if both ends agree to this [um], half a unit of its last digit.
_SAME = 0.005
# The wings of a filter do not count.
_NOTHING = 0.005


def fusable_filters(low, high, *, filters=None, gaps=NIRSPEC_GAPS, minimum=None):
    """
    Find the filters that lie within a wavelength range and outside its gaps.

    Parameters
    ----------
    low, high : float
        Range that the spectra cover [um].
    filters : sequence of str, optional
        NIRCam filters to consider; by default all.
    gaps : sequence of tuple
        Ranges without data [um]; pass an empty one for the medium-resolution gratings and the
        prism.
    minimum : float, optional
        Share of a filter, weighted by its throughput, that the spectra must cover. By default the
        published table is followed in its six ranges, and the share is 0.98 in all others.

    Returns
    -------
    usable : tuple of str
        The filters that can be fused.
    reasons : dict of str
        For every other filter a sentence that says why not.

    Raises
    ------
    ValueError
        If the range is empty, a filter is unknown or `minimum` is not between 0 and 1.

    Notes
    -----
    Table 3 of Marquis et al. (2026) does not follow from one threshold, with the nominal bands
    used here: it lists F300M at 2.87 to 3.98 um and F115W at 0.97 to 1.27 um, of which 87 and 96 %
    lie in the range, and omits F187N at 1.49 to 1.89 um and F480M at 4.35 to 5.1 um, which lie in
    it. With ``minimum=0.98``, the default ``min_coverage`` of
    `~jwst_fusion.step.FusionStep`, these four are judged the other way; all others are as
    in the table.
    """
    if not (np.isfinite(low) and np.isfinite(high) and 0 < low < high):
        msg = f"low and high must be wavelengths in um with low < high, got {low} and {high}"
        raise ValueError(msg)
    if minimum is not None and not 0 <= minimum <= 1:
        msg = f"minimum must lie between 0 and 1, got {minimum}"
        raise ValueError(msg)
    if filters is None:
        filters = NIRCAM_FILTERS
    elif isinstance(filters, str):
        filters = (filters,)
    names = [filter_name(one, instrument="NIRCAM", parameter="filters") for one in filters]
    published = None
    if minimum is None and tuple(map(tuple, gaps)) == NIRSPEC_GAPS:
        published = _published(low, high)
    lam = np.linspace(low, high, 4001)
    inside = np.zeros(lam.size, dtype=bool)
    for start, stop in gaps:
        inside |= (lam > start) & (lam < stop)
    usable, reasons = [], {}
    for name in dict.fromkeys(names):
        band = nominal_bandpass(name)
        reachable = coverage(lam, band)
        covered = coverage(lam, band, valid=~inside)
        needed = MIN_COVERAGE if minimum is None else minimum
        if published is not None and name in published.filters:
            usable.append(name)
        elif covered < max(needed, _NOTHING):
            reasons[name] = _reason(name, low, high, reachable, covered, needed)
        elif published is not None:
            reasons[name] = (
                f"{_band(name)} lies within {low:g}-{high:g} um, but Marquis et al. (2026, Table "
                "3) do not list it there; set minimum to judge by coverage alone"
            )
        else:
            usable.append(name)
    return tuple(usable), reasons


def _published(low, high):
    for entry in SYMMETRIC_RANGES:
        if abs(entry.low - low) <= _SAME and abs(entry.high - high) <= _SAME:
            return entry
    return None


def _band(name):
    blue, red = NIRCAM_FILTERS[name]
    return f"{name} ({blue}-{red} um)"


def _reason(name, low, high, reachable, covered, needed):
    if reachable < _NOTHING:
        return f"{_band(name)} lies outside {low:g}-{high:g} um"
    if reachable < needed:
        return (
            f"{_band(name)} reaches beyond {low:g}-{high:g} um: only {100 * reachable:.0f} % of it "
            "is covered"
        )
    return (
        f"{_band(name)} falls across a gap between the detectors: only {100 * covered:.0f} % of it "
        "is covered"
    )
