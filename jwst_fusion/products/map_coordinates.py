"""Sky coordinates of the maps that a fused cube has beside its main arrays, for viewers."""

__all__ = ["give_map_coordinates"]

# Extension of each attribute of the fused cube that has its pixels, or the spaxels of its input.
_FINE = {
    "component_maps": "FUSMAPS",
    "observed_images": "FUSIMAGES",
    "image_errors": "FUSIMGERR",
    "residual_images": "FUSRESIDUALS",
}
_COARSE = {
    "cube_residuals": "FUSCUBERES",
    "band_images": "FUSBANDIMG",
    "band_models": "FUSBANDMOD",
    "band_errors": "FUSBANDERR",
}
_HIFRED = {"maps": "HIFMAPS"}


def give_map_coordinates(product):
    """
    Give the maps of a product the sky coordinates of its cube.

    Parameters
    ----------
    product : `~jwst_fusion.datamodels.fused_cube.FusedCubeModel` or HifredCubeModel
        The product, with its sky coordinates; changed in place: its file will have the keywords in
        the headers of the maps (number, y, x).
    """
    _, height, width = product.data.shape
    fusion = product.meta.instance.get("fusion", {})
    for names in (_FINE, _COARSE, _HIFRED):
        factor = fusion.get("factor", 1) if names is _COARSE else 1
        cards = _cards(product.meta.wcsinfo, factor)
        for attribute, extension in names.items():
            if not product.hasattr(attribute):
                continue
            _, rows, columns = getattr(product, attribute).shape
            if (rows * factor, columns * factor) == (height, width):
                place = product.instance.setdefault("extra_fits", {}).setdefault(extension, {})
                place["header"] = [list(card) for card in cards]


def _cards(info, factor):
    """Keywords of maps of pixels that are `factor` times as large, counted from the same corner."""
    cards = [("WCSAXES", 3, "number of World Coordinate System axes")]
    for axis in (1, 2):
        pixel = (getattr(info, f"crpix{axis}") - 0.5) / factor + 0.5
        cards += [
            (f"CTYPE{axis}", getattr(info, f"ctype{axis}"), "coordinate type"),
            (f"CUNIT{axis}", getattr(info, f"cunit{axis}"), "unit"),
            (f"CRPIX{axis}", pixel, "reference pixel"),
            (f"CRVAL{axis}", getattr(info, f"crval{axis}"), "coordinate there"),
            (f"CDELT{axis}", getattr(info, f"cdelt{axis}") * factor, "size of a pixel"),
        ]
        cards += [
            (f"PC{axis}_{other}", getattr(info, f"pc{axis}_{other}"), "rotation")
            for other in (1, 2)
        ]
    cards += [
        ("CTYPE3", "NUMBER", "number of the map"),
        ("CRPIX3", 1.0, "reference map"),
        ("CRVAL3", 1.0, "its number"),
        ("CDELT3", 1.0, "step"),
        ("RADESYS", "ICRS", "coordinate frame"),
    ]
    return cards
