"""The file of a fused cube: all of it comes back, and the readers of others open it."""

import warnings
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from stdatamodels.jwst import datamodels

from jwst_fusion.datamodels import FusedCubeModel
from jwst_fusion.fusion.options import FusionOptions
from jwst_fusion.products.observations import read_cube, read_image
from jwst_fusion.steps.fusion import FusionStep

WAVE = np.linspace(1.66, 2.30, 33)
FILTERS = ("F182M", "F210M")
HOLE = (slice(38, 42), slice(50, 54))
TABLES = ("filter_table", "component_table", "channel_table", "parameter_table", "software_table")
ARRAYS = ("component_maps", "component_spectra", "residual_images")
EXTENSIONS = {
    "FUSFILTERS",
    "FUSCOMPONENTS",
    "FUSCHANNELS",
    "FUSPARAMETERS",
    "FUSSOFTWARE",
    "FUSMAPS",
    "FUSBASIS",
    "FUSRESIDUALS",
}


@pytest.fixture(scope="module")
def members(products):
    """A mirrored cube, so that every array must be turned back; one image has a hole."""
    scene = products.scene()
    cube = products.cube(scene, WAVE, shape=(13, 14), mirrored=True)
    images = [products.image(scene, name, shape=(80, 84)) for name in FILTERS]
    images[0].data[HOLE] = np.nan
    return [cube, *images]


@pytest.fixture(scope="module")
def made(members, gaussian_psfs, tmp_path_factory):
    """Product in memory and its file."""
    product = FusionStep.call(
        members,
        tuning="manual",
        mu=1e-3,
        rank=4,
        psf_size=1.0,
        margin=0.3,
        resolution="deconvolved",
        **gaussian_psfs,
    )
    path = tmp_path_factory.mktemp("product") / "a_fused_s3d.fits"
    product.save(str(path))
    return product, path


def same(one, two):
    if one.dtype.names:
        return all(same(one[name], two[name]) for name in one.dtype.names)
    if one.dtype.kind in "SU":
        return np.array_equal(one.astype("U"), two.astype("U"))
    return np.array_equal(one, two, equal_nan=one.dtype.kind == "f")


def test_all_of_it_comes_back(made):
    product, path = made
    with FusedCubeModel(str(path)) as model:
        for name in (*TABLES, *ARRAYS, "data", "err", "dq", "weightmap"):
            assert same(getattr(product, name), getattr(model, name)), name
        written, meta = model.meta.fusion.instance, product.meta.fusion.instance
        assert written.keys() == meta.keys()
        for name, value in meta.items():
            expected = pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
            assert written[name] == expected, name
    with fits.open(path) as hdus:
        assert {hdu.name for hdu in hdus} >= EXTENSIONS
        assert "FUSVALID" not in hdus
        for name in ("SCI", "ERR", "WMAP", "FUSMAPS", "FUSRESIDUALS"):
            assert hdus[name].header["BITPIX"] == -32, name
        # Cubeviz takes a file with an image of two axes for one of images
        assert not any(hdu.is_image and hdu.header["NAXIS"] == 2 for hdu in hdus)
        assert hdus["FUSBASIS"].data["values"].shape == product.component_spectra.shape
        assert hdus["FUSCHANNELS"].columns["bias"].unit == "MJy/sr"
        assert hdus["FUSFILTERS"].columns["offset_error"].unit == "arcsec"
        assert hdus["FUSRESIDUALS"].header["BUNIT"] == "MJy/sr"
        hdus.verify("exception")
        assert hdus[0].header["FUSPSNR"] == product.filter_table["psnr"].min()
        assert 0 < hdus[0].header["FUSCHI2C"] < 2


def test_maps_have_the_coordinates_of_the_cube(made):
    _, path = made
    with fits.open(path) as hdus:
        fine = WCS(hdus["SCI"].header, fobj=hdus).celestial
        corner = fine.pixel_to_world(-0.5, -0.5)
        for name in (
            "FUSMAPS",
            "FUSIMAGES",
            "FUSIMGERR",
            "FUSRESIDUALS",
            "FUSCUBERES",
            "FUSBANDMOD",
        ):
            header = hdus[name].header
            assert list(header).count("CTYPE1") == 1
            there = WCS(header).celestial
            assert there.pixel_to_world(-0.5, -0.5).separation(corner).arcsec < 1e-6
            # and the opposite corner, however large the pixels are
            end = (header[f"NAXIS{axis}"] - 0.5 for axis in (1, 2))
            far = fine.pixel_to_world(*(hdus["SCI"].header[f"NAXIS{i}"] - 0.5 for i in (1, 2)))
            assert there.pixel_to_world(*end).separation(far).arcsec < 1e-6


def test_the_file_is_not_much_larger_than_a_cube(made):
    product, path = made
    pixels = product.data.size * 4 * 4  # four extensions of four bytes
    planes = product.component_maps.nbytes + product.residual_images.nbytes
    posterior = product.data.size * 4  # for errors of sums: at most as large as the cube
    # headers, tables, and blocks of small extensions
    assert path.stat().st_size < pixels + planes + posterior + 290_000
    with fits.open(path) as hdus:
        size = sum(hdu.data.nbytes for hdu in hdus if hdu.name.startswith("FUSPOST"))
    assert size < posterior


def test_opens_without_the_plugin_and_loses_nothing_when_saved_again(made, tmp_path):
    product, path = made
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with datamodels.open(str(path)) as model:
            assert type(model) is datamodels.IFUCubeModel
            assert same(model.data, product.data)
            model.save(str(tmp_path / "again_s3d.fits"))
    with FusedCubeModel(str(tmp_path / "again_s3d.fits")) as again:
        for name in (*TABLES, *ARRAYS):
            assert same(getattr(product, name), getattr(again, name)), name


def test_components_make_up_the_cube(made):
    product, _ = made
    table = product.channel_table
    cube = np.tensordot(product.component_spectra.T, product.component_maps, 1)
    cube += table["subspace_mean"][:, None, None]
    good = np.isfinite(product.data)
    np.testing.assert_allclose(product.data[good], cube[good], rtol=2e-4, atol=2e-2)


def test_residuals_lie_where_the_image_has_data(made, members):
    product, _ = made
    hole = np.isnan(product.residual_images)
    assert hole[0].any()
    assert not hole[1].any()
    y, x = np.nonzero(hole[0])
    grid = read_cube(product).grid
    column, row = read_image(members[1]).grid.pixels(grid.sky(x.mean(), y.mean()))
    assert (row, column) == pytest.approx((39.5, 51.5), abs=0.6)


def test_channel_table(made, members):
    product, _ = made
    table = product.channel_table
    assert table["wavelength"] == pytest.approx(WAVE)
    seen = np.isfinite(members[0].data[0])
    assert (table["voxels"] == seen.sum()).all()
    assert table["mean_cube"] == pytest.approx(members[0].data[:, seen].mean(1), rel=1e-5)
    fine = np.kron(seen, np.ones((3, 3), bool))
    assert table["mean_fused"] == pytest.approx(product.data[:, fine].mean(1), rel=1e-5)
    assert table["spectrum_error"] == pytest.approx(table["mean_fused"] / table["mean_cube"] - 1)
    assert table["bias"] == pytest.approx(table["mean_reobserved"] - table["mean_cube"])
    assert np.median(np.abs(table["reobserved_error"])) == product.meta.fusion.reobserved_error
    assert np.median(table["chi2"]) == pytest.approx(product.meta.fusion.chi2_cube)
    assert table["noise"] == pytest.approx(np.full(33, 2.0), rel=0.2)


def test_every_parameter_and_version_is_recorded(made, gaussian_psfs):
    product, _ = made
    rows = product.parameter_table
    values = dict(zip(rows["name"].tolist(), rows["value"].tolist(), strict=True))
    assert list(values) == [one.name for one in fields(FusionOptions)]
    assert values["resolution"] == "deconvolved"
    assert values["mu"] == "0.001"
    assert values["filters"] == "None"
    assert Path(values["psf_cube"]).name == Path(gaussian_psfs["psf_cube"]).name
    versions = product.software_table
    assert "jwst_fusion" in versions["name"].tolist()
    assert all(versions["version"])


def test_offsets_have_errors(made):
    product, _ = made
    error = product.filter_table["offset_error"]
    assert ((error > 0) & (error < 5e-3)).all()
    assert (np.abs(product.filter_table["offset_x"]) < 5 * error + 2e-3).all()


def test_tables_of_astropy(made):
    product, path = made
    channels = Table.read(path, hdu="FUSCHANNELS")
    assert channels["wavelength"].unit == "um"
    assert channels["wavelength"].value == pytest.approx(WAVE)
    filters = Table.read(path, hdu="FUSFILTERS")
    assert filters["filter"].tolist() == list(FILTERS)
    assert filters["psnr"].tolist() == product.filter_table["psnr"].tolist()


def test_specutils(made):
    from specutils import Spectrum

    product, path = made
    spectrum = Spectrum.read(str(path), format="JWST s3d")
    assert spectrum.flux.unit.to_string() == "MJy / sr"
    assert spectrum.spectral_axis.to_value("um") == pytest.approx(WAVE, rel=1e-6)
    assert np.nanmax(spectrum.flux.value) == np.nanmax(product.data)


@pytest.mark.filterwarnings("ignore:COPY_IF_NEEDED")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_spectral_cube(made):
    from spectral_cube import SpectralCube

    product, path = made
    cube = SpectralCube.read(str(path), hdu="SCI")
    assert cube.shape == product.data.shape
    assert cube.spectral_axis.to_value("um") == pytest.approx(WAVE)


def test_extraction_of_a_spectrum_by_jwst(made, tmp_path):
    from jwst.extract_1d.ifu import ifu_extract1d

    product, path = made
    reference = datamodels.Extract1dIFUModel()
    for name in ("description", "reftype", "author"):
        setattr(reference.meta, name, "test")
    reference.meta.pedigree, reference.meta.useafter = "DUMMY", "2022-01-01T00:00:00"
    reference.meta.instrument.name = "NIRSPEC"
    reference.meta.subtract_background = False
    reference.meta.method, reference.meta.subpixels = "exact", 10
    for name in ("radius", "inner_bkg", "outer_bkg"):
        setattr(reference.data, name, np.full(2, 0.3 + 0.1 * len(name), "f4"))
        setattr(reference.data, f"{name}_units", "arcsec")
    reference.data.wavelength = np.array([1.0, 3.0], "f4")
    reference.save(str(tmp_path / "extract1d.asdf"))
    with datamodels.open(str(path)) as model:
        spectra = ifu_extract1d(
            model, str(tmp_path / "extract1d.asdf"), "EXTENDED", False, 3.0, "N/A",
            None, False, False, None, 1.0,
        )  # fmt: skip
    spectrum = spectra.spec[0].spec_table
    assert spectrum["WAVELENGTH"] == pytest.approx(WAVE, rel=1e-6)
    mean = np.nanmean(product.data, (1, 2))
    assert spectrum["SURF_BRIGHT"] == pytest.approx(mean, rel=0.02)
