"""Smoothness of the component maps: exponents of their prior, fitted together with its weights."""

from __future__ import annotations

import numpy as np

from jwst_fusion.fusion.solver.point_sources import with_sources
from jwst_fusion.fusion.solver.regularisation import SobolevPrior

__all__ = ["LARGEST_EXPONENT", "SMALLEST_EXPONENT", "exponent_step", "with_exponents"]

#: Range of the exponent: white noise has 0, and what is smoother than 3 looks the same in the data.
SMALLEST_EXPONENT, LARGEST_EXPONENT = 0.5, 3.0
# Mean and standard deviation of what is expected where data do not tell, as of a component of
# noise: between the gradient and what maps of nebulae have. Others are known ten times better.
_EXPECTED, _SPREAD = 1.25, 0.5
_STEP = 0.5  # at most at once: far away the logarithm of the evidence is no parabola


def exponent_step(system, groups, mu, exponents, determined):
    r"""Fisher scoring step of the evidence for the exponents of the prior.

    Parameters
    ----------
    system : WeightedSystem
        The problem; sources of its prior are left out of the maps.
    groups : ndarray (group, d * d, k)
        Component groups of its solution.
    mu : ndarray (k,)
        Weights of the prior.
    exponents : ndarray (k,)
        Exponents s so far, those of the prior of the system.
    determined : Determined
        What data determine of the maps, for the same hyperparameters.

    Returns
    -------
    exponents : ndarray (k,)
        Exponents after the step, at most 0.5 away, from 0.5 to 3.
    factor : ndarray (k,)
        Factor on mu that leaves the prior as strong as it was where the data decide on it.

    Notes
    -----
    With :math:`p = \mu |D|^{2 s}`, posterior variance :math:`\Sigma` and
    :math:`\gamma = 1 - p \Sigma`, the evidence E of a component has

    .. math:: \frac{\partial \ln E}{\partial \ln \mu} = \frac12 \sum_f (\gamma_f - p_f |z_f|^2),
        \quad \frac{\partial \ln E}{\partial s}
        = \frac12 \sum_f (\gamma_f - p_f |z_f|^2) \ln |D_f|^2

    and the information :math:`\frac12 \sum_f \gamma_f^2` times powers of :math:`\ln |D_f|^2`; the
    first is zero where MacKay's update of mu stands still. Both parameters are independent where
    the exponent turns the spectrum about the mean of :math:`\ln |D|^2` with weights
    :math:`\gamma^2`. Outside the data :math:`\gamma` and :math:`p |z|^2` vanish together.
    """
    grid, sources = system.grid, system.prior.sources
    slope = grid.log_gradient_power()
    prior = system.prior if sources is None else sources.base
    if sources is not None:
        groups = sources.diffuse(groups)
    energy = mu * (groups.conj() * prior.apply(groups)).real
    weight = grid.multiplicity
    level = determined.slope[0] - np.einsum("g,gda->a", weight, energy)
    tilt = determined.slope[1] - np.einsum("g,gd,gda->a", weight, slope, energy, optimize=True)
    count, first, second = determined.fisher
    pivot = first / np.maximum(count, np.finfo(float).tiny)
    information = np.maximum(second - pivot * first, 0.0) / 2 + _SPREAD**-2
    gradient = (tilt - pivot * level) / 2 - (exponents - _EXPECTED) * _SPREAD**-2
    change = np.clip(gradient / information, -_STEP, _STEP)
    found = np.clip(exponents + change, SMALLEST_EXPONENT, LARGEST_EXPONENT)
    return found, np.exp(-pivot * (found - exponents))


def with_exponents(system, exponents):
    """Pose a problem with other exponents of the prior.

    Parameters
    ----------
    system : WeightedSystem
        The problem; its sources stay.
    exponents : ndarray (k,)
        Exponent per component.

    Returns
    -------
    WeightedSystem
        A copy that shares data and operators.
    """
    base, sources = SobolevPrior(system.grid, exponents), system.prior.sources
    return system.with_prior(with_sources(base, None if sources is None else sources.positions))
