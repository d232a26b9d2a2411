"""Save the reports on data models of fused cubes beside where these are saved."""

import logging
from contextlib import ExitStack
from pathlib import Path

from jwst_fusion.products.whole_file import in_memory_file
from jwst_fusion.report.exposures.page import exposure_page
from jwst_fusion.report.fused.page import fusion_page
from jwst_fusion.report.fused.product import read_fused, read_fused_exposures, read_input_cube
from jwst_fusion.report.hifred.page import hifred_page
from jwst_fusion.report.hifred.product import read_hifred
from jwst_fusion.report.joined.page import joined_page
from jwst_fusion.report.joined.product import read_joined
from jwst_fusion.report.names import report_path
from jwst_fusion.report.page import write_page

__all__ = [
    "save_exposure_report",
    "save_fusion_report",
    "save_hifred_report",
    "save_joined_report",
]

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
        known = read_fused(fused, path.name)
        page = fusion_page(known, read_input_cube(before, known))
        _write(path, page, product)


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
        page = exposure_page(read_fused_exposures(fused, path.name))
        _write(path, page, product)


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
        page = joined_page(read_joined(whole, path.name, parts=known), folder=path.parent)
        _write(path, page, product)


def save_hifred_report(path, hdus, product, cubes, maps=None):
    """
    Save the report on a cube fused by HIFReD.

    Parameters
    ----------
    path : str
        File of the product.
    hdus : `~astropy.io.fits.HDUList`
        Its extensions.
    product : HifredCubeModel or `~jwst_fusion.products.fits_product.FitsProduct`
        The product.
    cubes : sequence of array
        X and Y on the channels and pixels that were used, NaN where they were not used.
    maps : `~jwst_fusion.hifred.line_maps.LineMaps`, optional
        Maps of the lines that were asked for.
    """
    path = Path(path)
    _write(path, hifred_page(read_hifred(hdus, path.name, cubes=cubes), maps=maps), product)


def _write(path, page, product):
    """Write a page beside the file of its product, which gets the verdict."""
    report = write_page(report_path(path), page)
    product.note_verdict(*page.verdict, report)
    log.info("Saved report in %s: %s", report, page.verdict[1])
