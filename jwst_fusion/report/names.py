"""Names of reports beside the products that they are about."""

from pathlib import Path

__all__ = ["figure_folder", "report_path"]


def report_path(product):
    """
    Name the report of a product.

    Parameters
    ----------
    product : str or `~pathlib.Path`
        File of the product, such as ``x_fused_s3d.fits``.

    Returns
    -------
    `~pathlib.Path`
        The page beside it: ``x_fused_report.html``.
    """
    product = Path(product)
    stem = product.name.removesuffix(".gz").removesuffix(".fits").removesuffix("_s3d")
    return product.with_name(f"{stem}_report.html")


def figure_folder(report):
    """
    Name the folder for the figures of a report.

    Parameters
    ----------
    report : str or `~pathlib.Path`
        The page, such as ``x_report.html``.

    Returns
    -------
    `~pathlib.Path`
        The folder beside it: ``x_report``.
    """
    return Path(report).with_suffix("")
