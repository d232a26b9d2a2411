"""Fuse a case, and say in one form what the result offers: cube, errors of sums, sources."""

import time
from dataclasses import dataclass

import numpy as np

from fusion_benchmark.observer.measures import Estimate
from jwst_fusion.fusion.engine import FusionResult, fuse
from jwst_fusion.fusion.solver.settings import FusionSettings
from jwst_fusion.fusion.sums import error_of

__all__ = ["Fused", "estimate_of", "fuse_case"]


@dataclass(frozen=True)
class Fused:
    """
    A case that was fused.

    Parameters
    ----------
    result : FusionResult
        What `fuse` returned.
    estimate : Estimate
        The same on the field.
    seconds : float
        Of the processor.
    """

    result: FusionResult
    estimate: Estimate
    seconds: float


def fuse_case(case, *, gains=None, **options):
    """
    Fuse the data of a case with default settings, as the step does.

    Parameters
    ----------
    case : Case
        What to fuse.
    gains : {"fixed", "fitted"}, optional
        Believe the gains of the images, or fit them; fitted by default if they may be wrong, in a
        twin.
    **options
        Of `FusionSettings`.

    Returns
    -------
    Fused
    """
    gains = gains or ("fitted" if case.twin else "fixed")
    settings = FusionSettings(gains=gains, **options)
    start = time.process_time()
    result = fuse(case.data, settings)
    return Fused(result, estimate_of(case, result), time.process_time() - start)


def estimate_of(case, result):
    """
    Cut the field out of a result.

    Parameters
    ----------
    case : Case
        With the place of the field.
    result : FusionResult
        Of its data; its posterior and its sources are used if it has them.

    Returns
    -------
    Estimate
    """
    inner = (slice(None), *case.inner)
    shape = result.cube.shape[1:]

    def of_field(mask, weights):
        whole = np.zeros(shape)
        whole[case.inner] = mask
        return error_of(result, whole, weights)

    found = {}
    sources = result.sources
    if sources is not None and len(sources):
        found = {
            "source_x": sources.positions.x - case.inner[1].start,
            "source_y": sources.positions.y - case.inner[0].start,
            "source_flux": sources.flux,
            "source_error": sources.error,
            "source_factor": sources.covariance_factor,
        }
    return Estimate(
        result.cube[inner],
        result.error[inner],
        None if result.posterior is None else of_field,
        **found,
    )
