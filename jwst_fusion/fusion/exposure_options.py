"""Which parameters of the step mean what in a fusion from exposures, and which mean nothing."""

import logging
from dataclasses import fields

from jwst_fusion.fusion.exposures.settings import ExposureSettings
from jwst_fusion.fusion.options import FusionOptions
from jwst_fusion.messages import warn
from jwst_fusion.numerics.gaussian import FWHM_OF_SIGMA

__all__ = ["broadening_sigma", "check_exposure_options", "exposure_settings"]

log = logging.getLogger(__name__)

#: Values that a fusion from exposures takes, of parameters that have others for cubes; what these
#: ask for would be missing from the result, so that they are refused.
_TAKEN = {
    "tuning": ("evidence",),
    "regularisation": ("auto", "sobolev"),
    "exponent": ("auto", 1.0),
    "nonnegative": (False,),
    "crosscal": ("fitted", "off"),
    "background": ("fitted",),
    "gratings": ("joined", "separate"),
    "exclude_channels": ((),),
    "validate_filters": (("auto",), ()),
}
#: Least limit of outliers among the pixels of exposures, standard deviations.
_LEAST_SIGMA = 4.0
#: What to do instead, by parameter.
_INSTEAD = {
    "exclude_channels": "give wavelengths (exclude_wave)",
    "crosscal": "choose fitted or off",
    "background": "crosscal = off fits neither factors nor levels",
    "gratings": "choose joined or separate",
}
#: Parameters that change nothing here, and nothing that would be missed.
_IDLE = ("margin", "search", "psf_nodes", "trace_oversample")


def check_exposure_options(options):
    """
    Refuse parameters that a fusion from exposures cannot follow; name those that mean nothing.

    Parameters
    ----------
    options : FusionOptions
        Parameters of the step.

    Raises
    ------
    ValueError
        If one asks for what only the fusion of a cube does; the message names it.
    """
    for name, allowed in _TAKEN.items():
        value = getattr(options, name)
        if value not in allowed:
            instead = _INSTEAD.get(name, "leave it at its default")
            msg = (
                f"{name} is {value!r}, which is for cubes (input = cube); with exposures {instead}"
            )
            raise ValueError(msg)
    if "psf_cube" in options.psf_files() and options.psf_kind == "data":
        msg = (
            "psf_cube with psf_source = data is for cubes (input = cube): with exposures give the "
            "PSF as a file (psf_source = file), or take that of a model"
        )
        raise ValueError(msg)
    broadening_sigma(options)
    if 0 < options.outlier_sigma < _LEAST_SIGMA:
        msg = (
            f"outlier_sigma is {options.outlier_sigma:g}: with exposures it is 0 (believe all "
            f"data) or {_LEAST_SIGMA:g} and more"
        )
        raise ValueError(msg)
    defaults = {one.name: one.default for one in fields(FusionOptions)}
    idle = [name for name in _IDLE if getattr(options, name) != defaults[name]]
    if idle:
        warn(log, "With exposures these parameters mean nothing: %s", ", ".join(idle))


def broadening_sigma(options):
    """
    Return the Gaussian that widens the PSF of the exposures.

    Parameters
    ----------
    options : FusionOptions
        Parameters of the step.

    Returns
    -------
    float or None
        Sigma, arcsec; None for none beyond the model.

    Raises
    ------
    ValueError
        If it is to be fitted, or differs across and along the slices.
    """
    text = str(options.psf_broadening).strip()
    if text == "auto":
        return None
    widths = options.broadening_widths()
    if widths is None or widths[0] != widths[1]:
        msg = (
            f"psf_broadening is {text!r}, which is for cubes (input = cube); with exposures give "
            "auto, or one width"
        )
        raise ValueError(msg)
    return widths[0] / FWHM_OF_SIGMA


def exposure_settings(options, *, moving, images):
    """
    Return the settings of the solver that follow from the parameters of the step.

    Parameters
    ----------
    options : FusionOptions
        Parameters of the step.
    moving : bool
        Whether the target moves on the sky.
    images : bool
        Whether there are images.

    Returns
    -------
    ExposureSettings
        Those that both share, and what follows from ``outlier_sigma``, ``alignment`` and
        ``crosscal``. Positions of a catalogue are believed, those of sources that are found follow
        from all pixels.
    """
    shared = ("rank", "max_rank", "noise_scales", "psf_fit", "false_alarms")
    given = {name: getattr(options, name) for name in shared}
    given["outlier_sigma"] = options.outlier_sigma or None
    # Images tell where the exposures look; without them their own coordinates are as good.
    fits = options.measures_offsets(moving=moving) or (images and options.alignment == "auto")
    given["offsets"] = "fitted" if fits else "fixed"
    given["gains"] = "fitted" if images and options.crosscal == "fitted" else "fixed"
    given["positions"] = "fixed" if options.source_file is not None else "fitted"
    return ExposureSettings(**given)
