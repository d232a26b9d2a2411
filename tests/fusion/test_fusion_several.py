"""Several cubes with the same images: each is fused, skipped or fails on its own."""

import numpy as np
import pytest
from astropy.io import fits
from jwst.datamodels import ModelContainer

from jwst_fusion.steps.fusion import FusionStep

WAVE = np.linspace(1.66, 2.30, 33)
QUICK = {"tuning": "manual", "mu": 1e-3, "rank": 4, "psf_size": 1.0, "margin": 0.3}


@pytest.fixture
def fuse(gaussian_psfs):
    def run(members, **options):
        return FusionStep.call(members, **{**QUICK, **gaussian_psfs, **options})

    return run


@pytest.fixture
def cubes(products, scene):
    made = [products.cube(scene, WAVE, shape=(13, 14), seed=seed) for seed in range(3)]
    for number, model in enumerate(made):
        model.meta.filename = f"cube{number}_s3d.fits"
    return made


@pytest.fixture
def image(products, scene):
    return products.image(scene, "F210M", shape=(80, 84))


def statuses(result):
    return [model.meta.cal_step.fusion for model in result]


def test_one_bad_cube_does_not_discard_the_others(cubes, image, fuse, caplog):
    cubes[0].meta.bunit_data = "DN/s"
    cubes[1].meta.wcsinfo.ctype1 = None
    before = cubes[0].data.copy()
    result = fuse([*cubes, image])
    assert isinstance(result, ModelContainer)
    assert statuses(result) == ["FAILED", "SKIPPED", "COMPLETE"]
    # when it happens, and in the last lines of the run
    assert caplog.text.count("only MJy/sr and Jy/pixel can be fused") == 2
    assert np.array_equal(result[0].data, before, equal_nan=True)
    names = [model.meta.filename for model in result]
    assert names == [f"cube0_{number:02d}_fused_s3d.fits" for number in (1, 2, 3)]


def test_cube_that_the_parameters_do_not_suit(products, scene, cubes, image, fuse, caplog):
    cubes[1] = products.cube(scene, np.linspace(2.9, 3.4, 33), shape=(13, 14))
    assert statuses(fuse([*cubes, image], wave_max=2.3)) == ["COMPLETE", "FAILED", "COMPLETE"]
    assert caplog.text.count("wave_min and wave_max leave 0") == 2


def test_file_that_cannot_be_read_is_left_out(tmp_path, cubes, image, fuse, caplog):
    names = [tmp_path / model.meta.filename for model in cubes]
    for name, model in zip(names, cubes, strict=True):
        model.save(str(name))
    names[1].write_bytes(names[1].read_bytes()[:100000])
    members = [*(str(name) for name in names), image]
    result = fuse(members, save_results=True, output_dir=str(tmp_path))
    assert statuses(result) == ["COMPLETE", "COMPLETE"]
    assert "cube 2 is left out" in caplog.text
    assert "cube1_s3d.fits cannot be read as a JWST product" in caplog.text
    saved = sorted(tmp_path.glob("*fused*"))
    assert len(saved) == 2
    assert all(fits.getval(path, "S_FUSION") == "COMPLETE" for path in saved)


def test_only_bad_cubes_are_an_error(cubes, image, fuse):
    for cube in cubes:
        cube.meta.bunit_data = "DN/s"
    with pytest.raises(ValueError, match="BUNIT"):
        fuse([*cubes, image])


def test_bad_image_is_an_error(cubes, image, fuse):
    image.meta.bunit_data = "DN/s"
    with pytest.raises(ValueError, match="BUNIT"):
        fuse([*cubes, image])
