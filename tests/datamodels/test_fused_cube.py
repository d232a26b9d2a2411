import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from stdatamodels.jwst import datamodels

from jwst_fusion.datamodels import FusedCubeModel, allow_fusion_status
from jwst_fusion.products.cube import cube_product
from jwst_fusion.products.exposure_cube import blended_template
from jwst_fusion.products.fused_cube import flags_of
from jwst_fusion.products.observations import open_cube, read_cube
from jwst_fusion.products.tables import filter_columns

# Headers of jwst give times as MJD, from which astropy makes dates, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:'datfix' made the change")

REAL = ("ch4-short", "ch4-medium", "ch4-long")
# The name and the date of writing must change. jwst spells no other value differently.
WRITTEN_ANEW = ["DATE", "FILENAME"]


def make_template(*, table=False):
    depth, height, width = 6, 5, 4
    rng = np.random.default_rng(5)
    model = datamodels.IFUCubeModel(data=rng.normal(size=(depth, height, width)).astype("f4"))
    model.err = np.full(model.data.shape, 0.5, "f4")
    model.dq = np.zeros(model.data.shape, "u4")
    model.dq[:, 0, 0] = 513
    info = model.meta.wcsinfo
    info.wcsaxes = 3
    values = {
        "crpix": (2.5, 3.0, 1.0),
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
    if table:
        info.ctype3, info.crval3, info.cdelt3 = "WAVE-TAB", 1.0, None
        info.ps3_0, info.ps3_1 = "WCS-TABLE", "wavelength"
        column = np.zeros(1, dtype=[("wavelength", "<f4", (depth, 1))])
        column["wavelength"][0, :, 0] = [2.0, 2.01, 2.03, 2.06, 2.1, 2.15]
        model.wavetable = column
        model.wavedim = f"(1,{depth})"
    info.specsys, info.velosys = "BARYCENT", -26520.99
    times = model.meta.exposure
    times.start_time_mjd, times.mid_time_mjd, times.end_time_mjd = 59764.1, 59764.2, 59764.3
    model.meta.telescope = "JWST"
    model.meta.instrument.name = "NIRSPEC"
    model.meta.exposure.type = "NRS_IFU"
    model.meta.bunit_data = model.meta.bunit_err = "MJy/sr"
    model.meta.target.catalog_name = "SCENE"
    return model


def refined(model, factor=3):
    return read_cube(model).grid.refined(factor)


def make_product(tmp_path, *, channels=slice(None), table=False):
    template = make_template(table=table)
    grid = refined(template)
    depth = len(range(*channels.indices(6)))
    shape = (depth, *grid.shape)
    data = np.arange(np.prod(shape), dtype=float).reshape(shape)
    product = cube_product(
        template,
        data=data,
        err=np.full(shape, 2.0),
        dq=np.zeros(shape, int),
        weightmap=np.full(shape, 3),
        grid=grid,
        channels=channels,
    )
    product.meta.cal_step.fusion = "COMPLETE"
    product.meta.fusion.psf_source = "aperture"
    product.meta.fusion.components = 4
    path = str(tmp_path / "a_fused_s3d.fits")
    product.save(path)
    product.close()
    return path, data, grid


@pytest.fixture(params=[False, True], ids=["linear", "table"])
def product(tmp_path, request):
    return make_product(tmp_path, table=request.param)


def test_opens_as_a_cube_of_jwst_without_a_warning(product):
    path, data, _ = product
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with datamodels.open(path) as model:
            assert type(model) is datamodels.IFUCubeModel
            assert np.array_equal(model.data, data.astype("f4"))
            assert model.meta.bunit_data == model.meta.bunit_err == "MJy/sr"
            assert model.meta.target.catalog_name == "SCENE"
            # (x, y, channel) to RA, Dec, wavelength; the centre of the grid stays where it was
            ra, dec, wave = model.meta.wcs(5.5, 7.0, 0)
    assert (ra, dec, wave) == pytest.approx((10.0, -20.0, 2.0), abs=1e-9)


def test_opens_as_fused_cube_with_provenance(product):
    path, _, _ = product
    with FusedCubeModel(path) as model:
        assert model.meta.cal_step.fusion == "COMPLETE"
        assert model.meta.fusion.psf_source == "aperture"
        assert model.meta.fusion.components == 4
    header = fits.getheader(path)
    assert header["DATAMODL"] == "IFUCubeModel"
    assert header["S_FUSION"] == "COMPLETE"
    assert header["FUSPSF"] == "aperture"


def read_wavelengths(path):
    with datamodels.open(path) as model:
        return read_cube(model).wavelength


def test_opens_in_specutils(product):
    from specutils import Spectrum

    path, data, _ = product
    spectrum = Spectrum.read(path, format="JWST s3d")
    assert spectrum.flux.unit.to_string() == "MJy / sr"
    assert spectrum.spectral_axis.unit.to_string() == "um"
    assert spectrum.spectral_axis.value == pytest.approx(read_wavelengths(path), rel=1e-6)
    assert sorted(spectrum.flux.shape) == sorted(data.shape)
    assert np.nanmax(spectrum.flux.value) == data.max()


@pytest.mark.filterwarnings("ignore:COPY_IF_NEEDED")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_opens_in_spectral_cube(tmp_path):
    from spectral_cube import SpectralCube

    path, data, _ = make_product(tmp_path)
    cube = SpectralCube.read(path, hdu="SCI")
    assert cube.shape == data.shape
    assert cube.unit.to_string() == "MJy / sr"
    assert cube.spectral_axis.to("um").value == pytest.approx(2.0 + 0.01 * np.arange(6))


def test_header_describes_the_fine_grid(product):
    path, _, grid = product
    with fits.open(path) as hdus:
        wcs = WCS(hdus["SCI"].header, fobj=hdus).celestial
        names = [hdu.name for hdu in hdus]
    x, y = np.array([0.0, 11.0, 5.0]), np.array([0.0, 0.0, 14.0])
    assert np.allclose(wcs.wcs_pix2world(x, y, 0), grid.wcs.wcs_pix2world(x, y, 0), atol=1e-11)
    assert names[:5] == ["PRIMARY", "SCI", "ERR", "DQ", "WMAP"]


def test_frames_of_coordinates_and_wavelengths_and_times_are_kept(product):
    header = fits.getheader(product[0], "SCI")
    assert (header["RADESYS"], header["SPECSYS"]) == ("ICRS", "BARYCENT")
    assert header["VELOSYS"] == -26520.99
    assert [header[f"MJD-{name}"] for name in ("BEG", "AVG", "END")] == [59764.1, 59764.2, 59764.3]


def test_of_exposures_the_frame_is_that_of_the_first_and_the_times_are_those_of_all():
    exposures = []
    for number in range(2):
        model = datamodels.IFUImageModel((4, 4))
        model.meta.wcsinfo.specsys, model.meta.wcsinfo.velosys = "BARYCENT", -100.0 + number
        model.meta.exposure.start_time_mjd = 59764.0 + number
        model.meta.exposure.end_time_mjd = 59764.5 + number
        exposures.append(model)
    channels = SimpleNamespace(wavelength=np.array([2.0, 2.1, 2.2]), even=True)
    template = blended_template(exposures, channels)
    info, times = template.meta.wcsinfo, template.meta.exposure
    assert (info.specsys, info.velosys) == ("BARYCENT", -100.0)
    assert (times.start_time_mjd, times.end_time_mjd) == (59764.0, 59765.5)


def test_arrays_without_pixels_are_tables_of_the_file_only(tmp_path):
    product = FusedCubeModel((3, 4, 5))
    spectra = np.arange(6, dtype="f4").reshape(2, 3)
    product.component_spectra, product.source_flux = spectra, np.ones((2, 1))
    for _ in range(2):
        product.joined_posteriors.append({"place": np.arange(6.0).reshape(2, 3)})
    path = str(tmp_path / "a_fused_s3d.fits")
    product.save(path)
    with fits.open(path) as hdus:
        assert hdus["FUSBASIS"].data["values"] == pytest.approx(spectra)
        assert hdus["FUSPARTPLACE", 2].data["values"].shape == (2, 3)
    with FusedCubeModel(path) as again:
        for model in (product, again):
            assert np.array_equal(model.component_spectra, spectra)
            assert model.source_flux.shape == (2, 1)
            assert model.joined_posteriors[1].place[1] == pytest.approx([3, 4, 5])
            assert model.validate() is None
        again.save(path, overwrite=True)
    # files of earlier versions have images
    with fits.open(path) as hdus:
        hdus["FUSBASIS"] = fits.ImageHDU(spectra, name="FUSBASIS")
        hdus.writeto(tmp_path / "old_s3d.fits")
    with FusedCubeModel(str(tmp_path / "old_s3d.fits")) as old:
        assert np.array_equal(old.component_spectra, spectra)


def test_channels_keep_their_wavelengths(tmp_path):
    for table, expected in ((False, [2.02, 2.03, 2.04]), (True, [2.03, 2.06, 2.1])):
        path, _, _ = make_product(tmp_path, channels=slice(2, 5), table=table)
        with datamodels.open(path) as model:
            cube = read_cube(model)
            assert cube.wavelength == pytest.approx(expected, rel=1e-6)
            assert model.meta.wcs(0, 0, 2)[2] == pytest.approx(expected[2], rel=1e-6)


def test_shapes_must_agree():
    template = make_template()
    with pytest.raises(ValueError, match="err has shape"):
        cube_product(template, data=template.data, err=template.err[1:], dq=template.dq)


def test_template_is_not_changed():
    template = make_template()
    before = template.data.copy()
    grid = refined(template)
    shape = (6, *grid.shape)
    cube_product(
        template, data=np.ones(shape), err=np.ones(shape), dq=np.ones(shape, int), grid=grid
    )
    assert np.array_equal(template.data, before)
    assert template.meta.wcsinfo.crpix1 == 2.5
    assert type(template) is datamodels.IFUCubeModel


def test_no_partial_file_stays(tmp_path, monkeypatch):
    product = FusedCubeModel(make_template())
    path = tmp_path / "a_s3d.fits"
    product.save(str(path))
    before = path.read_bytes()

    def full(self, init, *args, **kwargs):
        with open(init, "wb") as stream:
            stream.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datamodels.IFUCubeModel, "to_fits", full)
    with pytest.raises(OSError, match="No space"):
        product.save(str(path))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a_s3d.fits"]


def test_status_keyword_of_other_models(tmp_path):
    model = allow_fusion_status(make_template())
    model.meta.cal_step.fusion = "SKIPPED"
    model.save(str(tmp_path / "a_s3d.fits"))
    assert fits.getval(tmp_path / "a_s3d.fits", "S_FUSION") == "SKIPPED"


def test_flags():
    origin = np.array([0, 1, 2, 3, 4, 5, 8, 10, 12], np.uint8)
    estimated = 2**28
    expected = [513, estimated, estimated, 0, estimated, 0, estimated, estimated, estimated]
    assert flags_of(origin).tolist() == expected


@pytest.mark.parametrize("channel", REAL)
@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_real_cubes_pass_reader_and_writer_unchanged(data_dir, tmp_path, channel):
    path = data_dir / "mrs_s3d_real" / f"ngc7469_Level3_{channel}_s3d.fits.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    cube, model = open_cube(str(path))
    product = cube_product(model, data=cube.data, err=cube.err, dq=model.dq)
    out = tmp_path / "out_s3d.fits"
    product.save(str(out))
    product.close()
    model.close()
    with fits.open(path) as before, fits.open(out) as after:
        assert [hdu.name for hdu in before] == [hdu.name for hdu in after]
        for name in ("SCI", "ERR", "DQ", "WMAP"):
            assert before[name].data.tobytes() == after[name].data.tobytes(), name
        for column in before["HDRTAB"].columns.names:
            first, second = before["HDRTAB"].data[column], after["HDRTAB"].data[column]
            assert np.array_equal(first, second, equal_nan=first.dtype.kind == "f"), column
        for name in ("PRIMARY", "SCI", "ERR", "DQ", "WMAP"):
            first, second = before[name].header, after[name].header
            keys = {key for key in first if key not in (*WRITTEN_ANEW, "", "COMMENT")}
            missing = [key for key in keys if key not in second]
            assert not missing
            assert not {key for key in second if key and key not in first}
            changed = [key for key in keys if first[key] != second[key]]
            assert not changed
        pixels = np.array([[0.0, 0, 0], [12, 14, 100], [24, 3, 500]])
        assert np.array_equal(
            WCS(before["SCI"].header).wcs_pix2world(pixels, 0),
            WCS(after["SCI"].header).wcs_pix2world(pixels, 0),
        )


def test_files_carry_their_own_name(tmp_path):
    model = FusedCubeModel(make_template())
    path = tmp_path / "some_fused_s3d.fits"
    model.save(str(path))
    assert fits.getheader(path)["FILENAME"] == path.name
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_tables_of_earlier_versions_open(tmp_path):
    product = FusedCubeModel((3, 4, 5))
    product.filter_table = np.zeros(2, product.get_dtype("filter_table"))
    later = filter_columns(product)
    assert "likeness" not in product.filter_table.dtype.names
    product.save(str(tmp_path / "old_s3d.fits"))
    with FusedCubeModel(str(tmp_path / "old_s3d.fits")) as old:
        assert len(old.filter_table) == 2
        old.filter_table = np.ones(3, later)
        old.save(str(tmp_path / "new_s3d.fits"))
    with FusedCubeModel(str(tmp_path / "new_s3d.fits")) as new:
        assert np.all(new.filter_table["likeness"] == 1)
