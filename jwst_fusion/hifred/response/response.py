"""The linear response of an instrument to a hyperspectral source, with its exact adjoint."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from jwst_fusion.hifred.response.build import build_terms, check_image_shape, observed_image_shape
from jwst_fusion.hifred.response.operators import Term
from jwst_fusion.hifred.response.spectral import check_matrix

__all__ = ["Response"]


class Response:
    r"""
    Expected counts of an instrument as a linear function of a source, plus a background.

    Parameters
    ----------
    shape : tuple of int
        Shape (L, M, N) of the source: energy, y, x.
    observed_image : tuple of int
        Shape (m, n) of the observed images.
    spectral : sparse matrix or array_like (l, L), optional
        Spectral response A; the identity if omitted.
    spatial : sparse matrix or array_like (m * n, M * N), optional
        Spatial response B, for images flattened row by row; the identity if omitted.
    background : array_like, optional
        Expected counts that do not come from the source; anything that broadcasts to (l, m, n).
    mask : array_like of bool, optional
        True where the data are to be used; (l, m, n), (m, n) or (l, 1, 1).
    terms : list of Term, optional
        Terms of a response that is not a single product, instead of `spectral` and `spatial`.

    Attributes
    ----------
    shape, observed_shape : tuple of int
        Shapes (L, M, N) of the source and (l, m, n) of the counts.
    background : ndarray (l, m, n) or None
        Expected counts of the background.
    mask : ndarray (l, m, n) of bool or None
        Data to use.
    terms : list of Term
        The products that make up the response.

    Raises
    ------
    ValueError
        If sizes disagree, or values are not finite or negative.

    Notes
    -----
    Lascar et al. 2025, eq. 9, and, for responses that vary with energy and over the field at once,

    .. math:: \bar X = \sum_t A_t Z B_t^T + b.

    The sum has one term unless the PSF or the vignetting varies with energy.
    """

    def __init__(
        self,
        shape,
        observed_image,
        *,
        spectral=None,
        spatial=None,
        background=None,
        mask=None,
        terms=None,
    ):
        self.shape = check_image_shape("shape", shape, 3)
        image = check_image_shape("observed_image", observed_image, 2)
        size, pixels = self.shape[0], self.shape[1] * self.shape[2]
        if terms is None:
            a = sparse.eye_array(size, format="csr")
            b = sparse.eye_array(pixels, format="csr")
            if spectral is not None:
                a = check_matrix("spectral", spectral, size)
            if spatial is not None:
                b = check_matrix("spatial", spatial, pixels)
            terms = [(slice(0, size), a, b)]
        if terms[0][2].shape[0] != image[0] * image[1]:
            msg = (
                f"the spatial response gives {terms[0][2].shape[0]} pixels: expected "
                f"{image[0]} * {image[1]}, those of observed_image"
            )
            raise ValueError(msg)
        self.observed_shape = (terms[0][1].shape[0], *image)
        self.terms = [Term.make(*term) for term in terms]
        self.background = self._background(background)
        self.mask = None if mask is None else self._broadcast("mask", np.asarray(mask, bool))

    @classmethod
    def build(
        cls,
        shape,
        *,
        psf=None,
        psf_nodes=None,
        psf_weights=None,
        lsf=None,
        rmf=None,
        arf=None,
        exposure=1.0,
        rebin=(1, 1, 1),
        vignetting=None,
        vignetting_nodes=None,
        background=None,
        mask=None,
        spectral=None,
        spatial=None,
        observed_image=None,
        centre=None,
    ):
        r"""
        Response from PSF, LSF or RMF, ARF, exposure time and rebinning.

        Parameters
        ----------
        shape : tuple of int
            Shape (L, M, N) of the source: energy, y, x.
        psf : array_like, optional
            Kernel (y, x) on the source's pixels, of even or odd size; or one per energy node
            (K, y, x); or, with `psf_weights`, one per place in the field (P, y, x) or (K, P, y, x).
            Normalised to a sum of 1, which is logged.
        psf_nodes : array_like (K,), optional
            Index (not necessarily whole) of the energy that each kernel belongs to; by default
            the centres of K equal bands. Kernels are interpolated linearly between nodes.
        psf_weights : array_like (P, M, N), optional
            Weight of the kernel of each place for a source at each pixel, of sum 1 over P.
        lsf : array_like, optional
            Line spread function (k,) on the source's energies, or one per energy (L, k).
            Normalised to a sum of 1, which is logged.
        rmf : array_like or sparse matrix (channels, L), optional
            Redistribution matrix, used as it is.
        arf : array_like (L,), optional
            Effective area per energy.
        exposure : float
            Exposure time; multiplies the response.
        rebin : tuple of int
            Numbers of channels, rows and columns that are summed.
        vignetting : array_like, optional
            Transmission (M, N), or one map per energy node (K, M, N).
        vignetting_nodes : array_like (K,), optional
            Indices of energies like `psf_nodes`.
        background : array_like, optional
            Expected counts that do not come from the source; broadcasts to (l, m, n).
        mask : array_like of bool, optional
            True where the data are to be used.
        spectral : array_like or sparse matrix (channels, L), optional
            Spectral response instead of `lsf` or `rmf`; `arf`, `exposure` and `rebin` apply.
        spatial : array_like or sparse matrix (m * n, M * N), optional
            Spatial response instead of `psf`, rebinning included; `vignetting` applies.
        observed_image : tuple of int, optional
            Shape (m, n) of the images that `spatial` gives; by default (M, N) rebinned.
        centre : "centroid", "middle" or tuple of float, optional
            Which place of a kernel is the position of the source, see `~kernels.centred`. By
            default the middle of the array of a PSF, and the centroid of a line spread function.

        Returns
        -------
        Response
            The response.

        Raises
        ------
        ValueError
            If sizes disagree, values are not finite or negative, or `rebin` does not divide.
        """
        shape = check_image_shape("shape", shape, 3)
        terms = build_terms(
            shape,
            psf=psf,
            psf_nodes=psf_nodes,
            psf_weights=psf_weights,
            lsf=lsf,
            rmf=rmf,
            arf=arf,
            exposure=exposure,
            rebin=rebin,
            vignetting=vignetting,
            vignetting_nodes=vignetting_nodes,
            spectral=spectral,
            spatial=spatial,
            centre=centre,
        )
        image = observed_image_shape(shape, rebin, spatial, observed_image)
        return cls(shape, image, background=background, mask=mask, terms=terms)

    def _broadcast(self, name, array):
        try:
            return np.broadcast_to(array, self.observed_shape).copy()
        except ValueError:
            msg = f"{name} has the shape {array.shape}: expected one of {self.observed_shape}"
            raise ValueError(msg) from None

    def _background(self, background):
        if background is None:
            return None
        background = np.asarray(background, float)
        if not np.isfinite(background).all() or background.min() < 0:
            msg = "background must be finite and not negative, in counts"
            raise ValueError(msg)
        return self._broadcast("background", background) if background.any() else None

    def forward(self, cube):
        """
        Expected counts of a source, without the background.

        Parameters
        ----------
        cube : ndarray (L, M, N)
            Source.

        Returns
        -------
        ndarray (l, m, n)
            Counts.
        """
        flat = np.reshape(cube, (self.shape[0], -1))
        return self.forward_flat(flat).reshape(self.observed_shape)

    def adjoint(self, counts):
        """
        Adjoint of `forward`.

        Parameters
        ----------
        counts : ndarray (l, m, n)
            Counts.

        Returns
        -------
        ndarray (L, M, N)
            The transpose of the response times the counts.
        """
        flat = np.reshape(counts, (self.observed_shape[0], -1))
        return self.adjoint_flat(flat).reshape(self.shape)

    def observe(self, cube):
        """
        Expected counts of a source with the background.

        Parameters
        ----------
        cube : ndarray (L, M, N)
            Source.

        Returns
        -------
        ndarray (l, m, n)
            Counts.
        """
        counts = self.forward(cube)
        return counts if self.background is None else counts + self.background

    def forward_flat(self, cube):
        """
        Expected counts of a source with flattened images, without the background.

        Parameters
        ----------
        cube : ndarray (L, M * N)
            Source, images flattened row by row.

        Returns
        -------
        ndarray (l, m * n)
            Counts.
        """
        total = self.terms[0].forward(cube)
        for term in self.terms[1:]:
            total = total + term.forward(cube)
        return total

    def adjoint_flat(self, counts):
        """
        Adjoint of `forward_flat`.

        Parameters
        ----------
        counts : ndarray (l, m * n)
            Counts, images flattened row by row.

        Returns
        -------
        ndarray (L, M * N)
            The transpose of the response times the counts.
        """
        if len(self.terms) == 1:
            return self.terms[0].adjoint(counts)
        pixels = self.shape[1] * self.shape[2]
        total = np.zeros((self.shape[0], pixels), np.result_type(counts, np.float32))
        for term in self.terms:
            total[term.energies] += term.adjoint(counts)
        return total

    def replace(self, *, terms=None, background=None):
        """
        Return a copy with other terms or another background.

        Parameters
        ----------
        terms : list of Term, optional
            New terms of the same shapes.
        background : ndarray (l, m, n), optional
            New background.

        Returns
        -------
        Response
            The copy; it shares what is not replaced.
        """
        copy = object.__new__(Response)
        copy.__dict__.update(self.__dict__)
        if terms is not None:
            copy.terms = terms
        if background is not None:
            copy.background = background
        return copy

    def scaled(self, factor):
        """
        Return the response multiplied by a number; the background stays.

        Parameters
        ----------
        factor : float
            The number.

        Returns
        -------
        Response
            A new response.
        """
        return self.replace(terms=[term.scaled(factor) for term in self.terms])

    def astype(self, dtype):
        """
        Return the response with matrices of another precision.

        Parameters
        ----------
        dtype : dtype
            Such as ``numpy.float32``.

        Returns
        -------
        Response
            A new response; the background keeps its precision.
        """
        return self.replace(terms=[term.astype(dtype) for term in self.terms])
