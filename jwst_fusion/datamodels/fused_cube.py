"""The product of the fusion step: a JWST IFU cube that also says how it was made."""

from stdatamodels.jwst.datamodels import IFUCubeModel

from jwst_fusion.datamodels.integration import SCHEMA_URI_PREFIX
from jwst_fusion.datamodels.notebook_view import NotebookView
from jwst_fusion.datamodels.whole_file import WholeFile

__all__ = ["FusedCubeModel", "allow_fusion_status"]

_STATUS_SCHEMA = {
    "type": "object",
    "properties": {
        "meta": {
            "type": "object",
            "properties": {
                "cal_step": {
                    "type": "object",
                    "properties": {
                        "fusion": {
                            "title": "Imager-Spectrograph Fusion",
                            "type": "string",
                            "enum": ["SKIPPED", "COMPLETE", "FAILED"],
                            "fits_keyword": "S_FUSION",
                        }
                    },
                }
            },
        }
    },
}


class FusedCubeModel(NotebookView, WholeFile, IFUCubeModel):
    """
    A data model for cubes fused from images and an IFU cube.

    Everything of `~stdatamodels.jwst.datamodels.IFUCubeModel`, with the provenance of the fusion
    in ``meta.fusion``, in tables and in arrays.

    Attributes
    ----------
    data : numpy float32 array (wavelength, y, x)
        Surface brightness at the angular resolution of the imager.
    err : numpy float32 array (wavelength, y, x)
        Posterior standard deviation.
    dq : numpy uint32 array (wavelength, y, x)
        Data quality: FLUX_ESTIMATED where the cube did not measure a voxel or no image has its
        pixel, so that the spectral subspace or the prior give the value; DO_NOT_USE and NON_SCIENCE
        where nothing constrains it.
    weightmap : numpy float32 array (wavelength, y, x)
        What constrains each voxel, as a sum of 1 (the cube measured it) or 8 (the cube measured
        other channels of the spaxel: through the spectral subspace), and 2 (an image whose filter
        covers the wavelength) or 4 (images of other filters, through the subspace).
    wavetable : numpy table
        Wavelength of each channel.
    filter_table : numpy table
        One row per image: file, throughput, calibration factor, offset measured and applied
        (arcsec, x and y of this array), their errors, and the agreement of the re-observed cube.
    channel_table : numpy table
        One row per channel: wavelength (um), noise and mean of the subspace (MJy/sr), mean spectra
        and the agreement of the re-observed cube.
    exposure_table : numpy table
        Of a fusion from exposures, one row per exposure (of MIRI, per channel): file, detector,
        grating or band, roll (deg), noise over stated errors, chi-square, pixels used and left out
        as outliers, the offset that was fitted (arcsec, x and y of this array) with its errors,
        brightness over that of the first one and level beyond it (MJy/sr) with their errors, and
        the Gaussian by which the PSF was widened (FWHM, arcsec, negative if narrower).
    component_table : numpy table
        One row per spectral component: eigenvalue, explained variance, weight and exponent of
        the prior.
    left_out_table : numpy table
        One row per image that was left out of a fusion and predicted by it.
    tuning_table : numpy table
        One row per step by which the hyperparameters were found: which iteration, largest change
        (logarithm), noise scales, and smallest, median and largest regularisation.
    message_table : numpy table
        Warnings that the step logged: module that gave it, what it is
        about (``no_errors`` or nothing), text.
    cube_table : numpy table
        Of a joined cube, one row per fused cube that it consists of: file, grating, wavelengths
        (um), brightness over that of the one before it where they overlap, and whether it was
        resampled.
    joined_posteriors : list
        Of a joined cube, what each of these keeps for errors of sums, with its wavelengths (um),
        its place in this array, and its weight in each channel: see
        `jwst_fusion.fusion.joined_posterior.JoinedPart`.
    parameter_table, software_table : numpy table
        Names and values of the parameters, names and versions of the software.
    source_table : numpy table
        One row per point source in the field: name, sky coordinates (deg), column x and row y of
        this array and their 1-sigma errors (pixels), significance, and whether it was given.
    source_flux, source_error : numpy float64 array (source, wavelength)
        Spectra of the point sources, which are part of ``data``, and their errors, Jy.
    source_covariance : numpy float32 array (source, wavelength, factor)
        F, Jy: spectrum j has the covariance ``diag(source_error**2 - sum(F**2)) + F F^T``.
    component_maps : numpy float32 array (component, y, x)
        Maps of the components, not convolved with a PSF.
    component_spectra : numpy float32 array (component, wavelength)
        Spectra of the components, MJy/sr.
    observed_images, image_errors : numpy float32 array (image, y, x)
        Images on the grid of the cube, and their errors as given, MJy/sr; NaN where there are no
        data or they were not used.
    filter_responses : numpy float32 array (image, wavelength)
        Weights of the channels in each filter; each row sums to 1.
    cube_residuals : numpy float32 array (image, h, w)
        Cube minus the fused cube seen by its spectrometer, both in the band of each filter, over
        the error, in spaxels; NaN where there are no data.
    band_images, band_models, band_errors : numpy float32 array (band, h, w)
        Cube, fused cube seen by its spectrometer, and errors of the cube as given, MJy/sr, in
        spaxels; NaN where there are no data. Bands are those of the images; then the mean over
        channels without lines; last the mean over the strongest lines of their brightness above
        the continuum beside them, 0 if no line stands out.
    residual_images : numpy float32 array (image, y, x)
        Images minus the cube seen through their filters, MJy/sr; NaN where there are no data.

    Notes
    -----
    On disk ``DATAMODL`` is ``IFUCubeModel``, so that the file opens as a cube where this package
    is not installed. ``FusedCubeModel(path)`` reads the provenance as well.
    """

    schema_url = SCHEMA_URI_PREFIX + "fused_cube.schema"
    written_as = IFUCubeModel.__name__
    listed = "joined_posteriors"


def allow_fusion_status(model):
    """
    Let a model of jwst carry the status of the fusion step in keyword ``S_FUSION``.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.JwstDataModel`
        The model, changed in place.

    Returns
    -------
    `~stdatamodels.jwst.datamodels.JwstDataModel`
        The same model.
    """
    if not isinstance(model, FusedCubeModel):
        model.extend_schema(_STATUS_SCHEMA)
    return model
