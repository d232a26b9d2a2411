"""Filter curves and synthetic photometry."""

from jwst_fusion.bandpass.curve import Bandpass
from jwst_fusion.bandpass.load import load_bandpass
from jwst_fusion.bandpass.names import FILTERS, band_of_wheels, filter_name
from jwst_fusion.bandpass.nominal import NIRCAM_FILTERS, nominal_bandpass
from jwst_fusion.bandpass.photometry import (
    MIN_COVERAGE,
    coverage,
    photometry_weights,
    sampling_cells,
)
from jwst_fusion.bandpass.read import read_bandpass
from jwst_fusion.bandpass.symmetric import (
    NIRSPEC_GAPS,
    SYMMETRIC_RANGES,
    SymmetricRange,
    fusable_filters,
)

__all__ = [
    "FILTERS",
    "MIN_COVERAGE",
    "NIRCAM_FILTERS",
    "NIRSPEC_GAPS",
    "SYMMETRIC_RANGES",
    "Bandpass",
    "SymmetricRange",
    "band_of_wheels",
    "coverage",
    "filter_name",
    "fusable_filters",
    "load_bandpass",
    "nominal_bandpass",
    "photometry_weights",
    "read_bandpass",
    "sampling_cells",
]
