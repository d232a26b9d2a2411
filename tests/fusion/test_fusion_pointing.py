"""Headers of cube and images that do not agree: one offset and rotation is found and taken out."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy import units as u
from scipy.ndimage import affine_transform, gaussian_filter

from jwst_fusion.fusion.observed.alignment import Shared
from jwst_fusion.fusion.observed.rotation import image_motion
from jwst_fusion.fusion.observed.sky import SkyGrid
from jwst_fusion.products.observations import read_cube
from jwst_fusion.report.fused.image_checks import check_offsets

WAVE = np.linspace(1.66, 2.30, 33)
FILTERS = ("F182M", "F210M")
EAST, NORTH, ROLL = 0.2, -0.15, 0.3  # by which headers of images are wrong: arcsec, degrees
SHAPE, SCALE, PA = (150, 154), 0.0312, 25.0


@pytest.fixture
def misplaced(products, scene):
    """Cube and images whose headers are all wrong by the same offset and roll."""

    def make(*, offset=(EAST, NORTH), roll=ROLL, names=FILTERS, noise=(2.0, 1.0), **options):
        members = [products.cube(scene, WAVE, shape=(15, 16), noise=noise[0], **options)]
        for name in names:
            image = products.image(scene, name, shape=SHAPE, scale=SCALE, pa=PA, noise=noise[1])
            info = image.meta.wcsinfo
            pc = products.wcs(SHAPE, SCALE, PA + roll).wcs.pc
            for row in (1, 2):
                for column in (1, 2):
                    setattr(info, f"pc{row}_{column}", float(pc[row - 1, column - 1]))
            info.crval1 += offset[0] / 3600 / np.cos(np.deg2rad(scene.dec))
            info.crval2 += offset[1] / 3600
            members.append(image)
        return members

    return make


def expected_offset(cube):
    """Offset of the images along x and y of the cube, arcsec."""
    grid = read_cube(cube).grid
    sky = grid.centre.spherical_offsets_by(EAST * u.arcsec, NORTH * u.arcsec)
    return [(a - b) * 0.1 for a, b in zip(grid.pixels(sky), grid.pixels(grid.centre), strict=True)]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, FILTERS),
        ({"mirrored": True}, FILTERS),
        ({"pa": 37.0}, FILTERS),
        ({}, ("F210M",)),
        ({"noise": (20.0, 10.0)}, FILTERS),
    ],
    ids=["plain", "mirrored", "turned", "one filter", "noisy"],
)
def test_wrong_headers_are_mended(scene, misplaced, quick_fusion, quality_of, options, names):
    given = misplaced(names=names, **options)
    result = quick_fusion(given)
    meta = result.meta.fusion
    assert meta.registration == "corrected"
    x, y = expected_offset(given[0])
    tolerance = max(2e-3, 4 * meta.offset_error)
    assert (meta.offset_x, meta.offset_y) == pytest.approx((x, y), abs=tolerance)
    assert meta.offset_error < 6e-3
    assert meta.rotation == pytest.approx(ROLL, abs=max(0.02, 4 * meta.rotation_error))
    table = result.filter_table
    assert len(set(table["applied_x"])) == len(set(table["applied_rotation"])) == 1
    assert table["applied_rotation"][0] in (0.0, pytest.approx(meta.rotation))
    right = quick_fusion(misplaced(offset=(0, 0), roll=0, names=names, **options), alignment="wcs")
    # A roll that sampling could mimic stays in.
    assert quality_of(result, scene) > quality_of(right, scene) - 3


def test_with_other_psfs_headers_are_mended_as_well(
    scene, misplaced, quick_fusion, quality_of, other_psfs
):
    given = misplaced()
    result = quick_fusion(given, **other_psfs)
    meta = result.meta.fusion
    assert meta.registration == "corrected"
    tolerance = max(3e-3, 4 * meta.offset_error)
    assert (meta.offset_x, meta.offset_y) == pytest.approx(expected_offset(given[0]), abs=tolerance)
    assert meta.rotation == pytest.approx(ROLL, abs=max(0.02, 4 * meta.rotation_error))
    right = quick_fusion(misplaced(offset=(0, 0), roll=0), alignment="wcs", **other_psfs)
    assert quality_of(result, scene) > quality_of(right, scene) - 3


@pytest.mark.parametrize(("cube", "taken"), [(0.0, 2.0), (0.3, 2.0), (0.5, 0.0)])
def test_what_the_cube_itself_may_have_is_not_taken_out(cube, taken):
    # However many images see it, an error of the cube stays the same.
    values, errors = np.full((9, 1), 2.0), np.full(9, 0.1)
    found = Shared.of(values, errors, 0.05, shared_error=cube)
    assert found.common == pytest.approx(2.0)
    assert found.error == pytest.approx(np.hypot(0.1 / 3, cube), rel=0.05)
    np.testing.assert_allclose(found.taken, taken)


def test_headers_that_are_right_are_believed(misplaced, quick_fusion):
    result = quick_fusion(misplaced(offset=(0, 0), roll=0))
    meta, table = result.meta.fusion, result.filter_table
    assert meta.registration == "wcs"
    assert np.hypot(meta.offset_x, meta.offset_y) < 5 * meta.offset_error + 1e-3
    assert abs(meta.rotation) < 5 * meta.rotation_error + 0.02
    for name in ("applied_x", "applied_y", "applied_rotation"):
        assert not table[name].any()


def test_the_fit_of_the_psfs_does_not_take_the_offset_twice(misplaced, quick_fusion):
    fitted = quick_fusion(misplaced(), tuning="evidence", mu=None).meta.fusion
    assert np.hypot(fitted.psf_fit_shift_x, fitted.psf_fit_shift_y) < 1e-3
    assert np.hypot(fitted.offset_x, fitted.offset_y) == pytest.approx(0.25, abs=2e-3)


def test_an_image_that_is_elsewhere_has_an_offset_of_its_own(
    misplaced, quick_fusion, scene, quality_of
):
    given = misplaced(names=("F182M", "F187N", "F210M"), roll=0.0)
    given[3].meta.wcsinfo.crval2 += 0.06 / 3600
    result = quick_fusion(given)
    applied = result.filter_table["applied_y"]
    assert applied[0] == applied[1]
    assert applied[2] - applied[0] == pytest.approx(0.06, abs=3e-3)
    assert quality_of(result, scene) > 44


def test_without_structure_headers_are_believed(products, scene, quick_fusion):
    scene.sources = ((0.0, 0.0, 0.2, 0.0, 0.0, 0.0, 2.0),)
    given = [products.cube(scene, WAVE, shape=(13, 14)), products.image(scene, "F210M")]
    result = quick_fusion(given, rank=1)
    assert result.meta.fusion.registration == "wcs"
    assert result.meta.fusion.offset_error is None
    assert not result.filter_table["applied_x"].any()


def test_a_faint_image_goes_with_the_others(misplaced, quick_fusion):
    given = misplaced(names=("F182M", "F210M"), roll=0.0)
    rng = np.random.default_rng(4)
    given[2].data += (3e4 * rng.standard_normal(SHAPE)).astype(np.float32)
    given[2].err += np.float32(3e4)
    table = quick_fusion(given).filter_table
    assert np.isnan(table["offset_error"]).tolist() == [False, True]
    assert table["applied_x"][1] == table["applied_x"][0] != 0


def test_a_catalogue_agrees_with_the_images(misplaced, quick_fusion, scene, tmp_path):
    path = tmp_path / "stars.ecsv"
    east, north, *_ = scene.sources[0]
    cos = np.cos(np.deg2rad(scene.dec))
    ra = scene.ra + (east + EAST) / 3600 / cos
    dec = scene.dec + (north + NORTH) / 3600
    path.write_text(
        f"# %ECSV 1.0\n# ---\n# datatype:\n# - {{name: ra, datatype: float64}}\n"
        f"# - {{name: dec, datatype: float64}}\nra dec\n{ra:.9f} {dec:.9f}\n"
    )
    result = quick_fusion(misplaced(roll=0.0), sources=str(path))
    row = result.source_table[0]
    # The product keeps the coordinates of the cube, which are right here.
    assert (row["ra"] - scene.ra) * 3600 * cos == pytest.approx(east, abs=0.01)
    assert (row["dec"] - scene.dec) * 3600 == pytest.approx(north, abs=0.01)


def test_a_grid_turns_around_its_middle(products):
    for options in ({}, {"cd": True}, {"mirrored": True}):
        grid = SkyGrid(products.wcs((20, 25), 0.1, 33.0, **options), (20, 25))
        turned = grid.turned(30.0)
        assert turned.centre.separation(grid.centre).arcsec < 1e-6
        change = -30.0 if options.get("mirrored") else 30.0
        assert turned.pa_y - grid.pa_y == pytest.approx(change, abs=1e-3)
        # Ten pixels from the middle along x, the turned grid shows what lies at 30 deg from x.
        x, y = 12 + 10 * np.cos(np.deg2rad(30)), 9.5 + 10 * np.sin(np.deg2rad(30))
        assert turned.sky(22.0, 9.5).separation(grid.sky(x, y)).arcsec < 1e-6


def test_motions_have_honest_errors():
    y, x = np.indices((31, 31)) - 15
    psf = np.zeros((31, 31))
    psf[15, 15] = 1.0
    wide = np.exp(-0.5 * (x**2 + y**2) / 9.0)
    psfs = {"psf_image": psf, "psf_cube": wide / wide.sum(), "factor": 3}
    angle, offset = 0.4, np.array([0.5, -0.8])  # degrees; x and y, pixels
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    turn = np.array([[cos, sin], [-sin, cos]])
    pulls = []
    for seed in range(25):
        rng = np.random.default_rng(seed)
        sky = gaussian_filter(rng.standard_normal((90, 96)), 4.0)
        middle = (np.array(sky.shape) - 1) / 2
        # The image at a place shows what the cube shows at the place moved back.
        back = turn.T
        image = affine_transform(sky, back, middle - back @ (middle + offset[::-1]), order=5)
        cube = gaussian_filter(sky, 3.0)[1::3, 1::3]
        cube = cube + 0.02 * cube.std() * rng.standard_normal(cube.shape)
        cube[:3, :5] = np.nan
        found = image_motion(image, cube, **psfs)
        assert found.angle_error < 0.15
        pulls.append([*(found.offset - offset) / found.offset_error])
        pulls[-1].append((found.angle - angle) / found.angle_error)
    pulls = np.array(pulls)
    assert np.all(np.abs(pulls.mean(0)) < 0.75)
    assert np.all((np.std(pulls, 0) > 0.4) & (np.std(pulls, 0) < 1.4))


def stars(places, *, moved=(0.0, 0.0)):
    """Image and cube of stars, of which the cube shows the first elsewhere."""
    y, x = np.indices((90, 96))
    planes = []
    for sigma, shift in ((1.0, (0.0, 0.0)), (3.0, moved)):
        plane = np.zeros(x.shape)
        for index, (row, column) in enumerate(places):
            dy, dx = shift if index == 0 else (0.0, 0.0)
            radius = (y - row - dy) ** 2 + (x - column - dx) ** 2
            plane += 1e3 * np.exp(-0.5 * radius / sigma**2) / sigma**2
        planes.append(plane)
    y, x = np.indices((31, 31)) - 15
    psfs = [np.exp(-0.5 * (x**2 + y**2) / sigma**2) for sigma in (1.0, 3.0)]
    psfs = {"psf_image": psfs[0] / psfs[0].sum(), "psf_cube": psfs[1] / psfs[1].sum()}
    noise = np.random.default_rng(3).standard_normal((30, 32))
    return planes[0], planes[1][1::3, 1::3] + 0.1 * noise, {**psfs, "factor": 3}


def test_parts_of_the_field_that_tell_a_rotation_are_counted():
    pair = [(20, 20), (70, 75)]
    several = [*pair, (20, 76), (68, 18), (45, 12), (12, 48), (44, 84), (78, 46)]
    image, cube, psfs = stars(pair)
    assert image_motion(image, cube, **psfs).parts < 3
    image, cube, psfs = stars(several)
    quiet = image_motion(image, cube, **psfs)
    assert quiet.parts > 4
    # One star that the cube shows elsewhere: the others disagree with the rotation it asks for.
    image, cube, psfs = stars(several, moved=(0.3, -0.3))
    found = image_motion(image, cube, **psfs)
    assert abs(found.angle) < 3 * found.angle_spread
    assert found.angle_spread > 5 * quiet.angle_spread


def test_what_has_no_structure_has_no_motion():
    flat = np.ones((30, 30))
    psf = np.ones((1, 1))
    found = image_motion(flat, flat[1::3, 1::3], psf_image=psf, psf_cube=psf, factor=3)
    assert found.angle_error == found.offset_error == np.inf


def test_the_largest_set_that_agrees_is_followed():
    values = np.array([[5.0, 0.0], [5.01, 0.02], [9.0, 1.0], [0.0, 0.0]])
    found = Shared.of(values, np.array([0.02, 0.03, 0.02, np.inf]), 0.1)
    assert found.most == pytest.approx([5.0, 0.0], abs=0.02)
    assert np.array_equal(found.taken[[0, 1, 3]], [found.most] * 3)
    assert np.array_equal(found.taken[2], values[2])
    # Two that disagree: the one that is where its header says decides for itself alone.
    found = Shared.of(np.array([[0.01, 0.0], [2.0, 0.0]]), np.array([0.02, 0.02]), 0.1)
    assert found.taken.tolist() == [[0.0, 0.0], [2.0, 0.0]]
    # What is large but not significant stays.
    assert not Shared.of(np.array([[2.0, 0.0]]), np.array([0.5]), 0.1).taken.any()
    nothing = Shared.of(np.zeros((2, 1)), np.full(2, np.inf), 0.1)
    assert np.isnan(nothing.error)
    assert not nothing.taken.any()


def test_the_report_says_what_was_taken_out():
    row = {"offset_x": 0.2, "offset_y": 0.1, "offset_error": 2e-4}
    row |= {"applied_x": 0.2, "applied_y": 0.1, "applied_rotation": 0.3}
    header = {"FUSREGIS": "corrected", "FUSOFFER": 2e-4, "FUSROTER": 0.01}
    product = SimpleNamespace(scale=0.033, header=header, labels=("F182M",), filters=(row,))
    (found,) = check_offsets(product, ())
    assert (found.key, found.level) == ("offset_corrected", "caution")
    assert "F182M: 200.0, 100.0 mas and 0.300 deg" in found.text
    assert "0.2 mas and 0.010 deg" in found.text
