"""From count cubes of any number of observations to the data of one fusion."""

import logging
from dataclasses import dataclass, replace

import numpy as np
from astropy.wcs.utils import pixel_to_pixel

from jwst_fusion.errors import NotFusableError
from jwst_fusion.hifred.data import FurtherData, coarse_response
from jwst_fusion.hifred.pairing import field_window, pixel_matrix
from jwst_fusion.hifred.xray.cameras import CCD_CAMERAS
from jwst_fusion.hifred.xray.counts import CountCube
from jwst_fusion.hifred.xray.energy_grid import overlap
from jwst_fusion.hifred.xray.ogip import read_rmf
from jwst_fusion.hifred.xray.spectra import area_at, area_y, exposure_time, span, spectral_matrix_x
from jwst_fusion.hifred.xray_data import (
    SHARPER,
    check_counts,
    data_from_counts,
    edges_of,
    first_is_x,
    psf_of,
    vignetting_of,
    without_missing,
)

__all__ = ["OWN", "data_from_observations"]

log = logging.getLogger(__name__)

#: Files that an observation may have of its own.
OWN = ("psf", "rmf", "arf")
_SILICON = 0.1  # keV, resolution of a CCD whose RMF is not given
_ROUNDING = 1e-6  # of the highest energy; edges that agree within it are taken to be the same
_EQUAL = 1.02  # ratio of pixel scales that are taken to be the same
_TURNED = 0.1  # degrees; smaller rotations of a PSF change nothing


@dataclass(frozen=True)
class _Observation:
    """A cube with its own files, its edges [keV], and its resolution [keV]."""

    cube: CountCube
    files: dict
    edges: np.ndarray
    resolution: float

    @property
    def name(self):
        return self.cube.name

    @property
    def total(self):
        return float(self.cube.counts.sum())

    @property
    def scale(self):
        scale = self.cube.pixel_scale
        return 1.0 / np.sqrt(self.cube.counts[0].size) if scale is None else scale


def data_from_observations(cubes, responses, options, *, own=None):
    """
    Set up the fusion of two count cubes or more.

    Parameters
    ----------
    cubes : sequence of `~jwst_fusion.hifred.xray.counts.CountCube`
        The cubes, in any order.
    responses : dict of str to path
        Files that observations share: ``psf``, ``rmf_y`` and ``arf_y`` for all with fine channels,
        ``rmf_x`` and ``arf_x`` for all others; as many as are needed.
    options : object
        As for `~jwst_fusion.hifred.xray_data.data_from_counts`.
    own : sequence of dict of str to path, optional
        Files of each cube by ``psf``, ``rmf`` and ``arf``, in place of those that are shared.

    Returns
    -------
    data : `~jwst_fusion.hifred.data.HifredData`
        All observations. X is the one with the finest pixels, Y that with the best spectral
        resolution, and of equals that with the most counts; they set the pixels and channels of the
        result. The others are in ``more``.
    x, y : `~jwst_fusion.hifred.xray.counts.CountCube`
        Those two; of X the part that is used.

    Raises
    ------
    NotFusableError
        If a cube has no counts, or its energies or field do not overlap those of the others.
    ValueError
        If something is missing, a file does not fit, an observation is given twice, or all have the
        same spectral resolution.

    Notes
    -----
    An observation whose resolution is within a factor of 1.5 of Y's is taken to have that of Y: its
    channels are sums of those of the result. The others have their RMF. A PSF that is given for an
    observation like X is relative to X, which has none; a shared PSF turns with the roll angle that
    the WCS tells.
    """
    own = [{} for _ in cubes] if own is None else list(own)
    _check_different(cubes)
    if len(cubes) == 2:
        return _pair(cubes, responses, options, own)
    for letter in "xy":
        if getattr(options, f"exposure_{letter}") is not None:
            msg = (
                f"exposure_{letter} is for two cubes, but {len(cubes)} are given: write EXPOSURE "
                "into their headers"
            )
            raise ValueError(msg)
    seen = [_observation(cube, files) for cube, files in zip(cubes, own, strict=True)]
    xs, ys = _sorted(seen)
    first, fine = xs[0], ys[0]
    for one in seen:
        if (one.cube.wcs is None) != (first.cube.wcs is None):
            there = first if one.cube.wcs is None else one
            missing = one if one.cube.wcs is None else first
            msg = f"{missing.name} has no sky coordinates, but {there.name} has: give all a WCS"
            raise ValueError(msg)
        _check_field(one, first)
    if first.files.get("psf") is not None:
        raise ValueError(_own_psf(first.name))
    files = {
        **responses,
        **{f"{kind}_x": path for kind, path in first.files.items() if kind != "psf"},
        **{kind if kind == "psf" else f"{kind}_y": path for kind, path in fine.files.items()},
    }
    data, x, y = data_from_counts(
        first.cube, fine.cube, files, options, near=[one.cube for one in ys[1:]]
    )
    if y is fine.cube or y.name == fine.name:
        log.info("%s sets the pixels of the result, %s its channels", x.name, y.name)
    else:
        msg = (
            f"{fine.name} has the best spectral resolution, but {first.name} has no finer pixels: "
            "nothing to fuse"
        )
        raise ValueError(msg)
    more = []
    for one in xs[1:]:
        shared = {kind: responses.get(f"{kind}_x") for kind in ("rmf", "arf")}
        number = 2 + sum(found.sharp for found in more)
        more.append(_further(one, {**shared, **one.files}, f"X{number}", data, x, options))
    for one in ys[1:]:
        shared = {kind: responses.get(f"{kind}_y") for kind in ("rmf", "arf")}
        shared["psf"] = files.get("psf")
        if "psf" in fine.files and "psf" not in one.files:
            data.notes.append(f"{one.name}: no psf of its own: that of {fine.name} is taken")
        turn = 0.0 if "psf" in one.files else _turn(one.cube, fine.cube, x)
        number = 2 + sum(not found.sharp for found in more)
        given = {**shared, **one.files}
        found = _further(one, given, f"Y{number}", data, x, options, turn=turn, fine=True)
        if not _same(found.edges, data.coordinate):
            # the spectra of the result are found in cubes with its own channels
            number = 2 + sum(before.sharp for before in more)
            found = replace(found, label=f"X{number}")
        more.append(found)
    if getattr(options, "normalisations", "auto") != "given":
        data = replace(data, unit=_unit_of(x, files))
    return replace(data, more=tuple(more)), x, y


def _unit_of(x, files):
    """Unit of a result whose flux is that of X: without its area or exposure, it has none."""
    rmf = files.get("rmf_x")
    area = files.get("arf_x") is not None or (rmf is not None and read_rmf(rmf).contains_area)
    unknown = []
    exposure_time(x, None, files.get("arf_x"), unknown)
    return "photon" + " cm-2" * area + " s-1" * (not unknown)


def _pair(cubes, responses, options, own):
    """Two cubes, with files of their own in place of those that are shared."""
    given = dict(responses)
    if any(own):
        number = 0 if first_is_x(*cubes) else 1
        x, y = own[number], own[1 - number]
        if x.get("psf") is not None:
            raise ValueError(_own_psf(cubes[number].name))
        given |= {f"{kind}_x": path for kind, path in x.items()}
        given |= {kind if kind == "psf" else f"{kind}_y": path for kind, path in y.items()}
    return data_from_counts(*cubes, given, options)


def _own_psf(name):
    return (
        f"{name} has a PSF of its own, but it is the sharpest cube, to which PSFs are relative: "
        "leave it out"
    )


def _check_different(cubes):
    for k, one in enumerate(cubes):
        for other in cubes[:k]:
            same = one is other or (
                one.counts.shape == other.counts.shape and np.array_equal(one.counts, other.counts)
            )
            if same and one.counts.any():
                msg = (
                    f"{other.name} and {one.name} hold the same counts: give each observation once"
                )
                raise ValueError(msg)


def _observation(cube, files):
    unknown = set(files) - set(OWN)
    if unknown:
        msg = f"{cube.name} has files of its own of the kind {', '.join(sorted(unknown))}: expected"
        msg += f" some of {', '.join(OWN)}"
        raise ValueError(msg)
    rmf = files.get("rmf")
    if cube.energies is None and rmf is None:
        msg = (
            f"{cube.name} numbers its channels: give its own rmf, whose EBOUNDS has their energies"
        )
        raise ValueError(msg)
    edges = edges_of(cube, rmf, "of this cube")
    resolution = None
    if rmf is not None:
        matrix = read_rmf(rmf)
        said = str(cube.header.get("TELESCOP", "")).strip().upper()
        if said and matrix.telescope and said != matrix.telescope:
            msg = (
                f"{cube.name} is of {said}, but the RMF {matrix.name} of {matrix.telescope}: give "
                "the RMF of this observation"
            )
            raise ValueError(msg)
        resolution = matrix.width_at(0.5 * (edges[0] + edges[-1]))
    width = float(np.median(np.diff(edges)))
    if resolution is None:
        resolution = width
        if str(cube.header.get("INSTRUME", "")).strip().upper() in CCD_CAMERAS:
            resolution = max(resolution, _SILICON)
    # no cube resolves less than its channels
    return _Observation(cube, files, edges, max(resolution, width))


def _sorted(seen):
    """Observations like X, that with the finest pixels first, and those with fine channels."""
    low, high = (pick(seen, key=lambda one: one.edges[end]) for pick, end in ((max, 0), (min, -1)))
    if low.edges[0] >= high.edges[-1]:
        msg = (
            f"{low.name} ({span(low.edges)}) and {high.name} ({span(high.edges)}) have no energies "
            "in common"
        )
        raise NotFusableError(msg)
    best = min(one.resolution for one in seen)
    ys = [one for one in seen if one.resolution < SHARPER * best]
    xs = [one for one in seen if one.resolution >= SHARPER * best]
    if not xs:
        names = ", ".join(one.name for one in seen)
        widths = ", ".join(f"{1e3 * one.resolution:.3g}" for one in seen)
        msg = (
            f"{names} have the same spectral resolution ({widths} eV): nothing to fuse. Give a "
            "cube with finer channels, too, as of XRISM Resolve; add cubes of like cameras"
        )
        raise ValueError(msg)
    finest = _EQUAL * min(one.scale for one in xs)
    # one with a PSF of its own is less sharp than another one
    xs.sort(key=lambda one: (one.scale > finest, one.files.get("psf") is not None, -one.total))
    ys.sort(key=lambda one: -one.total)
    return xs, ys


def _check_field(one, first):
    """Refuse an observation of another field."""
    if one is first:
        return
    _window(one.cube, first.cube)


def _window(cube, other):
    """Part of a cube on which another one lies."""
    shapes = cube.counts.shape[1:], other.counts.shape[1:]
    try:
        return field_window(*shapes, cube.wcs, other.wcs, 0.0)
    except NotFusableError as error:
        msg = f"{cube.name} and the part of {other.name} that is used do not overlap on the sky"
        raise NotFusableError(msg) from error


def _same(edges, others):
    """Whether channels are the same but for rounding."""
    close = _ROUNDING * max(abs(others[-1]), 1.0)
    return edges.size == others.size and np.abs(edges - others).max() < close


def _turn(cube, other, x):
    """By how much a cube is turned counterclockwise against another one on the pixels of X."""
    if x.wcs is None:
        return 0.0
    angles = []
    for one in (cube, other):
        rows, columns = one.counts.shape[1:]
        middle = np.array([0.5 * (columns - 1)] * 2), 0.5 * (rows - 1) + np.array([0.0, 1.0])
        right, up = pixel_to_pixel(one.wcs, x.wcs, *middle)
        angles.append(np.rad2deg(np.arctan2(up[1] - up[0], right[1] - right[0])))
    turn = (angles[0] - angles[1] + 180.0) % 360.0 - 180.0
    return 0.0 if abs(turn) < _TURNED else float(turn)


def _further(one, files, label, data, x, options, *, turn=0.0, fine=False):
    """An observation on the grid of the result that the first two set."""
    edges, notes = data.coordinate, []
    close = _ROUNDING * max(abs(edges[-1]), 1.0)
    low, high = one.edges[:-1] >= edges[0] - close, one.edges[1:] <= edges[-1] + close
    inside = np.flatnonzero(low & high)
    if inside.size < 2:
        msg = (
            f"{one.name} ({span(one.edges)}) has fewer than two channels in the energies that the "
            f"others have in common ({span(edges)})"
        )
        raise NotFusableError(msg)
    channels = slice(int(inside[0]), int(inside[-1]) + 1)
    given = one.edges[channels.start : channels.stop + 1]
    spectral = None
    if fine:
        given_files = {"rmf_y": files.get("rmf"), "arf_y": files.get("arf")}
        area = area_y(given_files, edges, notes, name=one.name)
        usable = np.ones(inside.size, bool)
        if not _same(given, edges):
            spectral = overlap(edges, given)
    else:
        spectral, contained, usable = spectral_matrix_x(
            {"rmf_x": files.get("rmf")}, given, edges, options, one.name
        )
        area = area_at({"arf_x": files.get("arf")}, "x", edges, contained, notes)
    cube = without_missing(one.cube)
    if cube.wcs is not None:
        cube = cube.cropped(_window(cube, x))
    exposure = exposure_time(cube, None, files.get("arf"), notes)
    shape = data.response_x.shape
    pixels, _, covered = pixel_matrix(
        shape[1:], cube.counts.shape[1:], x.wcs, cube.wcs, names=(x.name, cube.name)
    )
    psf, nodes = np.ones((1, 1, 1)), None
    if fine or files.get("psf") is not None:
        psf, nodes = psf_of(files, x, edges, options, angle=turn)
    else:
        notes.append(f"no psf of its own: taken to be as sharp as {x.name}")
    efficiency, places = vignetting_of(cube, channels, given, edges)
    good = cube.good[channels] & covered & usable[:, None, None]
    counts = cube.counts[channels]
    check_counts(cube, counts, good)
    data.notes.extend(f"{cube.name}: {note}" for note in notes)
    response = coarse_response(
        shape,
        pixels,
        cube.counts.shape[1:],
        psf=psf,
        nodes=nodes,
        spectral=spectral,
        arf=area,
        exposure=exposure,
        efficiency=efficiency,
        efficiency_nodes=places,
        background=None if cube.background is None else cube.background[channels],
        mask=good,
    )
    return FurtherData(label, cube.name, counts, response, channels, given, cube.wcs)
