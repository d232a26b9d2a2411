"""Reports on the products of a target, and what the page of a campaign shows of them."""

import logging
from contextlib import ExitStack

from astropy.io import fits

from jwst_fusion.report.names import figure_folder, report_path
from jwst_fusion.report.page import write_page

__all__ = ["LEVELS", "product_kind", "report_on"]

log = logging.getLogger(__name__)

#: Levels of verdicts, the worst first.
LEVELS = ("fault", "caution", "good")
_PICTURES = ("_fused", "_mean")  # ends of the names of those that show the product itself
_FACTS = 6  # numbers of a product that the page of a campaign shows


def product_kind(path):
    """
    Say what a file is, from its headers.

    Parameters
    ----------
    path : str or `~pathlib.Path`
        FITS file.

    Returns
    -------
    kind : str
        "fusion", "exposures", "joined", "hifred", "trace", or empty if no step of this package has
        made it.
    status : str
        COMPLETE, SKIPPED or FAILED; empty without a kind.
    """
    with fits.open(path) as hdus:
        header = hdus[0].header
        if "S_HIFRED" in header:
            return "hifred", str(header["S_HIFRED"])
        if "S_FUSION" in header:
            status = str(header["S_FUSION"])
            marks = {"FUSCUBES": "joined", "FUSEXPOSURES": "exposures", "FUSCHANNELS": "fusion"}
            kind = next((kind for name, kind in marks.items() if name in hdus), "")
            # spectra of sources and the like carry the status, too
            return (kind or "fusion", status) if kind or status != "COMPLETE" else ("", "")
        if "S_TRCMOD" in header:
            return "trace", str(header["S_TRCMOD"])
    return "", ""


def report_on(path, kind, inputs):
    """
    Write the report on a product beside it.

    Parameters
    ----------
    path : `~pathlib.Path`
        The product.
    kind : str
        As `product_kind` gives it.
    inputs : sequence of `~pathlib.Path`
        Files that it may have been made of; others are looked for beside it.

    Returns
    -------
    dict
        What `~jwst_fusion.campaign.outcome.Outcome` keeps of a report.

    Raises
    ------
    ValueError
        If the product cannot be reported on.
    """
    with ExitStack() as stack:
        page = _PAGES[kind](path, _Inputs(path.parent, inputs), stack)
        written = write_page(report_path(path), page)
    picture = ""
    if page.summary:
        chosen = (one for one in page.summary if one.name.endswith(_PICTURES))
        name = next(chosen, page.summary[0]).name
        picture = f"{figure_folder(written).name}/{name}.png"
    level, verdict = page.verdict
    return {
        "product": path.name,
        "page": written.name,
        "level": level,
        "verdict": verdict,
        "facts": [[str(name), str(value)] for name, value in page.facts[:_FACTS]],
        "picture": picture,
    }


class _Inputs:
    """Files that a product was made of, by name."""

    def __init__(self, beside, inputs):
        self._beside = beside
        self._given = {path.name: path for path in inputs}
        #: Folder of the first one.
        self.folder = inputs[0].parent if inputs else beside

    def find(self, name):
        path = self._given.get(name, self._beside / name)
        return path if name and path.is_file() else None


def _fusion(path, inputs, stack):
    from jwst_fusion.report.fused.page import fusion_page
    from jwst_fusion.report.fused.product import read_fused, read_input_cube

    hdus = stack.enter_context(fits.open(path))
    product = read_fused(hdus, path.name)
    before, cube = inputs.find(str(hdus[0].header.get("FUSCUBE", ""))), None
    if before is not None:
        cube = read_input_cube(stack.enter_context(fits.open(before)), product, before.name)
    return fusion_page(product, cube)


def _exposures(path, inputs, stack):
    from jwst_fusion.report.exposures.page import exposure_page
    from jwst_fusion.report.fused.product import read_fused_exposures

    return exposure_page(read_fused_exposures(stack.enter_context(fits.open(path)), path.name))


def _joined(path, inputs, stack):
    from jwst_fusion.report.joined.page import joined_page
    from jwst_fusion.report.joined.product import read_joined

    hdus = stack.enter_context(fits.open(path))
    names = list(map(str, hdus["FUSCUBES"].data["filename"]))
    found = {name: inputs.find(name) for name in names}
    parts = {name: stack.enter_context(fits.open(one)) for name, one in found.items() if one}
    return joined_page(read_joined(hdus, path.name, parts=parts), folder=path.parent)


def _hifred(path, inputs, stack):
    from jwst_fusion.report.hifred.cubes import read_hifred_cube
    from jwst_fusion.report.hifred.page import hifred_page
    from jwst_fusion.report.hifred.product import read_hifred

    hdus = stack.enter_context(fits.open(path))
    product = read_hifred(hdus, path.name)
    found = [(inputs.find(side.file), side) for side in product.cubes]
    cubes = tuple(one and read_hifred_cube(one, product, side) for one, side in found)
    return hifred_page(read_hifred(hdus, path.name, cubes=cubes))


def _trace(path, inputs, stack):
    from jwst_fusion.products.traced_exposure import read_traced_exposure
    from jwst_fusion.report.trace.page import trace_page

    return trace_page(read_traced_exposure(path, inputs.folder))


_PAGES = {
    "fusion": _fusion,
    "exposures": _exposures,
    "joined": _joined,
    "hifred": _hifred,
    "trace": _trace,
}
