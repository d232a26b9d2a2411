"""Scale of the trace that varies along the slit, where sources of different spectra share a slice.

Arrays are (column, row).
"""

import numpy as np

__all__ = ["local_scale"]

#: Weights of the rows at distances 0, 1 and 2: a Gaussian of one native pixel (1 sigma).
_KERNEL = (1.0, 0.6065, 0.1353)
#: How readily the residual is taken for smooth light: 0 would let it take all it can.
_BACKGROUND_RIDGE = 0.1
#: Smallest squared signal-to-noise ratio of a change of the scale.
_SIGNIFICANCE = 4.0
#: Chi-square that a neighbourhood may keep beside a change; with more, the change has to be more
#: significant in proportion. It tells the trace of a source from a cosmic ray, of another shape.
_MAX_REMAINDER = 20.0
#: Share of a change that has to remain without any one of the pixels.
_CONFIRMED = 0.15
#: Smallest part of the squared profile that smooth light cannot mimic.
_MIN_DISTINCT = 0.02


def local_scale(residual, inverse, profile):
    r"""
    Find how much more or less of the profile each neighbourhood along the slit holds.

    Where two sources with different spectra share a slice, one scale per column cannot fit both:
    in a spectral line of one of them, the residual there has the shape of the profile. In a
    neighbourhood of five rows it is fitted by :math:`u\,p + c`. What is significant of :math:`u`
    is added to the scale, so that the residual is interpolated with the shape of the profile and
    not linearly. The constant :math:`c` takes light that is smooth along the slit. What a single
    pixel suggests and the others do not confirm is a blemish, not a source, and is left out.

    Parameters
    ----------
    residual : ndarray
        Data minus model, shape ``(column, row)``; finite, 0 where missing.
    inverse : ndarray
        Inverse variances, model errors included; 0 for pixels that do not count.
    profile : ndarray
        Profile at the pixels, finite.

    Returns
    -------
    ndarray
        Change of the scale at the pixels, shape ``(column, row)``.
    """
    terms = (inverse * profile**2, inverse * profile, inverse)
    terms += (inverse * profile * residual, inverse * residual)
    change, square, smooth = _solve(*(_neighbourhood(term) for term in terms))
    total = _neighbourhood(inverse * residual**2)
    left = np.maximum((total - square - smooth) / _MAX_REMAINDER, 1.0)
    kept = np.clip(1 - _SIGNIFICANCE * left / np.maximum(square, 1e-30), 0.0, None)
    change = change * kept
    column, row = np.nonzero(change)
    change[column, row] = _confirmed(change[column, row], terms, column, row)
    return change


def _solve(pp, p1, one, pr, r1):
    """Change of the scale, and the squared significance of change and constant."""
    one = one * (1 + _BACKGROUND_RIDGE)
    known = one > 0
    share = np.divide(p1, one, out=np.zeros_like(one), where=known)
    power = pp - share * p1
    power = np.where(power > _MIN_DISTINCT * pp, power, 0.0)
    change = np.divide(pr - share * r1, power, out=np.zeros_like(power), where=power > 0)
    smooth = np.divide(r1**2, one, out=np.zeros_like(one), where=known)
    return change, change**2 * power, smooth


def _confirmed(change, terms, column, row):
    """Change that does not depend on a single pixel: the least that is left without one of them."""
    reach = len(_KERNEL) - 1
    weights = np.array([*_KERNEL[:0:-1], *_KERNEL])[:, None]
    rows = row + np.arange(-reach, reach + 1)[:, None]
    inside = (rows >= 0) & (rows < terms[0].shape[1])
    rows = np.where(inside, rows, 0)
    each = [np.where(inside, weights * term[column, rows], 0.0) for term in terms]
    without = _solve(*(term.sum(axis=0) - term for term in each))[0]
    size = np.abs(change)
    least = np.clip(np.min(without * np.sign(change), axis=0), 0.0, None)
    return np.sign(change) * np.where(least < _CONFIRMED * size, np.minimum(least, size), size)


def _neighbourhood(values):
    """Weighted sum over the rows around each row."""
    total = _KERNEL[0] * values
    for distance, weight in enumerate(_KERNEL[1:], start=1):
        if distance < values.shape[1]:
            total[:, distance:] += weight * values[:, :-distance]
            total[:, :-distance] += weight * values[:, distance:]
    return total
