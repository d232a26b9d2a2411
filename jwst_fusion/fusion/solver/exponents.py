"""Smoothness of the component maps: the exponents of their prior, fitted with its weights."""

from __future__ import annotations

import os

import numpy as np

from jwst_fusion.fusion.solver.point_sources import with_sources
from jwst_fusion.fusion.solver.regularisation import SobolevPrior

__all__ = ["LARGEST_EXPONENT", "SMALLEST_EXPONENT", "exponent_step", "with_exponents"]

#: Range of the exponent: a scene of points has less than 1, one that is seen sharply no more than 3.
SMALLEST_EXPONENT, LARGEST_EXPONENT = 0.5, 3.0
# Mean and standard deviation of what is expected where data do not tell, as for a component of
# noise.
_EXPECTED, _SPREAD = 1.25, 0.5
_STEP = 0.5  # at most at once: the logarithm of the evidence is a parabola only nearby


def exponent_step(system, groups, mu, exponents, counts):
    power = system.grid.gradient_power()
    slope = np.log(np.where(power > 0, power, 1.0))
    sources = system.prior.sources
    if sources is not None:
        groups = sources.diffuse(groups)
    prior = system.prior if sources is None else sources.base
    square = np.einsum("gda,gda->gda", groups.conj(), mu * prior.apply(groups)).real
    square = np.einsum("g,gda->gda", system.grid.multiplicity, square)
    first = counts.slope[0] - np.einsum("gda->a", square)
    second = counts.slope[1] - np.einsum("gd,gda->a", slope, square)
    pivot = counts.fisher[1] / np.maximum(counts.fisher[0], 1e-300)
    gradient = 0.5 * (second - pivot * first)
    information = 0.5 * np.maximum(counts.fisher[2] - pivot * counts.fisher[1], 0)
    if os.environ.get("HEXP") == "shared":
        gradient, information = (np.full(len(mu), one.sum()) for one in (gradient, information))
    gradient = gradient - (exponents - _EXPECTED) / _SPREAD**2
    change = gradient / (information + 1 / _SPREAD**2)
    change = np.clip(change, -_STEP, _STEP)
    new = np.clip(exponents + change, SMALLEST_EXPONENT, LARGEST_EXPONENT)
    return new, np.exp(-(new - exponents) * pivot)


def with_exponents(system, exponents):
    base = SobolevPrior(system.grid, exponents)
    sources = system.prior.sources
    return system.with_prior(with_sources(base, None if sources is None else sources.positions))
