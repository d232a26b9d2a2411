"""The parameters of the HIFReD step, checked before any file is opened."""

import math
from dataclasses import dataclass, fields
from pathlib import Path

from jwst_fusion.hifred.solver.settings import Options
from jwst_fusion.parameters import check_range, whole

__all__ = ["HifredOptions"]

_FILES = ("psf", "rmf_x", "arf_x", "rmf_y", "arf_y")
_OF_COUNTS = (*_FILES[1:], "exposure_x", "exposure_y", "energy_min", "energy_max")
_OF_JWST = ("wave_min", "wave_max")
# Name, smallest and largest allowed value, and whether the smallest itself is allowed.
_RANGES = (
    ("psf_fwhm", 0.0, 3600.0, False),
    ("psf_angle", -360.0, 360.0, True),
    ("margin", 0.0, 3600.0, True),
    ("lsf_fwhm", 0.0, 1e5, False),
    ("exposure_x", 0.0, math.inf, False),
    ("exposure_y", 0.0, math.inf, False),
    ("energy_min", 0.0, 1e3, True),
    ("energy_max", 0.0, 1e3, False),
    ("wave_min", 0.0, 1e3, True),
    ("wave_max", 0.0, 1e3, False),
    ("memory_limit", 0.0, math.inf, False),
)


@dataclass(frozen=True)
class HifredOptions:
    """
    Parameters of a fusion; see the specification of `~jwst_fusion.step.HifredStep`.

    Raises
    ------
    ValueError
        If a parameter is out of range or does not go with another.
    FileNotFoundError
        If a file that is named does not exist.
    """

    regularisation: str = "low_rank_sobolev"
    prior: str = "relative"
    rank: str | int = "auto"
    mu: str | float = "auto"
    kappa: str | float = "auto"
    scales_space: int = 2
    scales_energy: int = 3
    nonnegative: bool = True
    tolerance: float | None = None
    maximum_iterations: int | None = None
    errors: bool = True
    error_samples: int = 12
    thinning: float = 0.8
    seed: int = 0
    psf: str | None = None
    psf_fwhm: float | None = None
    psf_angle: float = 0.0
    rmf_x: str | None = None
    arf_x: str | None = None
    rmf_y: str | None = None
    arf_y: str | None = None
    lsf_fwhm: float | None = None
    margin: float | None = None
    exposure_x: float | None = None
    exposure_y: float | None = None
    energy_min: float | None = None
    energy_max: float | None = None
    wave_min: float | None = None
    wave_max: float | None = None
    start: str | None = None
    checkpoint: str | None = None
    memory_limit: float = 8.0
    save_report: bool = False

    def __post_init__(self):
        if self.regularisation == "plug_and_play":
            msg = "regularisation = plug_and_play needs a function: call fuse in Python instead"
            raise ValueError(msg)
        for name, low, high, closed in _RANGES:
            check_range(name, getattr(self, name), low, high, closed)
        object.__setattr__(self, "rank", whole("rank", self.rank, 1, 200))
        for name in ("scales_space", "scales_energy"):
            if not 1 <= getattr(self, name) <= 8:
                msg = f"{name} is {getattr(self, name)}: expected a whole number from 1 to 8"
                raise ValueError(msg)
        strength = Options(**self.solver()).strength_name
        for name in ("mu", "kappa"):
            if getattr(self, name) != "auto" and name != strength:
                takes = strength or "neither mu nor kappa"
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

    def solver(self):
        """
        Return the options of `~jwst_fusion.hifred.engine.fuse`.

        Returns
        -------
        dict
            Keyword arguments.
        """
        names = ("regularisation", "prior", "rank", "mu", "kappa", "nonnegative", "tolerance")
        names += ("maximum_iterations", "errors", "error_samples", "thinning", "seed")
        scales = (self.scales_space, self.scales_energy)
        return {**{name: getattr(self, name) for name in names}, "scales": scales}

    @property
    def band(self):
        """Energies that are asked for, keV; None for all."""
        return _limits(self.energy_min, self.energy_max)

    @property
    def wave_band(self):
        """Wavelengths that are asked for, um; None for all."""
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
