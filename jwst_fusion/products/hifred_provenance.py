"""What the products of HIFReD say about how they were made: keywords, quality, flags, software."""

from dataclasses import fields

import numpy as np

from jwst_fusion import __version__

__all__ = [
    "SOFTWARE",
    "flags",
    "notes",
    "parameters",
    "quality",
    "reduced_chi2",
    "summary",
]

# Data quality flags of JWST: bits 0, 9 and 28.
_DO_NOT_USE, _NON_SCIENCE, _FLUX_ESTIMATED = 1, 512, 2**28
# What the header says about errors of sums, which are not those of ERR added in square.
_SUMS = "jwst_fusion.hifred.error_of; root sum square of ERR: 2-6x too small"
#: Packages on which the numbers of a product depend.
SOFTWARE = ("jwst", "stdatamodels", "stpipe", "numpy", "scipy", "astropy")


def flags(data, result):
    """
    Turn what constrains the voxels of a result into data quality flags.

    Parameters
    ----------
    data : `~jwst_fusion.hifred.data.HifredData`
        The observations.
    result : `~jwst_fusion.hifred.solver.result.HifredResult`
        What was made of them.

    Returns
    -------
    uint32 array (L, M, N)
        0 where both cubes have data, FLUX_ESTIMATED where one of them has; where none has,
        FLUX_ESTIMATED too if other channels of the pixel tell through the spectral subspace, else
        DO_NOT_USE and NON_SCIENCE.
    """
    x, y = data.constrained()
    some = x | y
    found = np.where(x & y, 0, _FLUX_ESTIMATED).astype(np.uint32)
    if result.regularisation != "none":
        some |= some.any(axis=0) & some.any(axis=(1, 2))[:, None, None]
    found[~some] = _DO_NOT_USE | _NON_SCIENCE
    return found


def quality(data, result):
    """
    Say how well a result agrees with either cube.

    Parameters
    ----------
    data : `~jwst_fusion.hifred.data.HifredData`
        The observations.
    result : `~jwst_fusion.hifred.solver.result.HifredResult`
        What was made of them.

    Returns
    -------
    tuple of float
        Of X and of Y: the squared residuals in units of their variance, mean over the voxels that
        are used and, of counts, expected to hold one or more; NaN if there is none.
    """
    models = data.models(result)
    return (
        reduced_chi2(data.x, models["X"], data.sigma_x, data.response_x.mask),
        reduced_chi2(data.y, models["Y"], data.sigma_y, data.response_y.mask),
    )


def reduced_chi2(values, model, sigma, mask):
    """
    Say how well a result agrees with one cube.

    Parameters
    ----------
    values, model : ndarray (l, m, n)
        The cube, and what is expected of it.
    sigma : ndarray (l, m, n) or None
        Standard deviations; None for counts.
    mask : ndarray of bool (l, m, n) or None
        Voxels that are used.

    Returns
    -------
    float
        The squared residuals in units of their variance, mean over the voxels that are used and, of
        counts, expected to hold one or more; NaN if there is none.
    """
    variance = np.asarray(model, float) if sigma is None else sigma**2
    used = np.ones(values.shape, bool) if mask is None else mask.copy()
    if sigma is None:
        used &= variance >= 1.0
    residual = (values - model)[used] ** 2 / variance[used]
    return float(residual.mean()) if residual.size else np.nan


def summary(data, result):
    """
    Collect what the header of a product says.

    Parameters
    ----------
    data : `~jwst_fusion.hifred.data.HifredData`
        The observations.
    result : `~jwst_fusion.hifred.solver.result.HifredResult`
        What was made of them.

    Returns
    -------
    dict
        Values by the names of ``meta.hifred`` of
        `~jwst_fusion.datamodels.hifred_cube.HifredCubeModel`; None for what is not known.
    """
    chi2 = quality(data, result)
    values = {
        "software_version": __version__,
        "cube_x": data.names[0],
        "cube_y": data.names[1],
        "likelihood": result.likelihood,
        "regularisation": result.regularisation,
        "rank": int(result.rank),
        "strength": float(result.mu),
        "chosen": result.chosen,
        "objective": float(result.objective),
        "accuracy": float(result.accuracy),
        "iterations": int(result.iterations),
        "converged": bool(result.converged),
        "chi2_x": chi2[0],
        "chi2_y": chi2[1],
        "clipped": float(result.clipped),
        "sums": None if result.posterior is None else _SUMS,
    }
    found = data.offsets
    for name in ("offset_x", "offset_y", "gain"):
        value, error = getattr(found, name.removeprefix("offset_"))
        values |= {name: value, f"{name}_error": error}
    known = {k: v for k, v in values.items() if not isinstance(v, float) or np.isfinite(v)}
    return dict.fromkeys(values) | known


def notes(data, result, messages=()):
    """
    Collect what was assumed, and warnings.

    Parameters
    ----------
    data : `~jwst_fusion.hifred.data.HifredData`
        The observations.
    result : `~jwst_fusion.hifred.solver.result.HifredResult`
        What was made of them.
    messages : sequence of `~jwst_fusion.messages.Message`, optional
        Warnings that were logged.

    Returns
    -------
    list of str
        Each once.
    """
    fitted = []
    if result.normalisations is not None:
        numbers = zip(data.labels, result.normalisations, result.normalisation_errors, strict=True)
        fitted = [f"normalisation of {k}: {n:.5g} +- {e:.2g}" for k, n, e in list(numbers)[1:]]
    texts = (*data.notes, *result.notes, *fitted, *(one.text for one in messages))
    return list(dict.fromkeys(texts))


def parameters(options):
    """
    Return name and value of every parameter, as text.

    Parameters
    ----------
    options : `~jwst_fusion.hifred.options.HifredOptions`
        The parameters.

    Returns
    -------
    list of (str, str)
        Names and values.
    """
    return [(one.name, str(getattr(options, one.name))) for one in fields(options)]
