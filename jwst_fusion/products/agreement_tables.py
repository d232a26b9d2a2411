"""Arrays and tables in which a product keeps how it agrees with the observations."""

import numpy as np

from jwst_fusion.hifred.agreement import agreement
from jwst_fusion.products.hifred_provenance import reduced_chi2

__all__ = ["agreement_arrays", "observation_table", "solver_tables"]


def agreement_arrays(data, result):
    """
    Compare a result with the observations, as arrays and tables of a product.

    Parameters
    ----------
    data : `~jwst_fusion.hifred.data.HifredData`
        The observations.
    result : `~jwst_fusion.hifred.solver.result.HifredResult`
        What was made of them.

    Returns
    -------
    arrays : dict of ndarray
        ``images``, ``models``, ``sigmas`` (band, y, x), ``pixels`` (3, y, x) and ``line_fits``
        (5, y, x), each with ``_x`` and ``_y``, of further observations ``_x2`` and so on, and
        ``owner`` (y, x); see
        `~jwst_fusion.hifred.agreement.Agreement`.
    tables : dict of dict of ndarray
        ``bands``, ``channels_x``, ``channels_y``, ...: columns by name.
    """
    found = agreement(data, result)
    arrays, tables = {}, {}
    more = zip((one.label.lower() for one in data.more), found.more, strict=True)
    for name, residuals in (("x", found.x), ("y", found.y), *more):
        for key in ("images", "models", "sigmas", "pixels"):
            arrays[f"{key}_{name}"] = np.asarray(getattr(residuals, key), np.float32)
        arrays[f"line_fits_{name}"] = np.asarray(residuals.lines, np.float32)
        tables[f"channels_{name}"] = {
            "channel": np.arange(residuals.channels.start, residuals.channels.stop, dtype=np.int32),
            "low": residuals.edges[:-1],
            "high": residuals.edges[1:],
            "observed": residuals.observed,
            "expected": residuals.expected,
            "error": residuals.error,
            "chi2": residuals.chi2,
            "used": residuals.used.astype(np.int32),
        }
    arrays["owner"] = found.owner
    tables["bands"] = {
        "name": np.array([one.name.encode("ascii") for one in found.bands], "S16"),
        "low": np.array([one.low for one in found.bands]),
        "high": np.array([one.high for one in found.bands]),
    }
    return arrays, tables


def observation_table(data, result):
    """
    Tabulate the observations and by how much they differ from what their responses say.

    Parameters
    ----------
    data : `~jwst_fusion.hifred.data.HifredData`
        The observations.
    result : `~jwst_fusion.hifred.solver.result.HifredResult`
        What was made of them.

    Returns
    -------
    dict of ndarray
        Columns: label, name, counts (those that are used), expected, chi2, normalisation (relative
        to X) and its error, sky offsets along x and y (pixels of X) and their errors. Where they
        were not fitted, normalisations are 1, and errors and offsets 0.
    """
    models = data.models(result)
    rows = {
        "X": (data.names[0], data.x, data.response_x),
        "Y": (data.names[1], data.y, data.response_y),
    }
    rows |= {one.label: (one.name, one.data, one.response) for one in data.more}
    columns = {"label": [], "name": [], "counts": [], "expected": [], "chi2": []}
    for label in data.labels:
        name, values, response = rows[label]
        used = np.isfinite(values)
        if response.mask is not None:
            used = used & response.mask
        columns["label"].append(label)
        columns["name"].append(name)
        columns["counts"].append(float(values[used].sum()))
        columns["expected"].append(float(models[label][used].sum()))
        columns["chi2"].append(reduced_chi2(values, models[label], None, response.mask))
    found = {
        key: np.array([text.encode("ascii", "replace") for text in values])
        if key in ("label", "name")
        else np.array(values, float)
        for key, values in columns.items()
    }
    number = len(data.labels)
    fitted = result.normalisations is not None
    found["normalisation"] = result.normalisations if fitted else np.ones(number)
    found["norm_error"] = result.normalisation_errors if fitted else np.zeros(number)
    for axis, letter in enumerate("xy"):
        for key, values in (
            (f"offset_{letter}", result.offsets),
            (f"offset_{letter}_error", result.offset_errors),
        ):
            found[key] = values[:, axis] if fitted else np.zeros(number)
    return found


def solver_tables(result):
    """
    Tables of how the solution came about.

    Parameters
    ----------
    result : `~jwst_fusion.hifred.solver.result.HifredResult`
        The solution.

    Returns
    -------
    dict of dict of ndarray
        ``history``: iteration, objective, accuracy, seconds. ``components``: singular, the size of
        each component of Y relative to the largest that noise gives. ``tuning``: strength (`mu` or
        `kappa`) and deviance of held-out data above the smallest; absent if none was searched.
    """
    history = np.asarray(result.history, float).reshape(-1, 3)
    tables = {
        "history": {
            "iteration": np.arange(1, len(history) + 1, dtype=np.int32),
            "objective": history[:, 0],
            "accuracy": history[:, 1],
            "seconds": history[:, 2],
        },
        "components": {"singular": np.asarray(result.state["singular"], float)},
    }
    if result.tuning:
        tables["tuning"] = {
            title: np.array([row[key] for row in result.tuning], float)
            for title, key in (("strength", "mu"), ("deviance", "deviance"))
        }
    return tables
