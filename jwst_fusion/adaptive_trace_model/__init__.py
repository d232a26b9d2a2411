"""
Adaptive trace model: oversampling of undersampled spectral traces without ringing.

The flux of a slice is a scale per detector column times a profile that varies smoothly along the
slit and along the dispersion (Law & Clarke 2026). `oversample` works on plain arrays; the step
`~jwst_fusion.step.AdaptiveTraceModelStep` does the same to exposures of the pipeline.

Examples
--------
A star whose trace drifts over the rows of a slice, hardly wider than a pixel:

>>> import numpy as np
>>> from jwst_fusion.adaptive_trace_model import TraceSettings, oversample
>>> row, column = np.mgrid[:30, :400]
>>> coordinate = row - 11.0 - 0.02 * column
>>> flux = 1000 * np.exp(-0.5 * (coordinate / 0.8) ** 2)
>>> error = 1 + 0.01 * flux
>>> result = oversample(flux, error, coordinate, settings=TraceSettings(oversample=2.0))
>>> result.flux.shape, result.outcomes
((60, 400), {1: 'fitted'})
>>> truth = 1000 * np.exp(-0.5 * (result.coordinate / 0.8) ** 2)
>>> bool(np.nanmax(np.abs(result.flux - truth)) < 1)
True

Notes
-----
What ``__all__`` of this package lists is stable: it changes only in a minor version, with a note in
the change log. Modules and names beside it may change at any time.
"""

from importlib import import_module

# Where each public name is defined; a module is imported when a name of it is first asked for.
_HOMES = {
    "ArrayGeometry": "geometry_array",
    "GeometryError": "geometry",
    "MODES": "modes",
    "TraceFit": "trace",
    "TraceMode": "modes",
    "TraceResult": "engine",
    "TraceSettings": "settings",
    "find_mode": "modes",
    "fit_trace": "trace",
    "make_geometry": "geometry",
    "oversample": "engine",
}

__all__ = [
    "MODES",
    "ArrayGeometry",
    "GeometryError",
    "TraceFit",
    "TraceMode",
    "TraceResult",
    "TraceSettings",
    "find_mode",
    "fit_trace",
    "make_geometry",
    "oversample",
]


def __getattr__(name):
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return sorted(__all__)
