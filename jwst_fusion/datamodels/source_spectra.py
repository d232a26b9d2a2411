"""Spectra of the point sources of a fused cube, as the pipeline's extracted spectra."""

from stdatamodels.jwst.datamodels import MultiSpecModel

from jwst_fusion.datamodels.integration import SCHEMA_URI_PREFIX
from jwst_fusion.datamodels.whole_file import WholeFile

__all__ = ["SourceSpectraModel"]


class SourceSpectraModel(WholeFile, MultiSpecModel):
    """
    A data model for the spectra of the point sources of a fused cube.

    Everything of `~stdatamodels.jwst.datamodels.MultiSpecModel`, with one spectrum per source.

    Attributes
    ----------
    spec : list of model
        One per source, with ``spec_table`` (columns ``WAVELENGTH``, um; ``FLUX`` and
        ``FLUX_ERROR``, Jy; ``DQ``; others without meaning for a point source are NaN),
        ``source_name``, ``source_ra``, ``source_dec`` and ``extraction_x``, ``extraction_y``, its
        column and row in the fused cube.
    source_table : numpy table
        One row per source: name, sky coordinates (deg), column x and row y in the fused cube and
        their 1-sigma errors (pixels), significance, and whether the position was given.
    covariance_factor : numpy float32 array (source, wavelength, factor)
        F, Jy: spectrum j has the covariance ``diag(FLUX_ERROR**2 - sum(F**2)) + F F^T``.

    Notes
    -----
    On disk ``DATAMODL`` is ``MultiSpecModel``, so that the file opens as spectra where this package
    is not installed. ``SourceSpectraModel(path)`` reads table and covariance as well.
    """

    schema_url = SCHEMA_URI_PREFIX + "source_spectra.schema"
    written_as = MultiSpecModel.__name__
