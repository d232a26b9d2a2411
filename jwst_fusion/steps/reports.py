"""Save the reports on data models of fused cubes beside where these are saved."""

import logging
from contextlib import ExitStack
from pathlib import Path

from jwst_fusion.products.whole_file import in_memory_file
from jwst_fusion.report.exposures.page import write_exposure_report
from jwst_fusion.report.fused.page import write_fusion_report
from jwst_fusion.report.joined.page import write_joined_report
from jwst_fusion.report.names import report_path

__all__ = ["save_exposure_report", "save_fusion_report", "save_joined_report"]

log = logging.getLogger(__name__)


def save_fusion_report(path, product, cube):
    """
    Save the report on a fused cube.

    Parameters
    ----------
    path : str
        File of the product.
    product : `~jwst_fusion.datamodels.fused_cube.FusedCubeModel`
        The fused cube.
    cube : `~stdatamodels.jwst.datamodels.IFUCubeModel`
        The cube that was fused.
    """
    path = Path(path)
    with in_memory_file(product) as fused, in_memory_file(cube) as before:
        report = write_fusion_report(report_path(path), fused, name=path.name, cube=before)
    log.info("Saved report in %s", report)


def save_exposure_report(path, product):
    """
    Save the report on a cube fused from exposures.

    Parameters
    ----------
    path : str
        File of the product.
    product : `~jwst_fusion.datamodels.fused_cube.FusedCubeModel`
        The fused cube.
    """
    path = Path(path)
    with in_memory_file(product) as fused:
        report = write_exposure_report(report_path(path), fused, name=path.name)
    log.info("Saved report in %s", report)


def save_joined_report(path, product, parts):
    """
    Save the report on a cube joined from several fused ones.

    Parameters
    ----------
    path : str
        File of the product.
    product : `~jwst_fusion.datamodels.fused_cube.FusedCubeModel`
        The joined cube.
    parts : sequence of `~jwst_fusion.datamodels.fused_cube.FusedCubeModel`
        The fused cubes.
    """
    path = Path(path)
    with ExitStack() as stack:
        whole = stack.enter_context(in_memory_file(product))
        known = {str(one.meta.filename): stack.enter_context(in_memory_file(one)) for one in parts}
        report = write_joined_report(report_path(path), whole, name=path.name, parts=known)
    log.info("Saved report in %s", report)
