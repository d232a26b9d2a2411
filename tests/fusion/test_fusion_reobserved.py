import numpy as np
import pytest
from astropy.io import fits
from specutils import Spectrum
from stdatamodels.jwst import datamodels

from jwst_fusion.bandpass import load_bandpass
from jwst_fusion.products.observations import read_cube, read_image
from jwst_fusion.steps.fusion import FusionStep

WAVE = np.linspace(1.66, 2.30, 33)


@pytest.fixture
def fuse(gaussian_psfs):
    def run(members, **options):
        quick = {"tuning": "manual", "mu": 1e-3, "rank": 4, "psf_size": 1.0, "margin": 0.3}
        return FusionStep.call(
            members, save_reobserved=True, **{**quick, **gaussian_psfs, **options}
        )

    return run


@pytest.fixture
def members(products):
    def make(filters=("F210M",), **options):
        scene = products.scene()
        cube = products.cube(scene, WAVE, shape=(13, 14), **options)
        return [cube, *(products.image(scene, name, shape=(80, 84)) for name in filters)]

    return make


@pytest.mark.parametrize("mirrored", [False, True])
def test_data_are_predicted_where_they_are(tmp_path, products, members, fuse, mirrored):
    given = members(mirrored=mirrored, pa=20.0)
    # a column of spaxels less on one side: the field is not the whole cube
    given[0].data[:, :, :2] = np.nan
    options = {"wave_min": 1.7, "output_file": "mine.fits", "output_dir": str(tmp_path)}
    result = fuse(given, **options)
    names = ["mine_fused_s3d.fits", "mine_reobserved_f210m_i2d.fits", "mine_reobserved_s3d.fits"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    cube = datamodels.open(str(tmp_path / names[2]))
    assert type(cube) is datamodels.IFUCubeModel
    seen = np.isfinite(cube.data)
    used = (WAVE >= 1.7)[:, None, None] & np.isfinite(given[0].data)
    assert not (used & ~seen).any()
    assert not seen[WAVE < 1.7].any()
    assert not seen[:, :, :2].any()
    assert (cube.dq == np.where(seen, 0, 513)).all()
    assert np.std((cube.data - given[0].data)[used]) == pytest.approx(2.0, rel=0.05)
    before, after = read_cube(given[0]), read_cube(cube)
    assert after.wavelength == pytest.approx(before.wavelength)
    assert np.allclose(after.grid.sky(5, 7).ra.deg, before.grid.sky(5, 7).ra.deg, atol=1e-10)
    spectrum = Spectrum.read(str(tmp_path / names[2]), format="JWST s3d")
    assert np.nanmax(spectrum.flux.value) == np.nanmax(cube.data)
    cube.close()
    image = datamodels.open(str(tmp_path / names[1]))
    assert type(image) is datamodels.ImageModel
    assert image.meta.instrument.filter == "F210M"
    assert image.meta.instrument.grating is None
    assert image.meta.bunit_data == "MJy/sr"
    assert image.data.shape == result.data.shape[1:]
    one, fine = read_image(image), read_cube(result).grid
    assert np.allclose(
        one.grid.wcs.wcs_pix2world([[3, 30]], 0), fine.wcs.wcs_pix2world([[3, 30]], 0)
    )
    ra, dec = fine.wcs.wcs_pix2world(3, 30, 0)
    assert image.meta.wcs(3, 30) == pytest.approx((float(ra), float(dec)), abs=1e-9)
    truth = products.scene().image(
        fine.wcs, fine.shape, load_bandpass("F210M"), products.imager_sigma
    )
    good = (result.dq == 0).any(0)
    assert np.std((image.data - truth)[good]) < 3
    image.close()


def test_images_of_one_filter_do_not_overwrite_each_other(tmp_path, members, fuse):
    given = members(filters=("F210M", "F210M", "F182M"))
    given[1].data *= 1.1
    fuse(given, output_dir=str(tmp_path))
    names = sorted(path.name for path in tmp_path.iterdir())
    stem = names[0].split("_reobserved")[0]
    ends = ["f182m_i2d", "f210m-1_i2d", "f210m-2_i2d", "s3d"]
    assert names == [f"{stem}_reobserved_{end}.fits" for end in ends]
    one, two = (fits.getdata(tmp_path / name, "SCI") for name in names[1:3])
    assert np.median(one / two) == pytest.approx(1.1, abs=5e-3), "each in its own scale"
    for name in names:
        assert fits.getheader(tmp_path / name)["FILENAME"] == name


def test_no_partial_file_stays(tmp_path, monkeypatch, members, fuse):
    def full(self, init, *args, **kwargs):
        with open(init, "wb") as stream:
            stream.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datamodels.ImageModel, "to_fits", full)
    with pytest.raises(OSError, match="No space"):
        fuse(members(), output_dir=str(tmp_path), save_results=True)
    assert not list(tmp_path.iterdir())
