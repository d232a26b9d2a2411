"""Properties of the instruments on which their PSFs depend."""

from dataclasses import dataclass

__all__ = [
    "INSTRUMENTS",
    "LARGEST_DETECTOR",
    "MRS_BANDS",
    "NIRCAM_LIMIT",
    "Instrument",
    "aperture_angle",
    "identify",
    "pixel_of",
]


@dataclass(frozen=True)
class Instrument:
    """
    One instrument, or one channel of it, as the PSF models see it.

    Attributes
    ----------
    name : str
        Name used throughout this package.
    wavelength : tuple of float
        Shortest and longest wavelength that reaches the detector [um].
    aperture_angle : dict
        Angle of the aperture's ideal +y axis, counterclockwise from the V3 axis as seen on the
        sky, per detector [deg]: ``V3IdlYAngle`` of the JWST Science Instrument Aperture File,
        release PRDOPSSOC-075. All have ``VIdlParity`` -1, that is, +x is 90 deg clockwise of +y.
    broadening : float
        Default Gaussian sigma that the optics do not account for [arcsec]: charge diffusion in
        the detector for NIRCam, default of STPSF 2.2 (``stpsf.constants``). For the integral field
        unit it is 0: the 0.05 by which STPSF widens it stand for the resampling into a cube,
        which is described by kernels of pixels here.
    wavefront_rms : float
        In-flight wavefront error of telescope and instrument together, without the focus of NIRCam
        that depends on wavelength [nm rms].
    detector_shape : tuple of int or None
        Columns and rows of the detector of an imager; None for an integral field unit.
    """

    name: str
    wavelength: tuple
    aperture_angle: dict
    broadening: float
    wavefront_rms: float
    detector_shape: tuple | None = None


# Angles of the apertures [deg], see `Instrument.aperture_angle`.
_NIRCAM_SHORT = {
    "NRCB1": 0.3448,
    "NRCB2": 0.8466,
    "NRCB3": -0.4516,
    "NRCB4": -0.3383,
    "NRCA1": -0.5519,
    "NRCA2": -0.2072,
    "NRCA3": 0.2821,
    "NRCA4": 0.1002,
}
_NIRCAM_LONG = {"NRCB5": 0.0232, "NRCA5": -0.0634}
_NIRSPEC_IFU = {"NRS1": 138.9716, "NRS2": 138.9716}

#: Bands of the MIRI medium-resolution spectrometer: the angle as in ``Instrument.aperture_angle``
#: from the corners of the apertures in the same release (ideal +x runs along the slices), and the
#: wavelengths [um] of the cubes that the pipeline builds.
MRS_BANDS = {
    "1A": (8.424, 4.90, 5.74),
    "1B": (8.296, 5.66, 6.63),
    "1C": (8.303, 6.53, 7.65),
    "2A": (8.160, 7.51, 8.77),
    "2B": (8.213, 8.67, 10.13),
    "2C": (8.174, 10.01, 11.70),
    "3A": (7.549, 11.55, 13.47),
    "3B": (7.561, 13.34, 15.57),
    "3C": (7.610, 15.41, 17.98),
    "4A": (8.300, 17.70, 20.95),
    "4B": (8.198, 20.69, 24.48),
    "4C": (8.093, 24.40, 28.70),
}
#: Wavelength [um] at which the two channels of NIRCam meet.
NIRCAM_LIMIT = 2.35
# Channels that fall on each detector.
_MRS_DETECTORS = {"MIRIFUSHORT": "12", "MIRIFULONG": "34"}

#: Detector pixel [arcsec] along ideal x and y; for an integral field unit the pixel along a slice
#: and the width of a slice, whichever lies along that axis (MRS: Argyriou et al. 2023, A&A 675).
_PIXELS = {
    "NIRCAM_SW": (0.0311, 0.0311),
    "NIRCAM_LW": (0.0630, 0.0630),
    "NIRSPEC": (0.1, 0.1),
    "MIRI_IMAGER": (0.11, 0.11),
}
_MRS_PIXELS = {"1": (0.196, 0.177), "2": (0.196, 0.280), "3": (0.245, 0.390), "4": (0.273, 0.656)}

#: Wavefront errors are those of the aperture model: 32 nm rms of the telescope and 25 (NIRCam
#: short), 19 (NIRCam long), 65 (NIRSpec), 45 (MIRI imager) and 288 nm rms (MIRI spectrometer) of
#: the instruments, the amounts in the models of STPSF 2.2 with its example map of the telescope,
#: measured on 2022-07-30. They are not those of a date: give measured wavefronts to STPSF where it
#: matters.
INSTRUMENTS = {
    one.name: one
    for one in (
        Instrument("NIRCAM_SW", (0.6, NIRCAM_LIMIT), _NIRCAM_SHORT, 0.0062, 41.0, (2048, 2048)),
        Instrument("NIRCAM_LW", (NIRCAM_LIMIT, 5.3), _NIRCAM_LONG, 0.018, 37.0, (2048, 2048)),
        Instrument("NIRSPEC", (0.6, 5.3), _NIRSPEC_IFU, 0.0, 72.0),
        Instrument("MIRI_IMAGER", (4.8, 28.8), {"MIRIMAGE": 4.8354}, 0.001, 55.0, (1032, 1024)),
        Instrument(
            "MIRI_MRS",
            (4.8, 28.8),
            {band: angle for band, (angle, _, _) in MRS_BANDS.items()},
            0.0,
            290.0,
        ),
    )
}

#: Most columns or rows of the detector of an imager.
LARGEST_DETECTOR = max(max(one.detector_shape or (0,)) for one in INSTRUMENTS.values())

# Names of the header keyword DETECTOR that SIAF and STPSF do not use.
_DETECTOR_ALIAS = {"NRCALONG": "NRCA5", "NRCBLONG": "NRCB5"}


def identify(instrument, wavelength, detector=None):
    """
    Find the instrument model and the detector that belong to a request.

    Parameters
    ----------
    instrument : str
        "NIRCAM", "NIRSPEC" (integral field unit), "MIRI" (the imager, unless the detector is one
        of the spectrometer) or "MIRI_MRS" (medium-resolution spectrometer), in upper or lower
        case.
    wavelength : tuple of float
        Shortest and longest wavelength wanted [um].
    detector : str, optional
        Detector name as in the header keyword DETECTOR. By default NRCB1, NRCB5, NRS1 or MIRIMAGE.
        For the MIRI spectrometer also a band, such as "2A"; by default the one whose middle is
        nearest to that of the wavelengths.

    Returns
    -------
    instrument : Instrument
        The channel that covers the wavelengths.
    detector : str
        Name of the detector, with NRCALONG and NRCBLONG turned into NRCA5 and NRCB5; of the MIRI
        spectrometer the band.

    Raises
    ------
    ValueError
        If the instrument or detector is unknown, or the wavelengths do not reach that detector.
    """
    name = None if detector is None else str(detector).upper()
    model = INSTRUMENTS[_channel(instrument, wavelength, name)]
    low, high = model.wavelength
    if wavelength[0] < low or wavelength[1] > high:
        msg = (
            f"wavelength runs from {wavelength[0]:g} to {wavelength[1]:g} um, but {model.name} "
            f"covers {low:g} to {high:g} um. Wavelengths are in micrometre; for NIRCam make one "
            f"PSF cube per channel (the channels meet at {NIRCAM_LIMIT:g} um); of a cube that is "
            "fused, leave the channels beyond out with wave_min and wave_max"
        )
        raise ValueError(msg)
    if model.name == "MIRI_MRS" and (name is None or name in _MRS_DETECTORS):
        return model, _mrs_band(0.5 * (wavelength[0] + wavelength[1]), name)
    if name is None:
        return model, next(iter(model.aperture_angle))
    name = _DETECTOR_ALIAS.get(name, name)
    if name not in model.aperture_angle:
        allowed = sorted(model.aperture_angle)
        allowed += _MRS_DETECTORS if model.name == "MIRI_MRS" else []
        msg = (
            f"detector={detector!r} does not take {model.name} data between {wavelength[0]:g} and "
            f"{wavelength[1]:g} um; allowed are {', '.join(allowed)}"
        )
        raise ValueError(msg)
    return model, name


def _channel(instrument, wavelength, detector):
    """Return the name of the instrument or of the channel of it that is asked for."""
    key = str(instrument).upper()
    if key == "NIRCAM":
        short = wavelength[1] <= INSTRUMENTS["NIRCAM_SW"].wavelength[1]
        return "NIRCAM_SW" if short else "NIRCAM_LW"
    if key == "MIRI":
        spectrometer = detector in MRS_BANDS or detector in _MRS_DETECTORS
        return "MIRI_MRS" if spectrometer else "MIRI_IMAGER"
    if key not in ("NIRSPEC", "MIRI_IMAGER", "MIRI_MRS"):
        msg = f"instrument must be 'NIRCAM', 'NIRSPEC', 'MIRI' or 'MIRI_MRS', got {instrument!r}"
        raise ValueError(msg)
    return key


def _mrs_band(middle, detector):
    channels = "1234" if detector is None else _MRS_DETECTORS[detector]
    bands = [band for band in MRS_BANDS if band[0] in channels]
    return min(bands, key=lambda band: abs(sum(MRS_BANDS[band][1:]) / 2 - middle))


def aperture_angle(instrument, detector=None):
    """
    Angle of an aperture's ideal +y axis from the V3 axis.

    Add it to the ``angle`` given to `jwst_fusion.psf.make_psf` to obtain the direction of the
    instrument's +y axis in the output grid, counterclockwise from the grid's +y axis. The slices of
    the NIRSpec integral field unit run along its ideal +y axis; ideal +x lies across the slices.
    Those of the MIRI spectrometer run along ideal +x.

    Parameters
    ----------
    instrument : str
        As for `identify`.
    detector : str, optional
        Detector or band; by default NRCB1, NRS1, MIRIMAGE or 1A.

    Returns
    -------
    float
        ``V3IdlYAngle`` of the JWST Science Instrument Aperture File [deg].

    Raises
    ------
    ValueError
        If the instrument or the detector is unknown.
    """
    name = None if detector is None else str(detector).upper()
    name = _DETECTOR_ALIAS.get(name, name)
    if str(instrument).upper().startswith("MIRI"):
        wavelength = (13.0, 13.0) if name == "MIRIFULONG" else (5.3, 5.3)
    else:
        wavelength = (3.0, 3.0) if name in _NIRCAM_LONG else (2.0, 2.0)
    model, name = identify(instrument, wavelength, name)
    return model.aperture_angle[name]


def pixel_of(channel, detector=None):
    """
    Area of the sky that one detector pixel sees.

    Parameters
    ----------
    channel : str
        Name of an `Instrument`.
    detector : str, optional
        Band of the MIRI spectrometer, for which it is needed.

    Returns
    -------
    tuple of float
        Widths along the ideal x and y axes [arcsec].
    """
    return _MRS_PIXELS[detector[0]] if channel == "MIRI_MRS" else _PIXELS[channel]
