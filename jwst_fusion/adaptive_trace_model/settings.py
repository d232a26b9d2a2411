"""Settings of the trace model; they are options of its step, too."""

from dataclasses import dataclass

from jwst_fusion.adaptive_trace_model.trace import PROFILE_MODEL, PROFILE_MODELS
from jwst_fusion.parameters import check_options, option, options_of

__all__ = ["OVERSAMPLE", "TraceSettings"]

#: Oversampling factor where exposures are oversampled at all, unless another one is asked for.
OVERSAMPLE = 2.0

#: Largest oversampling factor; more than three or four brings no gain (Law & Clarke 2026, III.1).
_MAX_OVERSAMPLE = 10


@dataclass(frozen=True, kw_only=True)
class TraceSettings:
    """
    Settings of the fit of traces and of the oversampling with it.

    Parameters
    ----------
    fit_threshold : float, optional
        Smallest brightness of a source above the background of its slice for the slice to be
        fitted, in sigma of a pixel (median over wavelength). Not positive: fit all slices.
    oversample : float, optional
        Oversampling factor along the slit, 1 to 10, not necessarily whole.
    slope_limit : float, optional
        Smallest change of the profile per native pixel, as a fraction of the source's flux, for the
        model to be used. Not positive: use it all over.
    psf_optimal : bool, optional
        Replace the flux by the model alone, in all slices; `fit_threshold` and `slope_limit` are
        ignored.
    profile_model : {"surface", "window"}, optional
        How the profile depends on wavelength, see `~jwst_fusion.adaptive_trace_model.fit_trace`.

    Raises
    ------
    ValueError
        If a number is not finite or out of its range, or `profile_model` is none of the two.
    """

    fit_threshold: float = option(
        10.0,
        "Smallest brightness of a source above the background of its slice, in sigma of a pixel "
        "(median over wavelength), for the slice to be fitted. Any number; <= 0: fit all slices",
    )
    oversample: float = option(
        1.0,
        "Oversampling factor along the slit, not necessarily whole. 1: only attach the trace model",
        low=1,
        high=_MAX_OVERSAMPLE,
    )
    slope_limit: float = option(
        0.1,
        "Smallest change of the normalised profile per native pixel (fraction of the source's "
        "flux) for the model to be used. Any number; smaller: use it for fainter and wider "
        "sources; <= 0: use it all over",
    )
    psf_optimal: bool = option(
        False,
        "Replace the flux by the model alone, in all slices, for isolated point sources; "
        "fit_threshold and slope_limit are ignored",
    )
    profile_model: str = option(
        PROFILE_MODEL,
        "How the profile of a trace depends on wavelength. surface: smoothly all along the "
        "detector, the more accurate one; window: each column has its own fit to the 50 columns "
        "on either side (15 for PRISM and LRS), the published method, to compare with or to see "
        "whether a feature of the model comes from columns farther away",
        choices=PROFILE_MODELS,
    )

    def __post_init__(self):
        check_options(self)

    @classmethod
    def from_step(cls, step):
        """
        Take the settings from the parameters of a step.

        Parameters
        ----------
        step : object
            With an attribute for each of the settings.

        Returns
        -------
        TraceSettings
            The settings.

        Raises
        ------
        ValueError
            If one is out of its range.
        """
        return cls(**{name: getattr(step, name) for name in options_of(cls)})
