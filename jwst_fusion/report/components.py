"""Show the components of a spectral subspace: their spectra and maps."""

import numpy as np

from jwst_fusion.report.frame import Frame
from jwst_fusion.report.picture import COLOURS, Picture, asinh_stretch, new_figure, sky_panel

__all__ = ["component_pictures", "stacked_spectra"]


def stacked_spectra(spectra, noise, coordinate, label):
    """
    Show spectra of components, one above the other.

    Parameters
    ----------
    spectra : array (component, L)
        Spectrum of each component, in any unit.
    noise : array (L,)
        Noise of each channel, by which the spectra are divided.
    coordinate : array (L,)
        Wavelengths or energies.
    label : str
        Words below them.

    Returns
    -------
    Picture
        One plot, the first component on top.
    """
    figure, axis = new_figure(height=max(1.0, 0.16 * len(spectra) + 0.4))
    for number, spectrum in enumerate(spectra, start=1):
        with np.errstate(invalid="ignore", divide="ignore"):
            shape = spectrum / noise
        shape = shape / max(np.nanpercentile(np.abs(shape), 99), 1e-12)
        colour = COLOURS["fused"] if number % 2 else COLOURS["other"]
        axis.plot(coordinate, 0.45 * np.clip(shape, -1.4, 1.4) - number, color=colour, lw=0.7)
    axis.set_yticks(-np.arange(1, len(spectra) + 1), [str(i + 1) for i in range(len(spectra))])
    axis.set_ylabel("component", fontsize=10)
    axis.set_xlabel(label, fontsize=10)
    return Picture(
        "component_spectra",
        figure,
        "Spectra of the components in units of the noise.",
        "In units of the noise of each channel, scaled to the same height. Components that look "
        "like noise say that there are too many.",
        wide=True,
    )


def component_pictures(product, label="standard deviations of the noise"):
    """
    Show the maps of the components.

    Parameters
    ----------
    product : `~jwst_fusion.report.fused.product.FusedProduct`
        Or another with a field and maps.
    label : str, optional
        Unit of the maps.

    Returns
    -------
    list of Picture
        One map for each component; empty if the product has no maps.
    """
    frame = Frame.of(product)
    pictures = []
    for number, image in enumerate(product.arrays.get("maps", ()), start=1):
        figure = sky_panel(
            image,
            frame,
            title=f"component {number}",
            norm=asinh_stretch(image, low=0.5, high=99.5),
            label=label,
        )
        pictures.append(
            Picture(f"component_{number:02d}", figure, f"Map of spectral component {number}.")
        )
    return pictures
