"""The options of `~jwst_fusion.fusion.engine.fuse`, checked before any work is done."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jwst_fusion.fusion.solver.subspace import parse_rank

__all__ = ["Settings"]

_CHOICES = {
    "tuning": ("evidence", "syfu", "manual"),
    "regularisation": ("sobolev", "edge_weighted", "wavelet", "none"),
    "resolution": ("imager", "deconvolved"),
    "boundary": ("free", "mirror"),
    "gains": ("fixed", "fitted"),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of a fusion; `~jwst_fusion.fusion.engine.fuse` documents them.

    Raises
    ------
    ValueError
        If an option is out of range or does not go with another; the message names it.
    """

    rank: str | int | float
    max_rank: int
    tuning: str
    mu: float | np.ndarray | None
    gamma: float | None
    noise_scales: bool
    regularisation: str
    exponent: float
    nonnegative: bool
    resolution: str
    boundary: str = "free"
    refine: bool = True
    uncertainty: bool = True
    gains: str
    gain_prior: float = 0.1
    outlier_sigma: float | None
    tolerance: float = 0.01
    max_iterations: int = 500

    def __post_init__(self):
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                msg = f"{name} must be one of {allowed}, got {getattr(self, name)!r}"
                raise ValueError(msg)
        parse_rank(self.rank)
        self._check_strength()
        if self.outlier_sigma is not None and not 3 <= self.outlier_sigma < np.inf:
            msg = f"outlier_sigma must be None or a number from 3, got {self.outlier_sigma!r}"
            raise ValueError(msg)
        self._check_regularisation()
        if not 0 < self.gain_prior <= 1:
            msg = f"gain_prior must be above 0 and at most 1, got {self.gain_prior!r}"
            raise ValueError(msg)
        if not 0 < self.tolerance < 1:
            msg = f"tolerance must be between 0 and 1, got {self.tolerance!r}"
            raise ValueError(msg)
        if self.max_iterations < 1:
            msg = f"max_iterations must be at least 1, got {self.max_iterations!r}"
            raise ValueError(msg)

    def _check_strength(self):
        needed = self.tuning == "manual" and self.regularisation != "none"
        if needed and self.mu is None:
            msg = "tuning='manual' needs mu"
            raise ValueError(msg)
        if self.tuning != "manual" and (self.mu is not None or self.gamma is not None):
            msg = f"mu and gamma are only used with tuning='manual', got tuning={self.tuning!r}"
            raise ValueError(msg)
        for name in ("mu", "gamma"):
            value = getattr(self, name)
            if value is None:
                continue
            if not (np.all(np.isfinite(value)) and np.all(np.asarray(value) > 0)):
                msg = f"{name} must be finite and positive, got {value!r}"
                raise ValueError(msg)

    def _check_regularisation(self):
        if not 0.5 <= self.exponent <= 3:
            msg = f"exponent must be between 0.5 and 3, got {self.exponent!r}"
            raise ValueError(msg)
        if self.regularisation != "sobolev" and self.exponent != 1:
            msg = f"exponent is only used with regularisation='sobolev', got {self.exponent!r}"
            raise ValueError(msg)
        if self.regularisation == "edge_weighted" and self.boundary == "mirror":
            msg = "regularisation='edge_weighted' needs boundary='free'"
            raise ValueError(msg)
        if self.nonnegative and self.regularisation == "wavelet":
            msg = "nonnegative does not go with regularisation='wavelet'"
            raise ValueError(msg)
        if self.regularisation == "none" and self.mu is not None:
            msg = f"mu is not used with regularisation='none', got {self.mu!r}"
            raise ValueError(msg)

    @property
    def refining(self):
        """Whether spectra are fitted again after a first solve."""
        return self.refine and self.tuning != "syfu"
