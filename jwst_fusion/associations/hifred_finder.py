"""Find cubes of X-ray counts of one field, and the responses that belong to each."""

import logging
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from jwst_fusion.errors import NotFusableError
from jwst_fusion.hifred.pairing import field_window
from jwst_fusion.hifred.xray.cameras import CCD_CAMERAS, camera_of
from jwst_fusion.hifred.xray.counts import CountGrid, read_count_grid
from jwst_fusion.input_files import one_line

__all__ = ["CountFile", "find_count_cubes"]

log = logging.getLogger(__name__)

_SILICON = 0.1  # keV, resolution of a CCD
# Widths of channels or responses whose ratio is less than this are the same for a fusion.
_SHARPER = 1.5
# Where the responses of a cube are looked for: OGIP keywords, and what follows on its name.
_KEYWORDS = {"rmf": "RESPFILE", "arf": "ANCRFILE"}
_ENDS = {
    "rmf": (".rmf", ".rsp", "_rmf.fits"),
    "arf": (".arf", "_arf.fits"),
    "psf": ("_psf.fits",),
}
_STEM = re.compile(r"(_counts|_cube)?\.(fits|fit|fts)(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True)
class CountFile:
    """
    A cube of counts as its headers describe it.

    Attributes
    ----------
    path : `~pathlib.Path`
        The file.
    grid : `~jwst_fusion.hifred.xray.counts.CountGrid`
        Its channels and pixels.
    resolution : float
        Width of its spectral response, or of its channels, keV.
    files : dict of str to `~pathlib.Path`
        Responses by ``rmf``, ``arf`` and ``psf``, those that were found.
    """

    path: Path
    grid: CountGrid = field(repr=False)
    resolution: float
    files: dict


def find_count_cubes(paths):
    """
    Group cubes of counts whose fields and energies overlap.

    Parameters
    ----------
    paths : sequence of `~pathlib.Path`
        FITS files that may be cubes of counts.

    Returns
    -------
    groups : list of (str, list of CountFile)
        Name and members of each group that can be fused: two cubes or more, one of them at least
        with a better spectral resolution, and one with a worse one.
    left_out : dict of `~pathlib.Path` to str
        Why other cubes of counts are not used; files that are none are not in it.

    Notes
    -----
    The responses of a cube are those of its keywords RESPFILE and ANCRFILE, if they exist beside
    it, else files of the same name but for ``_counts.fits``: ``<name>.rmf``, ``<name>.arf``,
    ``<name>_psf.fits``. A PSF of the cube with the finest pixels is left out, since the others are
    relative to it.
    """
    found, left_out = [], {}
    for path in paths:
        described = _described(path)
        if isinstance(described, CountFile):
            found.append(described)
        elif described:
            left_out[path] = described
    groups = []
    for members in _touching(found):
        best = min(one.resolution for one in members)
        worst = max(one.resolution for one in members)
        if worst < _SHARPER * best:
            why = "count cube: no cube of the same field has another spectral resolution"
            left_out |= {one.path: why for one in members}
            continue
        coarse = [one for one in members if one.resolution >= _SHARPER * best]
        sharpest = min(coarse, key=_scale)
        sharpest.files.pop("psf", None)
        groups.append((_STEM.sub("", sharpest.path.name), members))
    return groups, left_out


def _described(path):
    """Describe a cube of counts; a reason if it is of no use, None if it is none at all."""
    try:
        grid = read_count_grid(path)
    except (ValueError, OSError) as error:
        # images, spectra, event lists and products are no cubes of counts
        log.debug("%s: %s", path, one_line(error))
        return None
    if "S_HIFRED" in grid.header:
        return "made by hifred"
    if grid.wcs is None:
        return "count cube without sky coordinates: its place on the sky is unknown"
    resolution = None
    camera = camera_of(grid.header)
    if str(grid.header.get("INSTRUME", "")).strip().upper() in CCD_CAMERAS:
        resolution = _SILICON
    elif grid.energies is not None:
        resolution = float(np.median(np.diff(grid.energies)))
    elif camera is not None:
        resolution = 1e-3 * camera.width
    if resolution is None:
        return "count cube that numbers its channels: their width is unknown (INSTRUME)"
    return CountFile(path, grid, resolution, _files(path, grid.header))


def _files(path, header):
    stem, found = _STEM.sub("", path.name), {}
    for kind, ends in _ENDS.items():
        names = [f"{stem}{end}" for end in ends]
        told = str(header.get(_KEYWORDS.get(kind, ""), "")).strip() if kind in _KEYWORDS else ""
        if told and told.upper() != "NONE":
            names.insert(0, Path(told).name)
        there = next((path.parent / name for name in names if (path.parent / name).is_file()), None)
        if there is not None:
            found[kind] = there
    return found


def _scale(one):
    return float(np.sqrt(abs(np.linalg.det(one.grid.wcs.pixel_scale_matrix))))


def _touching(members):
    """Split cubes into groups that are connected by fields and energies in common."""
    groups = []
    for one in members:
        joined, apart = [one], []
        for group in groups:
            if any(_overlap(one, other) for other in group):
                joined = group + joined
            else:
                apart.append(group)
        groups = [*apart, joined]
    return groups


def _overlap(one, other):
    edges = [each.grid.energies for each in (one, other)]
    if all(each is not None for each in edges) and (
        max(edges[0][0], edges[1][0]) >= min(edges[0][-1], edges[1][-1])
    ):
        return False
    grids = one.grid, other.grid
    for first, second in (grids, grids[::-1]):
        try:
            field_window(first.shape[1:], second.shape[1:], first.wcs, second.wcs, 0.0)
        except NotFusableError:
            return False
    return True
