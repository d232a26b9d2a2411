"""A fused cube in the tools of others: extract_1d of jwst, astropy, jdaviz."""

import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, NDData, StdDevUncertainty
from astropy.wcs import WCS
from stdatamodels.jwst import datamodels

from jwst_fusion.datamodels import FusedCubeModel
from jwst_fusion.products.cube import cube_product
from jwst_fusion.products.observations import read_cube
from jwst_fusion.simulation.extraction import write_extraction_parameters

DEPTH, HEIGHT, WIDTH, FACTOR = 7, 12, 14, 2


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    """A fused cube of a flat field of 3 MJy/sr with one bad voxel, as a file."""
    model = datamodels.IFUCubeModel(data=np.ones((DEPTH, HEIGHT, WIDTH), "f4"))
    info = model.meta.wcsinfo
    info.wcsaxes = 3
    values = {
        "crpix": (WIDTH / 2 + 0.5, HEIGHT / 2 + 0.5, 1.0),
        "crval": (10.0, -20.0, 2.0),
        "cdelt": (0.1 / 3600, 0.1 / 3600, 0.01),
        "ctype": ("RA---TAN", "DEC--TAN", "WAVE"),
        "cunit": ("deg", "deg", "um"),
    }
    for key, three in values.items():
        for axis, value in enumerate(three, 1):
            setattr(info, f"{key}{axis}", value)
    for i in range(1, 4):
        for j in range(1, 4):
            setattr(info, f"pc{i}_{j}", float(i == j) * (-1 if i == 1 else 1))
    meta = model.meta
    meta.telescope, meta.instrument.name, meta.exposure.type = "JWST", "NIRSPEC", "NRS_IFU"
    meta.instrument.grating, meta.instrument.filter = "G235H", "F170LP"
    meta.instrument.detector = "NRS1"
    meta.target.source_type, meta.target.ra, meta.target.dec = "EXTENDED", 10.0, -20.0
    meta.bunit_data = meta.bunit_err = "MJy/sr"
    meta.photometry.pixelarea_arcsecsq = 0.01
    meta.photometry.pixelarea_steradians = 0.01 * np.deg2rad(1 / 3600) ** 2
    grid = read_cube(model).grid.refined(FACTOR)
    shape = (DEPTH, *grid.shape)
    dq = np.zeros(shape, int)
    dq[2, 3, 4] = 513
    data = np.full(shape, 3.0)
    data[dq > 0] = np.nan
    # as the fusion writes it: nothing constrains a voxel without data
    origin = np.where(dq > 0, 0, 3)
    result = cube_product(
        model, data=data, err=np.full(shape, 0.25), dq=dq, weightmap=origin, grid=grid
    )
    result.meta.cal_step.fusion = "COMPLETE"
    path = str(tmp_path_factory.mktemp("eco") / "a_fused_s3d.fits")
    result.save(path)
    result.close()
    return path


@pytest.mark.parametrize("model", [FusedCubeModel, datamodels.IFUCubeModel])
@pytest.mark.filterwarnings("ignore:Input data contains invalid values")
def test_extract_1d_of_jwst(product, tmp_path, offline_crds, model):
    from jwst.extract_1d import Extract1dStep

    overrides = {f"override_{kind}": "N/A" for kind in Extract1dStep.reference_file_types}
    overrides["override_extract1d"] = write_extraction_parameters(tmp_path / "e.asdf")
    with model(product) as cube:
        result = Extract1dStep.call(cube, save_results=False, **overrides)
    table = result.spec[0].spec_table
    assert result.meta.cal_step.extract_1d == "COMPLETE"
    assert table["WAVELENGTH"] == pytest.approx(2.0 + 0.01 * np.arange(DEPTH))
    # the whole field of an extended source: its brightness, and its area times the brightness
    assert table["SURF_BRIGHT"] == pytest.approx(3.0, rel=1e-5)
    area = FACTOR**2 * HEIGHT * WIDTH * (0.1 / FACTOR) ** 2 * np.deg2rad(1 / 3600) ** 2
    expected = np.full(DEPTH, 3e6 * area)
    expected[2] *= 1 - 1 / (FACTOR**2 * HEIGHT * WIDTH)
    assert table["FLUX"] == pytest.approx(expected, rel=1e-4)


def test_model_blender_takes_the_metadata(product):
    from jwst.model_blender import ModelBlender

    blender = ModelBlender()
    with FusedCubeModel(product) as one, FusedCubeModel(product) as other:
        blender.accumulate(one)
        blender.accumulate(other)
        result = datamodels.IFUCubeModel()
        blender.finalize_model(result)
    assert result.meta.instrument.grating == "G235H"
    assert len(result.hdrtab) == 2


# astropy before 8 says so of every wavelength on its way back to pixels
@pytest.mark.filterwarnings("ignore:No observer defined on WCS")
def test_astropy_reads_arrays_units_and_coordinates(product):
    with fits.open(product) as hdus:
        wcs = WCS(hdus["SCI"].header)
        unit = u.Unit(hdus["SCI"].header["BUNIT"])
        cube = NDData(
            hdus["SCI"].data,
            uncertainty=StdDevUncertainty(hdus["ERR"].data, unit=unit),
            mask=hdus["DQ"].data > 0,
            unit=unit,
            wcs=wcs,
        )
        header = hdus["SCI"].header
        # what ds9 and others need to draw axes and read positions
        for axis, kind in enumerate(("RA---TAN", "DEC--TAN", "WAVE"), 1):
            assert header[f"CTYPE{axis}"] == kind
            assert header[f"CUNIT{axis}"]
            assert {f"CRPIX{axis}", f"CRVAL{axis}", f"CDELT{axis}"} <= set(header)
    assert cube.unit == u.MJy / u.sr
    assert cube.mask.sum() == 1
    sky, wave = wcs.pixel_to_world(0, 0, 3)
    assert wave.to_value(u.um) == pytest.approx(2.03)
    x, y, channel = wcs.world_to_pixel(sky, wave)
    assert (x, y, channel) == pytest.approx((0, 0, 3), abs=1e-6)
    # a plane with its errors, by arithmetic that carries them on
    plane = CCDData(
        cube.data[0], uncertainty=StdDevUncertainty(cube.uncertainty.array[0]), unit=unit
    )
    total = plane.add(plane)
    assert total.uncertainty.array == pytest.approx(0.25 * np.sqrt(2))


def test_no_image_beside_the_cube(product):
    """Cubeviz asks what a file is for that has a cube and images of two axes."""
    with fits.open(product) as hdus:
        assert {hdu.header["NAXIS"] for hdu in hdus if hdu.is_image} <= {0, 1, 3}


def test_cubeviz_loads_flux_uncertainty_and_mask(product):
    """In an environment of its own, which `make test-cubeviz` makes."""
    jdaviz = pytest.importorskip("jdaviz", reason="jdaviz is not installed: extra [cubeviz]")
    with warnings.catch_warnings():
        # jdaviz and its hundred packages warn of what others have yet to change
        warnings.simplefilter("ignore")
        viz = jdaviz.Cubeviz()
        viz.load(product)
        labels = viz.app.data_collection.labels
        (name,) = [label for label in labels if f"{label} [UNC]" in labels]
        flux = viz.get_data(name)
        error, mask = (viz.get_data(f"{name} [{kind}]") for kind in ("UNC", "MASK"))
        summed = viz.get_data(f"{name} (sum)")
    values = np.asarray(flux.flux.value)
    assert flux.flux.unit.is_equivalent(u.MJy / u.sr) or flux.flux.unit == u.MJy / u.pix**2
    assert sorted(values.shape) == sorted((DEPTH, FACTOR * HEIGHT, FACTOR * WIDTH))
    assert np.nanmax(np.abs(values - np.nanmean(values))) < 1e-5
    assert np.asarray(error.flux.value) == pytest.approx(np.nanmean(values) * 0.25 / 3.0)
    assert (np.asarray(mask.flux.value) > 0).sum() == 1
    assert summed.spectral_axis.to_value(u.um) == pytest.approx(2.0 + 0.01 * np.arange(DEPTH))
