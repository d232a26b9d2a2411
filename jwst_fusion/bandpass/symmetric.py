"""Which filters of the imager can be fused with which wavelengths of the spectrograph."""

from dataclasses import dataclass

import numpy as np

from jwst_fusion.bandpass.nominal import NIRCAM_FILTERS, nominal_bandpass
from jwst_fusion.bandpass.photometry import coverage

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


#: Marquis et al. 2026, Table 3: the six ranges in which fusion is symmetric.
SYMMETRIC_RANGES = (
    SymmetricRange(0.97, 1.27, ("F115W",), "G140H", "F070LP"),
    SymmetricRange(0.97, 1.355, ("F115W",), "G140H", "F100LP"),
    SymmetricRange(1.49, 1.89, ("F162M", "F164N"), "G140H", "F100LP"),
    SymmetricRange(1.66, 2.3, ("F182M", "F187N", "F200W", "F210M", "F212N"), "G235H", "F170LP"),
    SymmetricRange(2.87, 3.98, ("F300M", "F323N", "F335M", "F356W", "F360M"), "G395H", "F290LP"),
    SymmetricRange(4.35, 5.1, ("F460M", "F466N", "F470N"), "G395H", "F290LP"),
)

#: Marquis et al. 2026, Fig. 5: wavelengths [um] lost, in part of the field, between the two
#: detectors of NIRSpec when the integral field unit is used with the high-resolution gratings.
NIRSPEC_GAPS = ((1.4078, 1.4858), (2.36067, 2.49153), (3.98276, 4.20323))


def fusable_filters(low, high, *, filters=None, gaps=NIRSPEC_GAPS, minimum=0.85):
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
    minimum : float
        Share of a filter, weighted by its throughput, that the spectra must cover.

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
    With the default every filter of `SYMMETRIC_RANGES` is usable in its range; beyond the paper's
    table, F187N is so at 1.49 to 1.89 um and F480M at 4.35 to 5.1 um.
    """
    if not (np.isfinite(low) and np.isfinite(high) and 0 < low < high):
        msg = f"low and high must be wavelengths in um with low < high, got {low} and {high}"
        raise ValueError(msg)
    if not 0 <= minimum <= 1:
        msg = f"minimum must lie between 0 and 1, got {minimum}"
        raise ValueError(msg)
    names = tuple(NIRCAM_FILTERS) if filters is None else tuple(str(f).upper() for f in filters)
    lam = np.linspace(low, high, 4001)
    inside = np.zeros(lam.size, dtype=bool)
    for start, stop in gaps:
        inside |= (lam > start) & (lam < stop)
    usable, reasons = [], {}
    for name in names:
        band = nominal_bandpass(name)
        reachable = coverage(lam, band)
        covered = coverage(lam, band, valid=~inside)
        blue, red = NIRCAM_FILTERS[name]
        if covered >= minimum:
            usable.append(name)
        elif reachable == 0:
            reasons[name] = f"{name} ({blue}-{red} um) lies outside {low:g}-{high:g} um"
        elif reachable < minimum:
            reasons[name] = (
                f"{name} ({blue}-{red} um) reaches beyond {low:g}-{high:g} um: only "
                f"{100 * reachable:.0f} % of it is covered"
            )
        else:
            reasons[name] = (
                f"{name} ({blue}-{red} um) falls across a gap between the detectors: only "
                f"{100 * covered:.0f} % of it is covered"
            )
    return tuple(usable), reasons
