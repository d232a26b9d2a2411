"""
HIFReD: fusion of two hyperspectral cubes, one sharp in space and one sharp in energy.

Arrays are cubes (energy, y, x); energies are in keV, wavelengths in um and ascending. `fuse` takes
arrays and the `Response` of each instrument; `read_counts` and `data_from_counts` make both from
files of count cubes, as the step `~jwst_fusion.step.HifredStep` does.

The names in ``__all__`` are stable: what they take and return changes only with a warning, for one
version at least. Modules below this package may change at any time.

Examples
--------
A line that both instruments see: one has twelve by twelve pixels and three channels, the other six
by six pixels and twelve channels.

>>> import numpy as np
>>> from jwst_fusion import hifred
>>> rng = np.random.default_rng(1)
>>> truth = np.full((12, 12, 12), 2.0)  # energy, y, x
>>> truth[5, 4:8, 4:8] = 200.0
>>> response_x = hifred.Response.build(truth.shape, rebin=(4, 1, 1))
>>> response_y = hifred.Response.build(truth.shape, rebin=(1, 2, 2))
>>> x, y = (rng.poisson(one.forward(truth)) for one in (response_x, response_y))
>>> settings = hifred.HifredSettings(rank=2, errors=False)
>>> result = hifred.fuse(x, y, response_x, response_y, settings)
>>> result.converged, result.cube.shape
(True, (12, 12, 12))
>>> bool(abs(result.cube[5, 4:8, 4:8].mean() / 200.0 - 1.0) < 0.1)
True
"""

from importlib import import_module

# Where each public name is defined; a module is imported when one of its names is asked for.
_PLACES = {
    "Arf": "xray.ogip",
    "CountCube": "xray.counts",
    "HifredData": "data",
    "HifredOptions": "options",
    "HifredResult": "solver.result",
    "HifredSettings": "solver.settings",
    "Response": "response.response",
    "Rmf": "xray.ogip",
    "data_from_counts": "xray_data",
    "data_from_s3d": "s3d_data",
    "fuse": "engine",
    "fuse_data": "run",
    "gaussian_psf": "psf_image",
    "read_arf": "xray.ogip",
    "read_counts": "xray.counts",
    "read_psf_image": "psf_image",
    "read_rmf": "xray.ogip",
    "write_arf": "xray.ogip_write",
    "write_rmf": "xray.ogip_write",
}

__all__ = sorted(_PLACES)


def __getattr__(name):
    if name in __all__:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__():
    return sorted({*globals(), *__all__})
