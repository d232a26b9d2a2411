"""Command ``jwst-fusion report``: the report on a saved product."""

from contextlib import ExitStack
from pathlib import Path

__all__ = ["add_parser"]


def add_parser(subparsers):
    """
    Add the command to a command line.

    Parameters
    ----------
    subparsers : object
        What `argparse.ArgumentParser.add_subparsers` returned.
    """
    parser = subparsers.add_parser(
        "report",
        help="write a page that tells whether to trust a product",
        description="Write a page (HTML), and its figures as PNG beside it, about a fused cube, "
        "a cube joined from several, a product of HIFReD, or an exposure with a trace model.",
    )
    add = parser.add_argument
    add(
        "product",
        type=Path,
        help="fused cube (s3d or hifred), or exposure with a trace model",
    )
    add("--output", type=Path, help="page to write (default: beside the product, _report.html)")
    add(
        "--input",
        type=Path,
        metavar="FILE|FOLDER",
        help="what the product was made of: the cube, the exposure, or the folder they lie in; for "
        "hifred and joined cubes the folder (default: the folder of the product)",
    )
    add(
        "--position",
        type=_pair,
        action="append",
        default=[],
        metavar="X,Y",
        help="pixel of the fused cube whose spectrum is shown, from 0; may be repeated",
    )
    add(
        "--line",
        type=float,
        action="append",
        default=[],
        metavar="LINE",
        help="line to be mapped: wavelength [um], of counts energy [keV]; may be repeated "
        "(default: the strongest ones)",
    )
    parser.set_defaults(run=_run)


def _pair(text):
    x, y = (float(part) for part in text.split(","))
    return x, y


def _run(options):
    from astropy.io import fits

    from jwst_fusion.report.names import report_path

    product = options.product
    if not product.is_file():
        msg = f"{product} does not exist"
        raise FileNotFoundError(msg)
    output = options.output or report_path(product)
    if output.suffix.lower() not in (".html", ".htm"):
        msg = f"--output is {output}: the name of a page ends in .html"
        raise ValueError(msg)
    with fits.open(product) as hdus:
        header = hdus[0].header
        kind = "trace"
        if "S_HIFRED" in header:
            kind = "hifred"
        elif "S_FUSION" in header:
            kind = "joined" if "FUSCUBES" in hdus else "fusion"
            kind = "exposures" if "FUSEXPOSURES" in hdus else kind
        elif header.get("S_TRCMOD") != "COMPLETE":
            _refuse(product, header)
    kinds = {"hifred": _report_hifred, "joined": _report_joined, "fusion": _report_fusion}
    kinds["exposures"] = _report_exposures
    kinds.get(kind, _report_trace)(options, output)
    print(f"{output} written")
    return 0


# Products of the pipeline by their data models.
_NAMED = {
    "IFUCubeModel": "a cube (s3d) that is not fused",
    "ImageModel": "an image (i2d)",
    "MultiSpecModel": "extracted spectra (x1d)",
    "MRSMultiSpecModel": "extracted spectra (x1d)",
    "IFUImageModel": "an exposure without a trace model",
}


def _refuse(product, header):
    """Say what a file is on which there is nothing to report."""
    model = str(header.get("DATAMODL", ""))
    what = _NAMED.get(model, f"a {model}" if model else "not a JWST product")
    if model in ("SlitModel", "MultiSlitModel"):
        rectified = header.get("S_RESAMP") == "COMPLETE"
        what = "a rectified spectrum (s2d)" if rectified else "spectra without a trace model"
    msg = (
        f"{product} is {what}: reports are on fused cubes, products of hifred and exposures with "
        "a trace model (S_TRCMOD = COMPLETE)"
    )
    raise ValueError(msg)


def _report_fusion(options, output):
    from astropy.io import fits

    from jwst_fusion.report.fused.page import fusion_page
    from jwst_fusion.report.fused.product import read_fused
    from jwst_fusion.report.page import write_page

    with ExitStack() as stack:
        hdus = stack.enter_context(fits.open(options.product))
        product = read_fused(hdus, options.product.name)
        path = _find(options, str(hdus[0].header.get("FUSCUBE", "")))
        cube = None
        if path is not None:
            cube = _read_cube(stack.enter_context(fits.open(path)), product, path.name, options)
        page = fusion_page(product, cube, positions=options.position, lines=options.line)
        write_page(output, page)


def _report_exposures(options, output):
    from astropy.io import fits

    from jwst_fusion.report.exposures.page import write_exposure_report

    with fits.open(options.product) as hdus:
        write_exposure_report(
            output,
            hdus,
            name=options.product.name,
            positions=options.position,
            lines=options.line,
        )


def _read_cube(hdus, product, name, options):
    """Cube that was fused; one that was found but is another is left out, and that is said."""
    from jwst_fusion.report.fused.product import read_input_cube

    try:
        return read_input_cube(hdus, product, name)
    except ValueError as error:
        if options.input is not None:
            raise
        print(f"{error} Shown is only what is in the product (--input)")
        return None


def _folder(options):
    """Folder with what a product was made of."""
    given = options.input
    if given is None:
        return options.product.parent
    if not given.is_dir():
        msg = f"--input: {given} is not a folder, as needed for a product that was made of several"
        raise (
            ValueError(msg)
            if given.exists()
            else FileNotFoundError(f"--input: {given} does not exist")
        )
    return given


def _report_hifred(options, output):
    from astropy.io import fits

    from jwst_fusion.report.hifred.page import hifred_page
    from jwst_fusion.report.hifred.product import read_hifred
    from jwst_fusion.report.page import write_page

    folder = _folder(options)
    with fits.open(options.product) as hdus:
        product = read_hifred(hdus, options.product.name)
        cubes = tuple(_read_side(folder, product, side, options) for side in product.cubes)
        product = read_hifred(hdus, options.product.name, cubes=cubes)
        page = hifred_page(product, positions=options.position, lines=options.line)
        write_page(output, page)


def _read_side(folder, product, side, options):
    """One of two cubes that were fused, or None if it is not there."""
    from jwst_fusion.report.hifred.cubes import read_hifred_cube

    path = folder / side.file
    if not path.is_file():
        if options.input is not None:
            msg = f"--input: {side.file} is not in {options.input}"
            raise FileNotFoundError(msg)
        print(f"{side.file} is not beside the product (--input): shown is only what is in it")
        return None
    try:
        return read_hifred_cube(path, product, side)
    except ValueError as error:
        if options.input is not None:
            raise
        print(f"{error} Shown is only what is in the product (--input)")
        return None


def _report_joined(options, output):
    from astropy.io import fits

    from jwst_fusion.report.joined.page import write_joined_report

    folder = _folder(options)
    with ExitStack() as stack:
        hdus = stack.enter_context(fits.open(options.product))
        parts = {}
        for name in map(str, hdus["FUSCUBES"].data["filename"]):
            path = folder / name
            if path.is_file():
                part = stack.enter_context(fits.open(path))
                if _is_fused(part, name, options):
                    parts[name] = part
            elif options.input is not None:
                msg = f"--input: {name} is not in {folder}"
                raise FileNotFoundError(msg)
            else:
                print(f"{name} is not beside the product (--input): its verdict is not known")
        write_joined_report(
            output,
            hdus,
            name=options.product.name,
            parts=parts,
            positions=options.position,
            lines=options.line,
        )


def _is_fused(hdus, name, options):
    """Whether a report can be made on a part; an error if it was asked for."""
    from jwst_fusion.report.fused.product import read_fused

    try:
        read_fused(hdus, name)
    except ValueError as error:
        if options.input is not None:
            raise
        print(f"{error} Its verdict is not known")
        return False
    return True


def _report_trace(options, output):
    from jwst_fusion.products.traced_exposure import read_traced_exposure
    from jwst_fusion.report.trace.page import write_trace_report

    for name in ("position", "line"):
        if getattr(options, name):
            msg = f"--{name} is for fused cubes; {options.product} is none"
            raise ValueError(msg)
    if options.input is not None and not options.input.exists():
        msg = f"--input: {options.input} does not exist"
        raise FileNotFoundError(msg)
    write_trace_report(output, read_traced_exposure(options.product, options.input))


def _find(options, name):
    """File that the product was made of, if it is there; an error if it was asked for."""
    given = options.input
    if given is not None and not given.exists():
        msg = f"--input: {given} does not exist"
        raise FileNotFoundError(msg)
    if given is not None and given.is_file():
        return given
    path = (given or options.product.parent) / name
    if name and path.is_file():
        return path
    if given is not None:
        msg = f"--input: {name or 'the input'} is not in {given}"
        raise FileNotFoundError(msg)
    print(f"{name or 'The input'} is not beside the product (--input): shown is only what is in it")
    return None
