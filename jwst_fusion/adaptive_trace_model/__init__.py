"""
Adaptive trace model: oversampling of undersampled spectral traces without ringing.

The flux of a slice is a scale per detector column times a profile that varies smoothly along the
slit and along the dispersion (Law & Clarke 2026). `oversample` works on plain arrays; the step
`~jwst_fusion.step.AdaptiveTraceModelStep` does the same to exposures of the pipeline.

Notes
-----
What ``__all__`` lists is stable: it changes only after a release that warns of the change. Modules
and names beside it may change at any time.

Examples
--------
A star whose trace drifts over the rows of a slice, hardly wider than a pixel:

>>> import numpy as np
>>> from jwst_fusion.adaptive_trace_model import TraceSettings, oversample
>>> row, column = np.mgrid[:30, :400]
>>> coordinate = row - 11.0 - 0.02 * column
>>> flux = 1000 * np.exp(-0.5 * (coordinate / 0.8) ** 2)
>>> error = 1 + 0.01 * flux
>>> result = oversample(flux, error, coordinate, options=TraceSettings(oversample=2.0))
>>> result.flux.shape, result.outcomes
((60, 400), {1: 'fitted'})
>>> truth = 1000 * np.exp(-0.5 * (result.coordinate / 0.8) ** 2)
>>> bool(np.nanmax(np.abs(result.flux - truth)) < 1)
True
"""

import lazy_loader

# Names load when they are asked for: no user waits for imports that another needs.
__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "engine": ["TraceResult", "oversample"],
        "geometry": ["GeometryError", "make_geometry"],
        "geometry_array": ["ArrayGeometry"],
        "modes": ["MODES", "TraceMode", "find_mode"],
        "settings": ["TraceSettings"],
        "sums": ["error_of"],
        "trace": ["TraceFit", "fit_trace"],
    },
)
