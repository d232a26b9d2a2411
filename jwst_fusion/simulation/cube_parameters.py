"""Nominal cube parameters for NIRSpec, so that cube_build runs without a CRDS server."""

import numpy as np
from stdatamodels.jwst import datamodels

from jwst_fusion.simulation.builtin_geometry import GRATINGS

__all__ = ["write_nirspec_cube_parameters"]

_SPAXEL = 0.1  # arcsec
_PRISM = (("PRISM", "CLEAR"), (0.60, 5.30, 0.005))
# range and step [micrometre] of the tables that serve several gratings of one resolving power
_TABLES = {"prism": (0.60, 5.30, 0.005), "med": (0.70, 5.30, 1.1e-3), "high": (0.70, 5.30, 4e-4)}
_ROI = 0.2  # arcsec
_POWER, _SOFTENING, _SCALE = 2.0, 0.01, 0.1  # no unit; of the spaxel; arcsec: weights of a sample


def write_nirspec_cube_parameters(path):
    """
    Write a reference file of type cubepar with 0.1 arcsec spaxels and one channel per column.

    Parameters
    ----------
    path : str or pathlib.Path
        FITS file to write; use it as ``override_cubepar`` of cube_build.

    Returns
    -------
    str
        The path.
    """
    rows = [*GRATINGS.items(), _PRISM]
    names = [key for key, _ in rows]
    blue, red, step = np.array([value for _, value in rows]).T
    model = datamodels.NirspecIFUCubeParsModel()
    model.meta.instrument.name = "NIRSPEC"
    model.meta.exposure.type = "NRS_IFU"
    model.meta.reftype = "cubepar"
    model.meta.description = "nominal cube parameters for simulated exposures"
    model.meta.author = "jwst_fusion.simulation"
    model.meta.pedigree = "DUMMY"
    model.meta.useafter = "2022-01-01T00:00:00"
    model.ifucubepars_table = _table(
        model, "ifucubepars_table", names, (blue, red, np.full(len(rows), _SPAXEL), step)
    )
    size = np.ones(len(rows))
    model.ifucubepars_msm_table = _table(
        model,
        "ifucubepars_msm_table",
        names,
        (_ROI * size, 3 * step, _POWER * size, _SOFTENING * size),
    )
    model.ifucubepars_emsm_table = _table(
        model, "ifucubepars_emsm_table", names, (_ROI * size, 3 * step, _SCALE * size)
    )
    for kind, (low, high, delta) in _TABLES.items():
        wavelength = np.arange(low, high, delta)
        one = np.ones(len(wavelength))
        columns = {
            "msm": (wavelength, _ROI * one, 3 * delta * one, _POWER * one, _SOFTENING * one),
            "emsm": (wavelength, _ROI * one, 3 * delta * one, _SCALE * one),
            "driz": (wavelength,),
        }
        for weighting, values in columns.items():
            name = f"ifucubepars_{kind}_{weighting}_wavetable"
            setattr(model, name, _table(model, name, None, values))
    model.save(str(path))
    return str(path)


def _table(model, name, keys, columns):
    """Fill a table of the schema's own dtype."""
    dtype = model.get_dtype(name)
    table = np.zeros(len(columns[0]), dtype=dtype)
    fields = list(dtype.names)
    if keys is not None:
        table[fields[0]] = [key[0] for key in keys]
        table[fields[1]] = [key[1] for key in keys]
        fields = fields[2:]
    for field, values in zip(fields, columns, strict=True):
        table[field] = values
    return table
