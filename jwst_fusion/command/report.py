"""Command ``jwst-fusion report``: the report on a product that lies on disk."""

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
        description="Write a page (HTML), and its figures as PNG beside it, about a fused cube or "
        "an exposure with a trace model.",
    )
    add = parser.add_argument
    add("product", type=Path, help="fused cube (s3d), or exposure with a trace model")
    add("--output", type=Path, help="page to write (default: beside the product, _report.html)")
    add(
        "--input",
        type=Path,
        metavar="FILE|FOLDER",
        help="what the product was made of: the cube, the exposure, or the folder they lie in "
        "(default: the folder of the product)",
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
        metavar="WAVELENGTH",
        help="line to be mapped [um]; may be repeated (default: the strongest ones)",
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
        fused = "S_FUSION" in hdus[0].header
    if fused:
        _report_fusion(options, output)
    else:
        _report_trace(options, output)
    print(f"{output} written")
    return 0


def _report_fusion(options, output):
    from astropy.io import fits

    from jwst_fusion.report.fused import read_fused
    from jwst_fusion.report.fusion import fusion_page
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


def _read_cube(hdus, product, name, options):
    """Cube that was fused; one that was found but is another is left out, and that is said."""
    from jwst_fusion.report.fused import read_input_cube

    try:
        return read_input_cube(hdus, product, name)
    except ValueError as error:
        if options.input is not None:
            raise
        print(f"{error} Shown is only what is in the product (--input)")
        return None


def _report_trace(options, output):
    from jwst_fusion.report.observation import read_exposure
    from jwst_fusion.report.trace import write_trace_report

    for name in ("position", "line"):
        if getattr(options, name):
            msg = f"--{name} is for fused cubes; {options.product} is none"
            raise ValueError(msg)
    if options.input is not None and not options.input.exists():
        msg = f"--input: {options.input} does not exist"
        raise FileNotFoundError(msg)
    write_trace_report(output, read_exposure(options.product, options.input))


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
