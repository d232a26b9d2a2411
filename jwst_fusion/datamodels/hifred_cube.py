"""The product of the HIFReD step for JWST cubes: an IFU cube that also says how it was made."""

from stdatamodels.jwst.datamodels import IFUCubeModel

from jwst_fusion.datamodels.integration import SCHEMA_URI_PREFIX
from jwst_fusion.datamodels.notebook_view import NotebookView
from jwst_fusion.datamodels.whole_file import WholeFile

__all__ = ["HifredCubeModel", "allow_hifred_status"]

_STATUS = {
    "title": "Fusion of two hyperspectral cubes",
    "type": "string",
    "enum": ["SKIPPED", "COMPLETE", "FAILED"],
    "fits_keyword": "S_HIFRED",
}


class HifredCubeModel(NotebookView, WholeFile, IFUCubeModel):
    """
    A data model for cubes fused from two IFU cubes.

    Everything of `~stdatamodels.jwst.datamodels.IFUCubeModel`, with the provenance of the fusion
    in ``meta.hifred`` and in tables.

    Attributes
    ----------
    data : numpy float32 array (wavelength, y, x)
        Surface brightness on the spaxels of the sharper cube and the channels of the other.
    err : numpy float32 array (wavelength, y, x)
        Standard deviation.
    dq : numpy uint32 array (wavelength, y, x)
        Data quality: FLUX_ESTIMATED where one of the cubes has no data, DO_NOT_USE and NON_SCIENCE
        where none has.
    model_x, model_y : numpy float32 array (wavelength, y, x)
        What either cube shows of the result, on the voxels that were used.
    images_x, models_x, sigmas_x, pixels_x : numpy float32 array
        The sharper cube in the bands of ``bands_table``, what is expected there, errors, and how
        each pixel agrees; those with ``_y`` likewise. See
        `~jwst_fusion.hifred.agreement.Residuals`.
    line_fits_x, line_fits_y : numpy float32 array (5, y, x)
        What the lines of each pixel have beyond expectation, see
        `~jwst_fusion.hifred.agreement.LINE_FITS`.
    owner : numpy int32 array (y, x)
        Number of the pixel of Y in which each spaxel lies.
    channels_x_table, channels_y_table : numpy table
        Channels, rising in wavelength, against what is expected.
    spectra, maps : numpy float32 array (component, wavelength), (component, y, x)
        Components of low-rank regularisations.
    posterior_samples : numpy int16 array (sample, component, y, x)
        Deviations of the maps drawn from the posterior and, last, what the penalty takes away,
        in units of ``posterior_scales``, numpy float32 array (sample, component). For errors of
        sums: `jwst_fusion.hifred.error_of`.
    posterior_spectra, posterior_maps : numpy float32 array
        Components that they are deviations of: (component, wavelength) and (component, y, x).
    posterior_noise : numpy float32 array (wavelength)
        Noise of each channel, in the unit of ``data``, which the spectra have in proportion to
        the square root of ``posterior_inverse``, numpy float64 array (component, component).
    posterior_pulls : numpy float32 array (2, component, channel)
        How the maps follow signal outside the subspace, if it is smooth and if it is sharp.
    posterior_outside : numpy float32 array (5)
        Signal outside the subspace: rms in units of ``data`` and of its derivative, contrast,
        lengths in spaxels and in channels.
    history_table : numpy table
        Objective, accuracy and seconds after each iteration.
    components_table, tuning_table, note_table : numpy table
        Size of the components, strengths that were tried, what was assumed.
    parameter_table, software_table : numpy table
        Names and values of the parameters, names and versions of the software.

    Notes
    -----
    On disk ``DATAMODL`` is ``IFUCubeModel``, so that the file opens as a cube where this package
    is not installed. ``HifredCubeModel(path)`` reads the provenance as well.
    """

    schema_url = SCHEMA_URI_PREFIX + "hifred_cube.schema"
    written_as = IFUCubeModel.__name__
    provenance = "hifred"


def allow_hifred_status(model):
    """
    Let a model of jwst carry the status of the HIFReD step in keyword ``S_HIFRED``.

    Parameters
    ----------
    model : `~stdatamodels.jwst.datamodels.JwstDataModel`
        The model, changed in place.

    Returns
    -------
    `~stdatamodels.jwst.datamodels.JwstDataModel`
        The same model.
    """
    if not isinstance(model, HifredCubeModel):
        schema = {"hifred": _STATUS}
        for name in ("cal_step", "meta"):
            schema = {name: {"type": "object", "properties": schema}}
        model.extend_schema({"type": "object", "properties": schema})
    return model
