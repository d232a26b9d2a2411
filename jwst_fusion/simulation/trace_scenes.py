"""Scenes that are hard for a trace model, one slice each, with known truth.

Arrays are (column, row), slit coordinates in native pixels, as in `traces`.
"""

import numpy as np

from jwst_fusion.simulation.traces import TraceScene, TraceSource

__all__ = ["SCENES", "make_scene"]

#: Light of a star over that of its brightest pixel.
_TOTAL = 1.6
_BRIGHT = 400.0  # brightest pixel of a star
_CENTER = 0.37  # native pixels: at neither the middle nor the edge of one
#: Positions of narrow lines, as shares of the columns.
_LINES = (0.07, 0.16, 0.23, 0.31, 0.42, 0.52, 0.61, 0.73, 0.84, 0.93)


def make_scene(name, grid):
    """
    Make a scene.

    Parameters
    ----------
    name : str
        One of `SCENES`.
    grid : jwst_fusion.simulation.traces.SliceGrid
        Geometry of the slice.

    Returns
    -------
    jwst_fusion.simulation.traces.TraceScene
        The scene.

    Raises
    ------
    ValueError
        If there is no scene of this name.
    """
    if name not in SCENES:
        msg = f"scene is {name!r}: allowed are {', '.join(SCENES)}"
        raise ValueError(msg)
    return SCENES[name](grid)


def _share(grid):
    return np.linspace(0, 1, grid.n_column)


def _columns(grid, shares):
    return tuple(round(share * grid.n_column) for share in shares)


def _star(grid, peak, *, color=0.0):
    """Continuum of a star; a positive `color` is red. The mean over the columns is 1."""
    return _TOTAL * peak * (1 + color * (2 * _share(grid) - 1))


def _line_pattern(grid, shares, width):
    """Sum of Gaussian lines of peak 1, `width` in columns (sigma)."""
    x = np.arange(grid.n_column)
    return sum(np.exp(-0.5 * ((x - c) / width) ** 2) for c in _columns(grid, shares))


def _absorbed(grid, peak, *, color=0.0, depth=0.6, width=2.5):
    return _star(grid, peak, color=color) * (1 - depth * _line_pattern(grid, _LINES, width))


def _bright(grid):
    star = TraceSource(_CENTER, _absorbed(grid, _BRIGHT, color=-0.3))
    return TraceScene(grid, (star,), lines=_columns(grid, _LINES))


def _wings(grid):
    """A slice beside the star: rings that move outwards with wavelength."""
    star = TraceSource(_CENTER, _absorbed(grid, _BRIGHT, color=-0.3), across=2.7)
    return TraceScene(grid, (star,), lines=_columns(grid, _LINES))


def _faint(grid):
    return TraceScene(grid, (TraceSource(_CENTER, _absorbed(grid, 7.0)),))


def _background(grid, level, *, gradient=0.0):
    """Smooth red background, at the middle of the slit `level` in the mean over the columns."""
    spectrum = level * (0.8 + 0.4 * _share(grid))[:, None]
    return lambda coordinate: spectrum * (1 + gradient * coordinate / grid.half_width)


def _faint_on_background(grid):
    star = TraceSource(_CENTER, _absorbed(grid, 60.0, color=-0.3))
    return TraceScene(grid, (star,), (_background(grid, 1200.0),))


def _faint_on_gradient(grid):
    star = TraceSource(_CENTER, _absorbed(grid, 60.0, color=-0.3))
    return TraceScene(grid, (star,), (_background(grid, 1200.0, gradient=0.3),))


def _pair(grid):
    blue = TraceSource(_CENTER, _absorbed(grid, 300.0, color=-0.6, depth=0.8))
    red = TraceSource(_CENTER + 2.25, _star(grid, 200.0, color=0.6))
    return TraceScene(grid, (blue, red), lines=_columns(grid, _LINES))


def _emission_lines(grid):
    spectrum = _star(grid, 20.0) * (1 + 20 * _line_pattern(grid, _LINES, 1.0))
    return TraceScene(grid, (TraceSource(_CENTER, spectrum),), lines=_columns(grid, _LINES))


def _line_source(grid):
    """Lines only: no continuum, nothing in 97 % of the columns."""
    spectrum = _star(grid, 60.0) * _line_pattern(grid, _LINES, 1.2)
    return TraceScene(grid, (TraceSource(_CENTER, spectrum),), lines=_columns(grid, _LINES))


def _nebula(grid, peak):
    """Narrow lines that fill the slice, with a velocity gradient and clumps."""
    x = np.arange(grid.n_column)[:, None]

    def light(coordinate):
        shift = 2 * np.tanh(coordinate / 4)
        lines = sum(np.exp(-0.5 * ((x - c - shift) / 1.2) ** 2) for c in _columns(grid, _LINES))
        return peak * lines * (1 + 0.4 * np.sin(0.5 * coordinate))

    return light


def _nebula_lines(grid):
    star = TraceSource(_CENTER, _star(grid, 60.0, color=-0.3))
    return TraceScene(grid, (star,), (_nebula(grid, 120.0),), lines=_columns(grid, _LINES))


def _nebula_alone(grid):
    return TraceScene(grid, (), (_nebula(grid, 120.0),), lines=_columns(grid, _LINES))


def _galaxy(grid):
    star = TraceSource(_CENTER, _absorbed(grid, 200.0, color=-0.3))
    spectrum = 30 * (0.7 + 0.6 * _share(grid)) * (1 + 3 * _line_pattern(grid, _LINES[::2], 1.5))

    def galaxy(coordinate):
        return spectrum[:, None] * np.exp(-0.5 * ((coordinate - 3.0) / 5.0) ** 2)

    return TraceScene(grid, (star,), (galaxy,), lines=_columns(grid, _LINES))


def _bands(grid):
    """Molecular bands: steep heads, many narrow lines, half of the light gone."""
    x = np.arange(grid.n_column)
    bands = np.ones(grid.n_column)
    for head in _columns(grid, (0.1, 0.35, 0.6, 0.85)):
        behind = np.where(x >= head, np.exp(-(x - head) / 60), 0.0)
        bands *= 1 - behind * (0.6 + 0.2 * np.sin(2 * np.pi * x / 6.3))
    return TraceScene(grid, (TraceSource(_CENTER, _star(grid, _BRIGHT) * bands),))


def _nods(grid):
    spectrum = _absorbed(grid, 200.0, color=-0.3)
    reach = grid.half_width - 3.5
    sources = (
        TraceSource(_CENTER, spectrum),
        TraceSource(-0.62 * reach, -0.5 * spectrum),
        TraceSource(0.87 * reach, -0.5 * spectrum),
    )
    return TraceScene(grid, sources, lines=_columns(grid, _LINES))


def _negative_mean(grid):
    star = TraceSource(_CENTER, _absorbed(grid, 100.0, color=-0.3))
    return TraceScene(grid, (star,), (_background(grid, -20.0),), lines=_columns(grid, _LINES))


def _core(first, end):
    """The three brightest pixels of each column."""
    return ((first, end, _CENTER - 1.5, _CENTER + 1.5),)


def _saturated(grid):
    first, end = _columns(grid, (0.3, 0.45))
    star = TraceSource(_CENTER, _absorbed(grid, 4000.0, color=-0.3))
    return TraceScene(grid, (star,), lost=_core(first, end))


def _saturated_all(grid):
    star = TraceSource(_CENTER, _absorbed(grid, 4000.0, color=-0.3))
    return TraceScene(grid, (star,), lost=_core(0, grid.n_column))


def _bad_clusters(grid):
    """Clusters of 9 columns by 5 rows and of 5 columns by 9 rows on the trace."""
    lost = []
    for i, column in enumerate(_columns(grid, np.arange(0.05, 1, 0.06))):
        length, width = (9, 5) if i % 2 else (5, 9)
        middle = _CENTER + 0.5 * (i % 3 - 1)
        lost.append((column, column + length, middle - width / 2, middle + width / 2))
    star = TraceSource(_CENTER, _absorbed(grid, _BRIGHT, color=-0.3))
    return TraceScene(grid, (star,), lost=tuple(lost))


def _edge_inside(grid):
    star = TraceSource(0.3 - grid.half_width, _absorbed(grid, _BRIGHT, color=-0.3))
    return TraceScene(grid, (star,), lines=_columns(grid, _LINES))


def _edge_outside(grid):
    star = TraceSource(-0.5 - grid.half_width, _absorbed(grid, _BRIGHT, color=-0.3))
    return TraceScene(grid, (star,), lines=_columns(grid, _LINES))


def _crowded(grid):
    rng = np.random.default_rng(12)
    reach = grid.half_width - 1.0
    sources = []
    for center in rng.uniform(-reach, reach, 12):
        peak, color = 10 ** rng.uniform(1.2, 2.6), rng.uniform(-0.7, 0.7)
        depth = rng.uniform(-1.0, 0.8)
        sources.append(TraceSource(center, _absorbed(grid, peak, color=color, depth=depth)))
    return TraceScene(grid, tuple(sources), lines=_columns(grid, _LINES))


def _dropout(grid):
    """No light blueward of a break, and a trough that goes to zero."""
    x = _share(grid)
    light = 1 / (1 + np.exp(-(x - 0.35) * grid.n_column / 3))
    light *= 1 - 1 / (1 + ((x - 0.7) / 0.02) ** 6)
    star = TraceSource(_CENTER, _star(grid, 200.0) * light)
    return TraceScene(grid, (star,))


SCENES = {
    "bright": _bright,
    "wings": _wings,
    "faint": _faint,
    "faint on background": _faint_on_background,
    "faint on gradient": _faint_on_gradient,
    "pair": _pair,
    "emission lines": _emission_lines,
    "line source": _line_source,
    "nebula lines": _nebula_lines,
    "nebula alone": _nebula_alone,
    "galaxy": _galaxy,
    "bands": _bands,
    "nods": _nods,
    "negative mean": _negative_mean,
    "saturated": _saturated,
    "saturated all": _saturated_all,
    "bad clusters": _bad_clusters,
    "edge inside": _edge_inside,
    "edge outside": _edge_outside,
    "crowded": _crowded,
    "dropout": _dropout,
}
