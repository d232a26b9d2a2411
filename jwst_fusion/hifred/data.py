"""Data and responses of all observations on the grid of the result."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse

from jwst_fusion.hifred.offsets import measured_offsets
from jwst_fusion.hifred.response.build import build_terms
from jwst_fusion.hifred.response.energies import interpolation, thinned
from jwst_fusion.hifred.response.response import Response
from jwst_fusion.hifred.response.spectral import negligible

__all__ = ["FurtherData", "HifredData", "coarse_response", "nodes_in_band"]


@dataclass(frozen=True)
class FurtherData:
    """
    One observation more than the two that set the pixels and channels of the result.

    Attributes
    ----------
    label : str
        "X2", "X3", ... for those like X; "Y2", ... for those with the channels of Y.
    name : str
        Name of the cube.
    data : ndarray (l, m, n)
        Counts.
    response : `~jwst_fusion.hifred.response.response.Response`
        Response with mask and background.
    channels : slice
        The channels of the cube that `data` holds.
    edges : ndarray (l + 1,)
        Their edges, keV.
    wcs : `~astropy.wcs.WCS` or None
        Celestial WCS of its pixels.
    """

    label: str
    name: str
    data: np.ndarray
    response: Response
    channels: slice
    edges: np.ndarray
    wcs: object = None

    @property
    def sharp(self):
        """Whether it counts as X."""
        return self.label.startswith("X")


@dataclass(frozen=True)
class HifredData:
    """
    Observations of a scene Z (L, M, N), cubes (channel, y, x): what a fusion is made of.

    Attributes
    ----------
    x, y : ndarray (l, M, N), (L, m, n)
        Counts, or surface brightness [MJy/sr].
    response_x, response_y : `~jwst_fusion.hifred.response.response.Response`
        Responses with masks and backgrounds.
    sigma_x, sigma_y : ndarray or None
        Standard deviations; None for counts.
    coordinate : ndarray (L + 1,) or (L,)
        Edges of the energies of Z, keV, or wavelengths, um.
    unit : str
        Unit of Z.
    channels : tuple of slice
        The channels of the cubes X and Y that `x` and `y` hold.
    names : tuple of str
        Names of the cubes X and Y.
    edges : tuple of ndarray
        Edges of the channels of `x` (l + 1,) and of `y` (L + 1,), keV or um.
    pixels : scipy.sparse.csr_array (m * n, M * N)
        Part of the light of each fine pixel that falls on each coarse one.
    notes : list of str
        What was assumed.
    more : tuple of FurtherData
        Observations beyond X and Y.
    """

    x: np.ndarray
    y: np.ndarray
    response_x: Response
    response_y: Response
    sigma_x: np.ndarray | None
    sigma_y: np.ndarray | None
    coordinate: np.ndarray
    unit: str
    channels: tuple
    names: tuple
    edges: tuple
    pixels: sparse.csr_array
    notes: list = field(default_factory=list)
    more: tuple = ()

    @cached_property
    def offsets(self):
        """How X and Y lie to each other, see `~jwst_fusion.hifred.offsets.measured_offsets`."""
        return measured_offsets(self)

    @property
    def labels(self):
        """Short names of all observations, in the order of the normalisations of a result."""
        sharp = [one.label for one in self.more if one.sharp]
        return ["X", *sharp, "Y", *(one.label for one in self.more if not one.sharp)]

    def models(self, result):
        """
        Return what is expected of every observation for a result.

        Parameters
        ----------
        result : `~jwst_fusion.hifred.solver.result.HifredResult`
            What was made of these data.

        Returns
        -------
        dict of ndarray
            Expected counts, or brightness, by the label of the observation.
        """
        if not self.more:
            return {"X": result.model_x, "Y": result.model_y}
        return dict(zip(self.labels, [*result.model_x, *result.model_y], strict=True))

    def constrained(self):
        """
        Tell which data constrain each voxel of Z.

        Returns
        -------
        x : ndarray of bool (L, M, N)
            Where at least one voxel that is used of X, or of a cube like it, depends on the voxel
            of Z.
        y : ndarray of bool (L, M, N)
            The same of Y.
        """
        found = [_reached(self.response_x), _reached(self.response_y)]
        for one in self.more:
            found[0 if one.sharp else 1] |= _reached(one.response)
        return tuple(found)

    def owner(self):
        """
        Tell on which coarse pixel most of the light of each fine pixel falls.

        Returns
        -------
        ndarray of int32 (M, N)
            Numbers of pixels of Y, along x first; -1 beyond it.
        """
        shares = sparse.csc_array(self.pixels)
        found = np.asarray(shares.argmax(axis=0)).ravel().astype(np.int32)
        found[np.asarray(shares.sum(axis=0)).ravel() <= 0] = -1
        return found.reshape(self.response_x.shape[1:])


def _reached(response):
    """Voxels of Z (L, M, N) on which at least one voxel of the data depends."""
    used = np.ones(response.observed_shape)
    if response.mask is not None:
        used = response.mask.astype(float)
    return ~negligible(response.adjoint(used))


def nodes_in_band(stack, nodes, coordinate):
    """
    Bring kernels at nodes to the band of the result.

    Parameters
    ----------
    stack : ndarray (K, y, x)
        Kernels.
    nodes : ndarray (K,) or None
        Energies or wavelengths of the kernels; None if there is only one kernel.
    coordinate : ndarray (L,)
        Energies or wavelengths of the channels, ascending.

    Returns
    -------
    stack : ndarray (k, y, x)
        Kernels: those within the band, and one at each of its ends by linear interpolation.
    places : ndarray (k,) or None
        Positions as indices of channels.
    """
    if nodes is None or len(nodes) == 1:
        return stack[:1], None
    inside = (nodes > coordinate[0]) & (nodes < coordinate[-1])
    wanted = np.concatenate([coordinate[:1], nodes[inside], coordinate[-1:]])
    weights = np.array([np.interp(wanted, nodes, one) for one in np.eye(len(nodes))]).T
    places = np.interp(wanted, coordinate, np.arange(coordinate.size))
    return np.tensordot(weights, stack, axes=1), places


def coarse_response(
    shape,
    pixels,
    image,
    *,
    psf,
    nodes=None,
    mean=False,
    spectral=None,
    arf=None,
    exposure=1.0,
    efficiency=None,
    efficiency_nodes=None,
    background=None,
    mask=None,
):
    """
    Response of the coarse telescope: PSF, then any way of collecting pixels.

    Parameters
    ----------
    shape : tuple of int
        Shape (L, M, N) of Z.
    pixels : scipy.sparse matrix (m * n, M * N)
        Coarse pixels from fine ones.
    image : tuple of int
        Shape (m, n).
    psf : ndarray (k, y, x)
        PSFs on the pixels of Z.
    nodes : ndarray (k,), optional
        Positions of the PSFs as indices of energies.
    mean : bool
        Means instead of sums: light from outside the field is taken to be like that inside.
    spectral : scipy.sparse matrix (l, L), optional
        Redistribution into channels; by default each energy has its own.
    arf : ndarray (L,), optional
        Effective area per energy.
    exposure : float
        Exposure time; multiplies the response.
    efficiency : ndarray (m, n) or (k, m, n), optional
        Relative area of the coarse pixels, one map or one per node in energy.
    efficiency_nodes : ndarray (k,), optional
        Positions of the maps as indices of energies.
    background : ndarray (l, m, n), optional
        Expected background, in the unit of the data.
    mask : ndarray of bool (l, m, n), optional
        Voxels of the data that are used; by default all.

    Returns
    -------
    Response
        The response.
    """
    stack = psf if nodes is not None else psf[0]
    terms = build_terms(
        shape, psf=stack, psf_nodes=nodes, spectral=spectral, arf=arf, exposure=exposure
    )
    terms = [(energies, a, sparse.csr_array(pixels @ b)) for energies, a, b in terms]
    if mean:
        terms = [(energies, a, _rows_to_one(b)) for energies, a, b in terms]
    if efficiency is not None:
        terms = _with_efficiency(terms, efficiency, efficiency_nodes, shape[0])
    return Response(shape, image, terms=terms, background=background, mask=mask)


def _with_efficiency(terms, stack, nodes, size):
    """Terms times maps on the coarse pixels, linear in energy between the nodes."""
    stack = stack if stack.ndim == 3 else stack[None]
    weights = np.ones((1, size))
    if len(stack) > 1:
        kept = thinned("vignetting", stack, nodes)
        weights, stack = interpolation(nodes[kept], size), stack[kept]
    found = []
    for energies, a, b in terms:
        for weight, image in zip(weights, stack, strict=True):
            part = weight[energies]
            if part.any():
                area = sparse.csr_array(a @ sparse.diags_array(part))
                found.append(
                    (energies, area, sparse.csr_array(sparse.diags_array(image.ravel()) @ b))
                )
    return found


def _rows_to_one(matrix):
    sums = np.asarray(matrix.sum(axis=1)).ravel()
    scale = np.divide(1.0, sums, out=np.zeros(sums.shape), where=sums > 0)
    return sparse.csr_array(sparse.diags_array(scale) @ matrix)
