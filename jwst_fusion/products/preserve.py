"""Keep what the schema of a data model does not know: a product loses nothing of its input."""

from astropy.io import fits

__all__ = ["preserve_extensions", "preserve_keywords"]

_TABLE = "HDRTAB"
_EXTENSIONS = ("PRIMARY", "SCI", "ERR", "DQ", "WMAP")
# The structure of the file itself, which the writer makes anew.
_STRUCTURE = ("SIMPLE", "BITPIX", "EXTEND", "XTENSION", "PCOUNT", "GCOUNT", "EXTNAME", "EXTVER")
_STRUCTURE += ("BSCALE", "BZERO", "CHECKSUM", "DATASUM", "LONGSTRN", "COMMENT", "HISTORY", "")


def preserve_keywords(model, path):
    """
    Add keywords of a file to the model read from it that would be lost on writing.

    Models are read from the ASDF extension. In a file of another version of the pipeline it may
    hold a value under a name that has since changed, or that the schema no longer knows.

    Parameters
    ----------
    model : datamodel
        The model that was read from the file; changed in place.
    path : str or `~pathlib.Path`
        The file.
    """
    known = _paths_of_keywords(model.schema)
    with fits.open(path, memmap=False) as hdus:
        for name in _EXTENSIONS:
            if name not in hdus:
                continue
            cards = [
                card
                for card in hdus[name].header.cards
                if card.keyword not in _STRUCTURE and not card.keyword.startswith("NAXIS")
            ]
            unknown = []
            for card in cards:
                place = known.get((name, card.keyword))
                if place is None:
                    unknown.append([card.keyword, card.value, card.comment])
                elif model[place] is None:
                    model[place] = card.value
            entry = model.instance.get("extra_fits", {}).get(name, {})
            there = {card[0] for card in entry.get("header", [])}
            unknown = [card for card in unknown if card[0] not in there]
            if unknown:
                entry = model.instance.setdefault("extra_fits", {}).setdefault(name, {})
                entry["header"] = [*entry.get("header", []), *unknown]


def preserve_extensions(model):
    """
    Keep the table of the input exposures' headers, which only jwst's blending declares.

    Parameters
    ----------
    model : datamodel
        The model; changed in place.
    """
    table = model.instance.pop("hdrtab", None)
    if table is not None:
        model.instance.setdefault("extra_fits", {}).setdefault(_TABLE, {})["data"] = table


def _paths_of_keywords(schema, path=()):
    """Map (extension, keyword) to the dotted path of the value in the model."""
    found = {}
    keyword = schema.get("fits_keyword")
    if isinstance(keyword, str):
        found[schema.get("fits_hdu", "PRIMARY"), keyword] = ".".join(path)
    for name, part in schema.get("properties", {}).items():
        found |= _paths_of_keywords(part, (*path, name))
    for group in ("allOf", "anyOf"):
        for part in schema.get(group, []):
            found |= _paths_of_keywords(part, path)
    return found
