"""The parameters of a fusion of counts, checked before anything is computed."""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np

__all__ = ["KINDS", "LOW_RANK", "Options"]

LOW_RANK = ("low_rank_sobolev", "low_rank_wavelet", "low_rank")
KINDS = ("wavelet_2d1d", *LOW_RANK, "none", "plug_and_play")
_STRENGTHS = {"low_rank_sobolev": "mu", "low_rank_wavelet": "mu", "wavelet_2d1d": "kappa"}
_TOLERANCES = {"plug_and_play": 1e-4, "wavelet_2d1d": 1e-4, "none": 1e-4}
_ITERATIONS = dict.fromkeys(LOW_RANK, 200)


def _whole(name, value, low, high):
    try:
        number = operator.index(value)
    except TypeError:
        number = low - 1
    if not low <= number <= high or isinstance(value, bool):
        msg = f"{name} is {value!r}: expected a whole number from {low} to {high}"
        raise ValueError(msg)
    return number


def _positive(name, value, high):
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not 0 < number <= high:
        msg = f"{name} is {value!r}: expected a number above 0, at most {high:g}"
        raise ValueError(msg)
    return number


@dataclass
class Options:
    """
    Parameters of `~jwst_fusion.hifred.engine.fuse`, where they are described.

    Raises
    ------
    ValueError
        If a parameter is out of range or does not go with another.
    """

    regularisation: str = "low_rank_sobolev"
    prior: str = "relative"
    rank: object = "auto"
    mu: object = "auto"
    kappa: object = "auto"
    scales: tuple = (2, 3)
    likelihood: str = "poisson"
    nonnegative: bool = True
    tolerance: float | None = None
    maximum_iterations: int | None = None
    denoiser: object = None
    thinning: float = 0.8
    errors: bool = True
    error_samples: int = 12
    seed: int = 0

    def __post_init__(self):
        choices = {
            "regularisation": KINDS,
            "prior": ("relative", "absolute"),
            "likelihood": ("poisson", "gaussian"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                msg = f"{name} is {getattr(self, name)!r}: expected one of {', '.join(known)}"
                raise ValueError(msg)
        if self.rank != "auto":
            self.rank = _whole("rank", self.rank, 1, 200)
        for name in ("mu", "kappa"):
            if isinstance(getattr(self, name), str) and getattr(self, name) == "auto":
                continue
            setattr(self, name, _positive(name, getattr(self, name), 1e12))
        if np.shape(self.scales) != (2,):
            msg = f"scales is {self.scales!r}: expected numbers of scales in space and in energy"
            raise ValueError(msg)
        self.scales = tuple(_whole("scales", n, 1, 8) for n in self.scales)
        if self.tolerance is None:
            self.tolerance = _TOLERANCES.get(self.regularisation, 1e-6)
        self.tolerance = _positive("tolerance", self.tolerance, 0.1)
        if self.maximum_iterations is None:
            self.maximum_iterations = _ITERATIONS.get(self.regularisation, 2000)
        most = self.maximum_iterations
        self.maximum_iterations = _whole("maximum_iterations", most, 1, 10**7)
        self.error_samples = _whole("error_samples", self.error_samples, 2, 10_000)
        self.seed = _whole("seed", self.seed, 0, 2**63)
        self.thinning = _positive("thinning", self.thinning, 0.99)
        for name in ("nonnegative", "errors"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                msg = f"{name} is {getattr(self, name)!r}: expected True or False"
                raise ValueError(msg)
        if (self.denoiser is not None) != (self.regularisation == "plug_and_play"):
            msg = "denoiser and regularisation='plug_and_play' must be given together"
            raise ValueError(msg)
        if self.denoiser is not None and not callable(self.denoiser):
            msg = "denoiser must be a function of a cube (L, M, N) that returns one"
            raise ValueError(msg)

    @property
    def strength(self):
        """What is asked of the strength of the penalty: a number, "auto", or None without one."""
        name = self.strength_name
        return None if name is None else getattr(self, name)

    @property
    def strength_name(self):
        """Name of the parameter that holds the strength, or None."""
        return _STRENGTHS.get(self.regularisation)

    @property
    def low_rank(self):
        """Whether the solution is one of low rank."""
        return self.regularisation in LOW_RANK
