"""What differs between instrument modes, as data."""

from dataclasses import dataclass

__all__ = ["MODES", "TraceMode", "find_mode"]


@dataclass(frozen=True)
class TraceMode:
    """
    Settings of the trace model for one instrument mode.

    Parameters
    ----------
    name : str
        Name for messages.
    geometry : str
        How the slices are found, see `jwst_fusion.adaptive_trace_model.geometry`.
    exposure_type : str
        Value of ``meta.exposure.type``.
    detectors : tuple of str
        Values of ``meta.instrument.detector``.
    dispersers : tuple of str
        Values of ``meta.instrument.grating``.
    knots_per_pixel : float
        Spline knots per native pixel along the slit.
    node_spacing : float
        Detector columns over which the profile may change.
    stiffness : float
        Weight of the smoothness of the profile along the dispersion.
    min_good : float
        Share of good pixels that a column needs to take part in the fit of the profile.
    pad : float
        Native pixels beside a steep part of the trace for which the model is used, too.
    spaxel : float
        Size of a spaxel of the default cube along the slit, in native pixels.
    """

    name: str
    geometry: str
    exposure_type: str
    detectors: tuple
    dispersers: tuple
    knots_per_pixel: float = 3.0
    node_spacing: float = 50.0
    stiffness: float = 0.1
    min_good: float = 0.3
    pad: float = 2.0
    spaxel: float = 1.0


MODES = (
    TraceMode(
        name="NIRSpec IFU",
        geometry="nirspec_ifu",
        exposure_type="NRS_IFU",
        detectors=("NRS1", "NRS2"),
        dispersers=("G140M", "G140H", "G235M", "G235H", "G395M", "G395H"),
    ),
    # The PRISM covers a factor of nine in wavelength on four hundred columns.
    TraceMode(
        name="NIRSpec IFU PRISM",
        geometry="nirspec_ifu",
        exposure_type="NRS_IFU",
        detectors=("NRS1", "NRS2"),
        dispersers=("PRISM",),
        node_spacing=15.0,
    ),
)


def find_mode(exposure_type, detector, disperser):
    """
    Find the settings for an exposure.

    Parameters
    ----------
    exposure_type, detector, disperser : str or None
        Values of ``meta.exposure.type``, ``meta.instrument.detector``, ``meta.instrument.grating``.

    Returns
    -------
    mode : TraceMode or None
        The settings; `None` if no mode fits.
    reason : str
        Why no mode fits; empty otherwise.
    """
    known = {"exposure type": exposure_type, "detector": detector, "grating": disperser}
    known = {key: str(value or "").upper() for key, value in known.items()}
    candidates = MODES
    for key, attribute in (
        ("exposure type", lambda mode: (mode.exposure_type,)),
        ("detector", lambda mode: mode.detectors),
        ("grating", lambda mode: mode.dispersers),
    ):
        allowed = dict.fromkeys(name for mode in candidates for name in attribute(mode))
        candidates = [mode for mode in candidates if known[key] in attribute(mode)]
        if not candidates:
            value = known[key] or "missing"
            return None, f"{key} is {value}: supported are {', '.join(allowed)}"
    return candidates[0], ""
