"""What the PSF models need to know of each instrument, as data."""

from dataclasses import dataclass

__all__ = ["INSTRUMENTS", "Instrument", "aperture_angle", "identify"]


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
        which is described by footprints here.
    wavefront_rms : float
        In-flight wavefront error of telescope and instrument together, without the focus of NIRCam
        that depends on wavelength [nm rms].
    """

    name: str
    wavelength: tuple
    aperture_angle: dict
    broadening: float
    wavefront_rms: float


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

#: Wavefront errors are those of the aperture model: 32 nm rms of the telescope and 25 (NIRCam
#: short), 19 (NIRCam long) and 65 nm rms (NIRSpec) of the instruments, the amounts in the models of
#: STPSF 2.2 with its example map of the telescope, measured on 2022-07-30. They are not those of a
#: date: give measured wavefronts to STPSF where it matters.
INSTRUMENTS = {
    "NIRCAM_SW": Instrument("NIRCAM_SW", (0.6, 2.35), _NIRCAM_SHORT, 0.0062, 41.0),
    "NIRCAM_LW": Instrument("NIRCAM_LW", (2.35, 5.3), _NIRCAM_LONG, 0.018, 37.0),
    "NIRSPEC": Instrument("NIRSPEC", (0.6, 5.3), _NIRSPEC_IFU, 0.0, 72.0),
}

_DETECTOR_ALIAS = {"NRCALONG": "NRCA5", "NRCBLONG": "NRCB5"}


def identify(instrument, wavelength, detector=None):
    """
    Find the instrument model and the detector that belong to a request.

    Parameters
    ----------
    instrument : str
        "NIRCAM" or "NIRSPEC" (integral field unit), in upper or lower case.
    wavelength : tuple of float
        Shortest and longest wavelength wanted [um].
    detector : str, optional
        Detector name as in the header keyword DETECTOR. By default NRCB1, NRCB5 or NRS1.

    Returns
    -------
    instrument : Instrument
        The channel that covers the wavelengths.
    detector : str
        Name of the detector, with NRCALONG and NRCBLONG turned into NRCA5 and NRCB5.

    Raises
    ------
    ValueError
        If the instrument or detector is unknown, or the wavelengths do not reach that detector.
    """
    key = str(instrument).upper()
    if key == "NIRCAM":
        short = wavelength[1] <= INSTRUMENTS["NIRCAM_SW"].wavelength[1]
        key = "NIRCAM_SW" if short else "NIRCAM_LW"
    elif key != "NIRSPEC":
        msg = f"instrument must be 'NIRCAM' or 'NIRSPEC', got {instrument!r}"
        raise ValueError(msg)
    model = INSTRUMENTS[key]
    low, high = model.wavelength
    if wavelength[0] < low or wavelength[1] > high:
        msg = (
            f"wavelength runs from {wavelength[0]:g} to {wavelength[1]:g} um, but {key} covers "
            f"{low:g} to {high:g} um. Wavelengths are in micrometre; for NIRCam make one PSF cube "
            "per channel (the channels meet at 2.35 um)"
        )
        raise ValueError(msg)
    if detector is None:
        return model, next(iter(model.aperture_angle))
    name = str(detector).upper()
    name = _DETECTOR_ALIAS.get(name, name)
    if name not in model.aperture_angle:
        msg = (
            f"detector={detector!r} does not take {key} data between {wavelength[0]:g} and "
            f"{wavelength[1]:g} um; allowed are {', '.join(sorted(model.aperture_angle))}"
        )
        raise ValueError(msg)
    return model, name


def aperture_angle(instrument, detector=None):
    """
    Angle of an aperture's ideal +y axis from the V3 axis.

    Add it to the ``angle`` given to `jwst_fusion.psf.make_psf` to obtain the direction of the
    instrument's +y axis in the output grid, counterclockwise from the grid's +y axis. The slices of
    the NIRSpec integral field unit run along its ideal +y axis; ideal +x lies across the slices.

    Parameters
    ----------
    instrument : str
        "NIRCAM" or "NIRSPEC" (integral field unit).
    detector : str, optional
        Detector name; by default NRCB1 or NRS1.

    Returns
    -------
    float
        ``V3IdlYAngle`` of the JWST Science Instrument Aperture File [deg].

    Raises
    ------
    ValueError
        If the instrument or the detector is unknown.
    """
    key = str(instrument).upper()
    name = None if detector is None else str(detector).upper()
    name = _DETECTOR_ALIAS.get(name, name)
    wavelength = (3.0, 3.0) if name in _NIRCAM_LONG else (2.0, 2.0)
    model, name = identify(key, wavelength, name)
    return model.aperture_angle[name]
