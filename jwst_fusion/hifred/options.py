"""The parameters of the HIFReD step, checked before any file is opened."""

import math
from dataclasses import dataclass, fields
from pathlib import Path

from jwst_fusion.hifred.line_maps import parse_lines, place_lines
from jwst_fusion.hifred.solver.settings import KINDS, HifredSettings
from jwst_fusion.parameters import check_options, option, parts, same_option

__all__ = ["HifredOptions"]

_FILES = ("psf", "rmf_x", "arf_x", "rmf_y", "arf_y")
_OF_COUNTS = (*_FILES[1:], "exposure_x", "exposure_y", "energy_min", "energy_max")
_OF_JWST = ("wave_min", "wave_max")
_DEGREE = 3600.0  # arcsec; no PSF and no rim around a field is wider
_LINE = 1e5  # eV or um; beyond any spectral response, to catch wrong units
_SPECTRUM = 1e3  # keV or um; beyond the range of any instrument, likewise
# What a step's parameters cannot hold: a function, and what the kind of the cubes decides.
_PYTHON_ONLY = ("denoiser", "likelihood")


@dataclass(frozen=True, kw_only=True)
class HifredOptions:
    """
    Parameters of a fusion, those of `~jwst_fusion.step.HifredStep`, whose page explains them.

    Raises
    ------
    ValueError
        If a parameter is out of range or does not go with another.
    FileNotFoundError
        If a file that is named does not exist.
    """

    regularisation: str = same_option(
        HifredSettings,
        "regularisation",
        choices=tuple(kind for kind in KINDS if kind != "plug_and_play"),
    )
    prior: str = same_option(HifredSettings, "prior")
    rank: str | int = same_option(HifredSettings, "rank")
    mu: str | float = same_option(HifredSettings, "mu")
    kappa: str | float = same_option(HifredSettings, "kappa")
    line_changes: str = same_option(HifredSettings, "line_changes")
    normalisations: str = same_option(HifredSettings, "normalisations")
    scales_space: int = same_option(HifredSettings, "scales_space")
    scales_energy: int = same_option(HifredSettings, "scales_energy")
    nonnegative: bool = same_option(HifredSettings, "nonnegative")
    tolerance: float | None = same_option(HifredSettings, "tolerance")
    max_iterations: int | None = same_option(HifredSettings, "max_iterations")
    errors: bool = same_option(HifredSettings, "errors")
    error_samples: int = same_option(HifredSettings, "error_samples")
    thinning: float = same_option(HifredSettings, "thinning")
    seed: int = same_option(HifredSettings, "seed")
    psf: str | None = option(
        None,
        "FITS file with the PSF of the cube with the coarser pixels (for JWST cubes: what makes "
        "the sharper cube as blurred), an image or a cube; in place of the association's",
        kind="string",
    )
    psf_fwhm: float | None = option(
        None,
        "FWHM of a Gaussian PSF, if there is no file",
        kind="float",
        low=0.0,
        high=_DEGREE,
        closed=False,
        unit="arcsec",
    )
    psf_angle: float = option(
        0.0,
        "Counterclockwise rotation from the PSF file to the sharper cube",
        low=-360.0,
        high=360.0,
        unit="deg",
    )
    psf_centre: str = option(
        "file",
        "Place in the PSF's image that is the position of the source: the file's reference pixel, "
        "else the middle; or the centroid",
        kind="option",
        choices=("file", "centroid"),
    )
    rmf_x: str | None = option(
        None,
        "OGIP redistribution matrix (RMF) of the cube with the finer pixels; in place of the "
        "association's",
        kind="string",
    )
    arf_x: str | None = option(None, "OGIP effective area (ARF) of that cube", kind="string")
    rmf_y: str | None = option(
        None,
        "OGIP RMF of the cube with the finer channels: gives energies to numbered channels, and "
        "efficiencies",
        kind="string",
    )
    arf_y: str | None = option(None, "OGIP ARF of that cube", kind="string")
    # The unit depends on the cubes; the text gives it.
    lsf_fwhm: float | None = option(
        None,
        "FWHM of a Gaussian spectral response of the sharper cube, if there is no RMF; eV for "
        "counts, um for JWST cubes",
        kind="float",
        low=0.0,
        high=_LINE,
        closed=False,
    )
    margin: float | None = option(
        None,
        "Rim around the field of the coarser cube in which the sharper one is used; default: the "
        "radius that holds 90 % of the PSF",
        kind="float",
        low=0.0,
        high=_DEGREE,
        unit="arcsec",
    )
    exposure_x: float | None = option(
        None,
        "Exposure time of the cube with the finer pixels; default: its header's, else that of the "
        "ARF",
        kind="float",
        low=1e-3,
        high=1e9,
        unit="s",
    )
    exposure_y: float | None = option(
        None,
        "Exposure time of the cube with the finer channels, likewise",
        kind="float",
        low=1e-3,
        high=1e9,
        unit="s",
    )
    energy_min: float | None = option(
        None, "Lowest energy", kind="float", low=0.0, high=_SPECTRUM, unit="keV"
    )
    energy_max: float | None = option(
        None, "Highest energy", kind="float", low=0.0, high=_SPECTRUM, closed=False, unit="keV"
    )
    wave_min: float | None = option(
        None,
        "Shortest wavelength, of JWST cubes",
        kind="float",
        low=0.0,
        high=_SPECTRUM,
        unit="um",
    )
    wave_max: float | None = option(
        None,
        "Longest wavelength, of JWST cubes",
        kind="float",
        low=0.0,
        high=_SPECTRUM,
        closed=False,
        unit="um",
    )
    start: str | None = option(
        None, "Checkpoint (npz) of the same data from which to go on", kind="string"
    )
    checkpoint: str | None = option(
        None,
        "File (npz) that takes the state every half a minute and at the end",
        kind="string",
    )
    memory_limit: float = option(
        8.0,
        "Stop before anything is computed if more memory is needed",
        low=0.0,
        closed=False,
        unit="GB",
    )
    lines: tuple = option(
        (),
        "Lines to be mapped, as FeXXV_w=6.7004,FeXXVI_a=6.9732: names with rest energies (keV), of "
        "JWST cubes rest wavelengths (um)",
        kind="force_list",
    )
    redshift: float = option(0.0, "Redshift of the lines", kind="float", low=-0.1, high=30.0)
    line_window: float = option(
        1500.0,
        "Half width of the part of the spectrum around each line that is fitted",
        kind="float",
        low=0.0,
        high=60_000.0,
        closed=False,
        unit="km/s",
    )
    save_report: bool = option(
        False,
        "Save a page (report.html) with pictures and numbers that tell whether to trust the result",
    )

    def __post_init__(self):
        if self.regularisation == "plug_and_play":
            msg = "regularisation = plug_and_play needs a function: call fuse in Python instead"
            raise ValueError(msg)
        check_options(self)
        object.__setattr__(self, "lines", parts(self.lines) or ())
        parse_lines(self.lines)
        settings = self.solver()
        object.__setattr__(self, "rank", settings.rank)
        weight = settings.weight_name
        for name in ("mu", "kappa"):
            if getattr(self, name) != "auto" and name != weight:
                takes = weight or "neither mu nor kappa"
                msg = (
                    f"{name} is {getattr(self, name)}, but regularisation = {self.regularisation} "
                    f"takes {takes}"
                )
                raise ValueError(msg)
        for name in (*_FILES, "start"):
            path = getattr(self, name)
            if path is not None and not Path(path).is_file():
                msg = f"{name}: file {path} does not exist"
                raise FileNotFoundError(msg)
        for low, high in (("energy_min", "energy_max"), ("wave_min", "wave_max")):
            limits = getattr(self, low), getattr(self, high)
            if None not in limits and limits[0] >= limits[1]:
                msg = f"{low} is {limits[0]} and not below {high}, {limits[1]}"
                raise ValueError(msg)
        if self.checkpoint is not None and not Path(self.checkpoint).resolve().parent.is_dir():
            msg = f"checkpoint: folder of {self.checkpoint} does not exist"
            raise ValueError(msg)

    def solver(self, likelihood="poisson"):
        """
        Return the settings of `~jwst_fusion.hifred.engine.fuse`.

        Parameters
        ----------
        likelihood : "poisson" or "gaussian"
            Noise of the data, which a parameter of the step does not say.

        Returns
        -------
        HifredSettings
            These options, with that likelihood, as the solver takes them.
        """
        shared = (one.name for one in fields(HifredSettings) if one.name not in _PYTHON_ONLY)
        given = {name: getattr(self, name) for name in shared}
        return HifredSettings(**given, likelihood=likelihood)

    def check_lines(self, edges, *, counts):
        """
        Check that the lines that are asked for lie within the spectrum of the result.

        Parameters
        ----------
        edges : ndarray (L + 1,)
            Edges of its channels, keV or um, ascending.
        counts : bool
            Whether it is made of counts.

        Raises
        ------
        ValueError
            If one does not.
        """
        if self.lines:
            more = {"redshift": self.redshift, "window": self.line_window}
            place_lines(edges, parse_lines(self.lines), **more, counts=counts)

    @property
    def band(self):
        """Lowest and highest energy that are asked for, keV; None for all."""
        return _limits(self.energy_min, self.energy_max)

    @property
    def wave_band(self):
        """Shortest and longest wavelength that are asked for, um; None for all."""
        return _limits(self.wave_min, self.wave_max)

    def check_kind(self, *, jwst):
        """
        Check that no parameter is for cubes of the other kind, where it would have no effect.

        Parameters
        ----------
        jwst : bool
            Whether the cubes are JWST products and not counts.

        Raises
        ------
        ValueError
            If there is one.
        """
        given = [n for n in (_OF_COUNTS if jwst else _OF_JWST) if getattr(self, n) is not None]
        if given:
            kinds = "JWST cubes", "cubes of counts"
            mine, other = kinds if jwst else kinds[::-1]
            msg = f"{given[0]} is for {other}, but the cubes are {mine}: leave it out"
            raise ValueError(msg)

    def responses(self, members):
        """
        Return the files of responses.

        Parameters
        ----------
        members : dict of str to str
            Files of the association.

        Returns
        -------
        dict of str to str
            These, and in their place those that parameters name.
        """
        given = {name: getattr(self, name) for name in _FILES}
        return {**members, **{k: v for k, v in given.items() if v is not None}}

    @classmethod
    def from_step(cls, step):
        """
        Take the parameters of a step.

        Parameters
        ----------
        step : object
            Anything that has the parameters as attributes.

        Returns
        -------
        HifredOptions
            The checked parameters.
        """
        return cls(**{one.name: getattr(step, one.name) for one in fields(cls)})


def _limits(low, high):
    if low is None and high is None:
        return None
    return (0.0 if low is None else low, math.inf if high is None else high)
