"""
HIFReD: fusion of hyperspectral cubes, some sharp in space and some sharp in energy.

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

import lazy_loader

# Names load when they are asked for: no user waits for imports that another needs.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "data": ["FurtherData", "HifredData"],
        "engine": ["fuse"],
        "options": ["HifredOptions"],
        "psf_image": ["gaussian_psf", "read_psf_image"],
        "response.response": ["Response"],
        "run": ["fuse_data"],
        "s3d_data": ["data_from_s3d"],
        "solver.result": ["HifredResult"],
        "solver.settings": ["HifredSettings"],
        "sums": ["error_of"],
        "xray.counts": ["CountCube", "read_counts"],
        "xray.ogip": ["Arf", "Rmf", "read_arf", "read_rmf"],
        "xray.ogip_write": ["write_arf", "write_rmf"],
        "xray_data": ["data_from_counts"],
        "xray_several": ["data_from_observations"],
    },
)
