"""Instrument modes: how slices are found and how smooth profiles are in each."""

from dataclasses import dataclass

__all__ = ["MODEL_TYPES", "MODES", "TraceMode", "find_mode", "mode_of_name"]


@dataclass(frozen=True)
class TraceMode:
    """
    Settings of the trace model for one instrument mode.

    Parameters
    ----------
    name : str
        Name for messages.
    geometry : str
        How slices and slits are found, see `jwst_fusion.adaptive_trace_model.geometry`.
    exposure_type : str
        Value of ``meta.exposure.type``.
    detectors : tuple of str
        Values of ``meta.instrument.detector``.
    dispersers : tuple of str
        Values of ``meta.instrument.grating``; empty for instruments without that keyword.
    model_types : tuple of str
        Classes of datamodels that hold exposures of this mode.
    outdated_types : tuple of str
        Classes of datamodels that held them in earlier versions of the pipeline.
    knots_per_pixel : float
        Spline knots per native pixel along the slit.
    node_spacing : float
        Detector columns over which the profile may change.
    stiffness : float
        Weight of the smoothness of the profile along the dispersion, see `SurfaceFitter`.
    bending : float
        Expected second difference of the profile, whose sum is one, over `node_spacing` columns.
    min_good : float
        Share of good pixels that a column needs to take part in the fit of the profile.
    pad : float
        Native pixels beside a steep part of the trace for which the model is used, too.
    spaxels : tuple of float
        Size of a pixel of the default product along the slit, in native pixels: one value, or one
        for each channel.
    """

    name: str
    geometry: str
    exposure_type: str
    detectors: tuple
    dispersers: tuple = ()
    model_types: tuple = ("IFUImageModel",)
    outdated_types: tuple = ()
    knots_per_pixel: float = 3.0
    node_spacing: float = 50.0
    stiffness: float = 0.3
    bending: float = 1e-3
    min_good: float = 0.3
    pad: float = 2.0
    spaxels: tuple = (1.0,)

    def spaxel_size(self, label):
        """
        Size of a pixel of the default product.

        Parameters
        ----------
        label : int
            Number of the slice; with several channels, 100 times the channel and more.

        Returns
        -------
        float
            Size along the slit in native pixels.
        """
        return self.spaxels[label // 100 - 1 if len(self.spaxels) > 1 else 0]


_NIRSPEC = ("NRS1", "NRS2")
_GRATINGS = ("G140M", "G140H", "G235M", "G235H", "G395M", "G395H")
# The PRISM covers a factor of nine in wavelength on four hundred columns, the LRS one of three. The
# LRS's trace moves across the pixels by about one row only, and more knots would leave the profile
# between the rows undetermined.
_PRISM = {"node_spacing": 15.0}
_LRS = {"node_spacing": 15.0, "knots_per_pixel": 1.5}
# Slits are summed over pixels of the exposure or of a rectified image with the same sampling: no
# pixel overlaps an output pixel in part more than a native one does.
_SUMS = (1e6,)

_IFU = {"geometry": "nirspec_ifu", "exposure_type": "NRS_IFU", "detectors": _NIRSPEC}
_NIRSPEC_SLIT = {"geometry": "nirspec_slit", "detectors": _NIRSPEC, "spaxels": _SUMS}
_MIRI_SLIT = {
    "geometry": "miri_lrs",
    "detectors": ("MIRIMAGE",),
    "model_types": ("SlitModel",),
    "outdated_types": ("ImageModel", "CubeModel"),
    "spaxels": _SUMS,
}
_MOS = {
    "exposure_type": "NRS_MSASPEC",
    "model_types": ("MultiSlitModel", "SlitModel"),
    **_NIRSPEC_SLIT,
}
_FIXED = _MOS | {"exposure_type": "NRS_FIXEDSLIT"}
_SERIES = _MOS | {"exposure_type": "NRS_BRIGHTOBJ", "model_types": ("SlitModel",)}

MODES = (
    TraceMode("NIRSpec IFU", dispersers=_GRATINGS, **_IFU),
    # In the slices beside a star fewer knots are better, in slits more.
    TraceMode("NIRSpec IFU PRISM", dispersers=("PRISM",), knots_per_pixel=2.25, **_IFU, **_PRISM),
    TraceMode("NIRSpec MOS", dispersers=_GRATINGS, **_MOS),
    TraceMode("NIRSpec MOS PRISM", dispersers=("PRISM",), **_MOS, **_PRISM),
    TraceMode("NIRSpec fixed slits", dispersers=_GRATINGS, **_FIXED),
    TraceMode("NIRSpec fixed slits PRISM", dispersers=("PRISM",), **_FIXED, **_PRISM),
    TraceMode("NIRSpec bright-object time series", dispersers=_GRATINGS, **_SERIES),
    TraceMode(
        "NIRSpec bright-object time series PRISM", dispersers=("PRISM",), **_SERIES, **_PRISM
    ),
    TraceMode(
        "MIRI MRS",
        geometry="miri_mrs",
        exposure_type="MIR_MRS",
        detectors=("MIRIFUSHORT", "MIRIFULONG"),
        # The PSF is wider in pixels than NIRSpec's; more knots leave more undetermined where the
        # traces follow the grid.
        knots_per_pixel=2.25,
        # 0.13, 0.17, 0.20 and 0.35 arcsec, with pixels of 0.196, 0.196, 0.245 and 0.273 arcsec
        spaxels=(0.66, 0.87, 0.82, 1.28),
    ),
    TraceMode("MIRI LRS slit", exposure_type="MIR_LRS-FIXEDSLIT", **_MIRI_SLIT, **_LRS),
    TraceMode("MIRI LRS slitless", exposure_type="MIR_LRS-SLITLESS", **_MIRI_SLIT, **_LRS),
)

#: Classes of datamodels that hold exposures of any mode.
MODEL_TYPES = tuple(dict.fromkeys(name for mode in MODES for name in mode.model_types))


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
        fitting = [mode for mode in candidates if known[key] in attribute(mode)]
        if allowed and not fitting:
            value = known[key] or "missing"
            return None, f"{key} is {value}: supported are {', '.join(allowed)}"
        candidates = fitting or candidates
    return candidates[0], ""


def mode_of_name(name):
    """
    Find the settings of an instrument mode by its name.

    Parameters
    ----------
    name : str
        `TraceMode.name` of one of `MODES`.

    Returns
    -------
    TraceMode
        The settings.

    Raises
    ------
    ValueError
        If there is no such mode.
    """
    for mode in MODES:
        if mode.name == name:
            return mode
    msg = f"mode is {name!r}: expected one of {', '.join(mode.name for mode in MODES)}"
    raise ValueError(msg)
