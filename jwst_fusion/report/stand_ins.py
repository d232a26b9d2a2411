"""Stand-ins for PSFs and filter curves that were not at hand, told beside the verdict."""

from jwst_fusion.report.page import Finding

__all__ = ["check_stand_ins", "with_stand_ins"]

_REMEDY = (
    "What stars show within an arcsecond, and calibration factors, can be off by some per cent. "
    "'jwst-fusion psf fetch' gets the optical models and measured curves of STPSF."
)


def check_stand_ins(product):
    """
    Say which PSFs and filter curves are stand-ins for measured ones.

    Parameters
    ----------
    product : object
        Fused product with ``header`` and ``tables``, the first the primary header.

    Yields
    ------
    Finding
        One caution, if there are any.
    """
    what = []
    if str(product.header.get("FUSPSF", "")) == "aperture":
        what.append("PSFs are those of the built-in aperture model")
    rows = product.tables.get("filters", ())
    nominal = [str(row["filter"]) for row in rows if str(row["throughput"]).startswith("nominal")]
    if nominal:
        what.append(f"filter curves are nominal ({', '.join(nominal)})")
    if what:
        text = " and ".join(what)
        yield Finding("stand_in", "caution", text, _REMEDY, "field")


def with_stand_ins(verdict, findings, product):
    """
    Add stand-ins to what a page says: a good verdict becomes one with a caution.

    Parameters
    ----------
    verdict : tuple of str
        Level and sentence.
    findings : sequence of Finding
        Findings of the page, faults first.
    product : object
        See `check_stand_ins`.

    Returns
    -------
    verdict : tuple of str
        Level and sentence.
    findings : list of Finding
        All of them, faults first.
    """
    found = list(check_stand_ins(product))
    if found and verdict[0] == "good":
        verdict = "caution", f"{verdict[1].rstrip('.')}; but {found[0].title}."
    faults = [one for one in findings if one.level == "fault"]
    return verdict, [*faults, *found, *(one for one in findings if one.level != "fault")]
