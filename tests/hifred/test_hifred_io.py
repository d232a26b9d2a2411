"""Count cubes, PSFs and grids as files have them, and the data that they make."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from jwst_fusion.associations import write_association
from jwst_fusion.associations.hifred import collect_hifred_members, make_hifred_association
from jwst_fusion.errors import NotFusableError
from jwst_fusion.hifred.data import nodes_in_band
from jwst_fusion.hifred.pairing import pixel_matrix, roles
from jwst_fusion.hifred.psf_image import gaussian_psf, read_psf_image
from jwst_fusion.hifred.xray.counts import CountCube, read_counts
from jwst_fusion.hifred.xray.ogip_write import write_arf, write_rmf
from jwst_fusion.hifred.xray_data import data_from_counts, sort_cubes
from jwst_fusion.products.fits_product import FitsProduct, energy_header
from jwst_fusion.simulation.xray import xray_pair
from jwst_fusion.simulation.xray_files import write_xray_pair

COUNTS = np.random.default_rng(0).poisson(3.0, (6, 4, 5)).astype(np.int32)
EDGES = np.linspace(0.5, 1.1, 7)


def tangent(shape, scale, roll=0.0, *, mirrored=False, ra=350.85, dec=58.8, frame="equatorial"):
    wcs = WCS(naxis=2)
    names = ["RA---TAN", "DEC--TAN"] if frame == "equatorial" else ["GLON-TAN", "GLAT-TAN"]
    wcs.wcs.ctype = names
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.cdelt = [(1 if mirrored else -1) * scale / 3600, scale / 3600]
    turn = np.deg2rad(roll)
    wcs.wcs.pc = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    wcs.wcs.set()
    return wcs


def cube_file(path, data=COUNTS, header=None, *extensions, name=None, **keys):
    header = energy_header(EDGES, tangent(data.shape[1:], 10.0)) if header is None else header
    header = header.copy()
    header.update(keys)
    hdu = fits.PrimaryHDU(data, header)
    hdus = [hdu, *extensions]
    if name is not None:
        hdus = [fits.PrimaryHDU(), fits.ImageHDU(data, header, name=name), *extensions]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("name", [None, "COUNTS", "SCI", "ANY"])
def test_counts_read_back(tmp_path, name):
    cube = read_counts(cube_file(tmp_path / "a.fits", name=name, EXPOSURE=1e5))
    assert np.array_equal(cube.counts, COUNTS)
    assert cube.good.all()
    assert np.allclose(cube.energies, EDGES)
    assert cube.exposure == 1e5
    assert cube.pixel_scale == pytest.approx(10.0)
    assert cube.name == "a.fits"


def test_any_axis_order_unit_and_direction(tmp_path):
    """Energy first or last, in eV, falling: the same cube."""
    header = fits.Header()
    wcs = tangent((4, 5), 10.0).to_header()
    for key in ("CTYPE", "CRVAL", "CRPIX", "CDELT", "CUNIT"):
        for axis in (1, 2):
            header[f"{key}{axis + 1}"] = wcs[f"{key}{axis}"]
    header.update({"CTYPE1": "ENER", "CUNIT1": "eV", "CRPIX1": 1, "CRVAL1": 1050.0})
    header["CDELT1"] = -100.0
    moved = np.moveaxis(COUNTS[::-1], 0, -1)
    cube = read_counts(cube_file(tmp_path / "b.fits", moved, header))
    assert np.array_equal(cube.counts, COUNTS)
    assert np.allclose(cube.energies, EDGES)
    assert cube.wcs.pixel_shape is None or cube.wcs.naxis == 2
    plain = read_counts(cube_file(tmp_path / "a.fits"))
    assert np.allclose(cube.wcs.wcs_pix2world(2.0, 1.0, 0), plain.wcs.wcs_pix2world(2.0, 1.0, 0))


def test_uneven_energies_and_channel_numbers(tmp_path):
    edges = np.array([0.5, 0.52, 0.6, 0.7, 0.9, 1.2, 2.0])
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("E_MIN", "D", unit="eV", array=1000 * edges[:-1]),
            fits.Column("E_MAX", "D", unit="eV", array=1000 * edges[1:]),
        ],
        name="EBOUNDS",
    )
    cube = read_counts(cube_file(tmp_path / "c.fits", COUNTS, None, table))
    assert np.allclose(cube.energies, edges)
    keys = {"CTYPE3": "PI", "CUNIT3": "", "CRVAL3": 12.0, "CRPIX3": 1.0, "CDELT3": 1.0}
    cube = read_counts(cube_file(tmp_path / "d.fits", **keys))
    assert cube.energies is None
    assert cube.first_channel == 12


def test_masks_backgrounds_and_vignetting(tmp_path, caplog):
    flags = np.zeros(COUNTS.shape, np.uint8)
    flags[1, 2, 3] = 1
    flags[1, 2, 4] = 4
    data = COUNTS.astype(float)
    data[0, 0, 0], data[5, 3, 4] = np.nan, np.inf
    extensions = [
        fits.ImageHDU(flags, name="DQ"),
        fits.ImageHDU(0.1 * np.ones(COUNTS.shape), name="BACKGROUND"),
        fits.ImageHDU(np.linspace(0.5, 1, 20).reshape(4, 5), name="VIGNETTING"),
    ]
    cube = read_counts(cube_file(tmp_path / "e.fits", data, None, *extensions))
    assert sorted(map(tuple, np.argwhere(~cube.good))) == [(0, 0, 0), (1, 2, 3), (5, 3, 4)]
    assert cube.counts[~cube.good].tolist() == [0, 0, 0]
    assert cube.background.shape == COUNTS.shape
    assert cube.vignetting.shape == (4, 5)
    assert "2 voxels that are not finite" in caplog.text


BAD = {
    "an image": ({"data": COUNTS[0]}, "no three-dimensional image"),
    "no energy": ({"CTYPE3": "WAVE"}, "does not say which axis is energy"),
    "no unit": ({"CUNIT3": ""}, "set CUNIT3 to keV or eV"),
    "a length": ({"CUNIT3": "um"}, "set CUNIT3 to keV or eV"),
    "no step": ({"CDELT3": 0.0}, "CDELT3 = 0"),
    "below zero": ({"CRVAL3": -3.0}, "negative"),
    "negative": ({"data": COUNTS - 5}, "negative voxels: counts are needed"),
    "no time": ({"EXPOSURE": -1.0}, "EXPOSURE = -1"),
    "next to no time": ({"EXPOSURE": 1e-30}, "EXPOSURE = 1e-30, which is no exposure time"),
    "grouped": ({"CTYPE3": "PI", "CUNIT3": "", "CDELT3": 2.0}, "does not count single channels"),
}


@pytest.mark.parametrize("case", BAD)
def test_cubes_that_are_none_are_named(tmp_path, case):
    changes, message = BAD[case]
    changes = dict(changes)
    data = changes.pop("data", COUNTS)
    header = None
    if data.ndim == 2:
        header = fits.Header()
    cube_file(tmp_path / "bad.fits", data, header, **changes)
    with pytest.raises(ValueError, match=message) as error:
        read_counts(tmp_path / "bad.fits")
    assert "bad.fits" in str(error.value)


def test_extensions_that_do_not_fit_are_named(tmp_path):
    for name in ("DQ", "BACKGROUND", "VIGNETTING"):
        other = fits.ImageHDU(np.ones((6, 4, 4)), name=name)
        with pytest.raises(ValueError, match=f"extension {name} of shape"):
            read_counts(cube_file(tmp_path / "bad.fits", COUNTS, None, other))
    negative = fits.ImageHDU(-np.ones(COUNTS.shape), name="BACKGROUND")
    with pytest.raises(ValueError, match="BACKGROUND has values that are negative"):
        read_counts(cube_file(tmp_path / "bad.fits", COUNTS, None, negative))


def test_broken_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.fits"):
        read_counts(tmp_path / "absent.fits")
    for content in (b"", b"junk" * 3000):
        (tmp_path / "junk.fits").write_bytes(content)
        with pytest.raises(ValueError, match=r"junk\.fits is not a readable FITS file"):
            read_counts(tmp_path / "junk.fits")
    path = cube_file(tmp_path / "cut.fits", np.ones((60, 40, 30)))
    path.write_bytes(path.read_bytes()[: 2880 * 4])
    with pytest.raises(ValueError, match=r"cut\.fits"):
        read_counts(path)


def test_cubes_of_arrays_are_checked():
    cube = CountCube.from_arrays(COUNTS, EDGES, exposure=10.0, name="mine")
    assert cube.exposure == 10.0
    assert cube.pixel_scale is None
    with pytest.raises(ValueError, match="mine needs 7 rising edges"):
        CountCube.from_arrays(COUNTS, EDGES[:-1], name="mine")
    with pytest.raises(ValueError, match="must be a cube"):
        CountCube.from_arrays(COUNTS[0], EDGES)


def psf_file(path, data, *, scale=None, nodes=None):
    header = fits.Header() if scale is None else fits.Header({"PIXELSCL": scale})
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(data, header, name="PSF")]
    if nodes is not None:
        column = fits.Column("ENERGY", "D", unit="eV", array=1000 * np.asarray(nodes))
        hdus.append(fits.BinTableHDU.from_columns([column], name="ENERGY"))
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


def moments(psf):
    y, x = np.indices(psf.shape) - (np.array(psf.shape) - 1)[:, None, None] / 2
    cov = [[(psf * a * b).sum() for a in (y, x)] for b in (y, x)]
    return np.array([(psf * y).sum(), (psf * x).sum()]), np.array(cov)


def lopsided(size=41):
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    psf = np.exp(-0.5 * ((x / 5) ** 2 + (y / 3) ** 2 + x * y / 20))
    return psf / psf.sum()


@pytest.mark.parametrize("angle", [0.0, 90.0, 33.0])
@pytest.mark.parametrize("ratio", [1.0, 0.25, 0.5])
def test_psf_keeps_light_place_and_shape_on_other_pixels(tmp_path, ratio, angle):
    psf = lopsided()
    path = psf_file(tmp_path / "p.fits", 7.0 * psf, scale=2.0)
    found, nodes = read_psf_image(path, 2.0 / ratio, angle=angle)
    assert nodes is None
    assert found.shape[1] % 2 == found.shape[2] % 2 == 1
    assert found[0].sum() == pytest.approx(1.0)
    centre, shape = moments(found[0])
    before, wide = moments(psf)
    assert np.allclose(centre, before, atol=1e-6)
    turn = np.deg2rad(angle)
    # x' = x cos - y sin, in the order (y, x)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    expected = matrix @ wide @ matrix.T * ratio**2
    # Pixels are boxes: each contributes up to a twelfth, less where their edges fall together.
    assert np.allclose(shape, expected + (1 + ratio**2) / 24 * np.eye(2), atol=0.1)


@pytest.mark.parametrize("angle", [0.0, 90.0])
@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_off_centre_psfs_keep_their_place(tmp_path, caplog, ratio, angle):
    """The source is at CRPIX, else in the middle; the centroid is moved onto it if asked."""
    psf = np.zeros((40, 41))
    psf[:, 3:] = lopsided()[:40, :-3]
    centroid = moments(psf)[0]
    turn = np.deg2rad(angle)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    for crpix, place in ((None, (19.5, 20.0)), ((18.0, 24.0), (23.0, 17.0)), ((900, 3), None)):
        path = psf_file(tmp_path / "p.fits", psf, scale=2.0)
        if crpix is not None:
            with fits.open(path, mode="update") as hdus:
                for hdu in hdus:
                    hdu.header["CRPIX1"], hdu.header["CRPIX2"] = crpix
        found, _ = read_psf_image(path, 2.0 / ratio, angle=angle)
        place = (19.5, 20.0) if place is None else place
        expected = matrix @ (centroid + np.array([19.5, 20.0]) - place) * ratio
        assert moments(found[0])[0] == pytest.approx(expected, abs=0.03)
        found, _ = read_psf_image(path, 2.0 / ratio, angle=angle, centre="centroid")
        assert moments(found[0])[0] == pytest.approx([0, 0], abs=0.03)
    # coordinates that count from the source; a source where there is hardly light
    for value, place, told in ((0.0, (2.0, 3.0), True), (-34.0, (19.0, 20.0), False)):
        with fits.open(path, mode="update") as hdus:
            for hdu in hdus:
                hdu.header.update(CRPIX1=4.0, CRPIX2=3.0, CRVAL1=value, CRVAL2=value)
                hdu.header.update(CDELT1=2.0, CDELT2=2.0, CTYPE1="", CTYPE2="")
        caplog.clear()
        found, _ = read_psf_image(path, 2.0 / ratio, angle=angle)
        expected = matrix @ (centroid + np.array([19.5, 20.0]) - place) * ratio
        assert moments(found[0])[0] == pytest.approx(expected, abs=0.03)
        assert ("beyond half of its light" in caplog.text) is told
    with pytest.raises(ValueError, match="centre is 'peak'"):
        read_psf_image(path, centre="peak")


def test_psf_cubes_need_their_nodes(tmp_path):
    stack = np.array([lopsided(21), lopsided(21).T])
    found, nodes = read_psf_image(psf_file(tmp_path / "p.fits", stack, nodes=[0.6, 1.0]))
    assert np.allclose(nodes, [0.6, 1.0])
    assert np.allclose(found, stack)
    with pytest.raises(ValueError, match="holds 2 images but not as many nodes"):
        read_psf_image(psf_file(tmp_path / "q.fits", stack))
    with pytest.raises(ValueError, match="do not rise"):
        read_psf_image(psf_file(tmp_path / "q.fits", stack, nodes=[1.0, 0.6]))
    energy = np.linspace(0.7, 1.2, 11)
    kernels, places = nodes_in_band(found, nodes, energy)
    assert np.allclose(places, [0, 6, 10])
    assert np.allclose(kernels[0], 0.75 * stack[0] + 0.25 * stack[1])
    assert np.allclose(kernels[1:], stack[1])


@pytest.mark.parametrize("data", [np.zeros((5, 5)), np.full((5, 5), np.nan), -np.ones((5, 5))])
def test_psfs_that_are_none(tmp_path, data):
    with pytest.raises(ValueError, match=r"p\.fits holds a PSF that is not finite or does not"):
        read_psf_image(psf_file(tmp_path / "p.fits", data))


def test_psfs_of_which_one_is_empty_are_refused(tmp_path):
    stack = np.array([lopsided(21), 1e-30 * lopsided(21)])
    with pytest.raises(ValueError, match=r"p\.fits holds PSFs that sum to 1e-30 up to 1:"):
        read_psf_image(psf_file(tmp_path / "p.fits", stack, nodes=[0.6, 1.0]))


def test_gaussian_psf_has_its_width():
    psf = gaussian_psf(7.0)
    _, shape = moments(psf)
    assert psf.sum() == pytest.approx(1.0)
    assert np.sqrt(shape[0, 0] - 1 / 12) * 2.3548 == pytest.approx(7.0, rel=1e-3)


def test_nested_grids_are_found_and_summed():
    fine, coarse = tangent((45, 30), 10.0, 20.0), tangent((15, 10), 30.0, 20.0)
    matrix, factors, covered = pixel_matrix((45, 30), (15, 10), fine, coarse)
    assert factors == (3, 3)
    assert covered.all()
    image = np.random.default_rng(1).random((45, 30))
    sums = image.reshape(15, 3, 10, 3).sum(axis=(1, 3))
    assert np.allclose((matrix @ image.ravel()).reshape(15, 10), sums)
    again = pixel_matrix((45, 30), (15, 10))
    assert (again[0] != matrix).nnz == 0


@pytest.mark.parametrize(
    "other",
    [
        {"roll": 37.0},
        {"mirrored": True},
        {"roll": 90.0},
        {"ra": 350.852, "dec": 58.801},
    ],
    ids=["rotated", "mirrored", "turned", "moved"],
)
def test_grids_of_any_orientation(other):
    """A smooth image on fine pixels, collected on turned pixels, is the image there."""
    fine = tangent((60, 50), 10.0)
    coarse = tangent((10, 8), 30.0, **other)
    matrix, factors, covered = pixel_matrix((60, 50), (10, 8), fine, coarse)
    assert factors is None
    assert covered.all()

    def image(wcs, shape, points):
        offset = (np.arange(points) + 0.5) / points - 0.5
        y = np.add.outer(np.arange(shape[0]), offset).ravel()
        x = np.add.outer(np.arange(shape[1]), offset).ravel()
        x, y = np.meshgrid(x, y)
        ra, dec = wcs.wcs_pix2world(x, y, 0)
        u, v = (ra - 350.85) * 3600 * np.cos(np.deg2rad(58.8)), (dec - 58.8) * 3600
        value = np.exp(-0.5 * ((u - 40) / 90) ** 2 - 0.5 * ((v + 20) / 60) ** 2)
        return value.reshape(shape[0], points, shape[1], points).mean(axis=(1, 3))

    found = (matrix @ image(fine, (60, 50), 4).ravel()).reshape(10, 8)
    expected = 9 * image(coarse, (10, 8), 12)
    assert np.allclose(found, expected, atol=0.02 * expected.max())


def test_coarse_pixels_beyond_the_fine_field_are_known():
    matrix, _, covered = pixel_matrix(
        (20, 20), (10, 10), tangent((20, 20), 10.0), tangent((10, 10), 30.0)
    )
    assert covered.sum() == 36
    assert matrix.sum() == pytest.approx(400.0)
    away = tangent((10, 10), 30.0, dec=10.0)
    with pytest.raises(NotFusableError, match="X and Y do not overlap"):
        pixel_matrix((20, 20), (10, 10), tangent((20, 20), 10.0), away)
    with pytest.raises(ValueError, match="do not divide them"):
        pixel_matrix((20, 20), (7, 10))


def test_roles():
    sharp, fine = ("a", (60, 45, 45), 10.0, 0.0144), ("b", (2400, 15, 15), 30.0, 0.00036)
    assert roles(sharp, fine)
    assert not roles(fine, sharp)
    assert roles(("a", (60, 45, 45), None, None), ("b", (2400, 15, 15), None, None))
    with pytest.raises(ValueError, match="a has finer pixels and finer channels than b"):
        roles(("b", (10, 5, 5), 30.0, 0.02), ("a", (60, 45, 45), 10.0, 0.01))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small pair as arrays, and as files in an association."""
    pair = xray_pair("small", shape=(27, 21), fine=120, counts=(3e5, 2e5))
    path = write_xray_pair(pair, tmp_path_factory.mktemp("pair"), roll=25.0)
    return pair, path


@pytest.fixture
def options():
    names = ("band", "margin", "psf_fwhm", "lsf_fwhm", "exposure_x", "exposure_y")
    return SimpleNamespace(**dict.fromkeys(names), psf_angle=0.0, psf_centre="file")


def data_of(path, options, **responses):
    members = collect_hifred_members(str(path))
    cubes = [read_counts(cube) for cube in members.cubes]
    return data_from_counts(*cubes, {**members.responses, **responses}, options)[0]


def test_files_give_the_responses_of_the_simulation(small, options):
    pair, path = small
    data = data_of(path, options)
    assert np.array_equal(data.x, pair.x)
    assert np.array_equal(data.y, pair.y)
    for response, model in ((data.response_x, pair.x_model), (data.response_y, pair.y_model)):
        assert response.mask.all()
        assert np.allclose(response.forward(pair.truth), model, atol=1e-6 * model.max())
    assert all(part.all() for part in data.constrained())
    assert data.notes == []


def test_part_of_the_band(small, options):
    pair, path = small
    options.band = (0.65, 0.9)
    data = data_of(path, options)
    low, high = data.coordinate[[0, -1]]
    assert 0.645 < low < 0.67
    assert 0.88 < high < 0.905
    assert data.x.shape[0] * pair.rebin[0] <= data.y.shape[0]
    # Channels near the ends hold photons from beyond, and are left out.
    used = data.response_x.mask[:, 0, 0]
    assert used.sum() >= 4
    assert not used[[0, -1]].any()
    options.band = (3.0, 4.0)
    with pytest.raises(NotFusableError, match="fewer than two channels"):
        data_of(path, options)


def test_gaussian_responses_without_files(small, options):
    pair, path = small
    options.lsf_fwhm, options.psf_fwhm = 21.0 * 2.3548, 22.0 * 2.3548
    data = data_of(path, options, rmf_x=None, psf=None)
    for response, model in ((data.response_x, pair.x_model), (data.response_y, pair.y_model)):
        found = response.forward(pair.truth)
        # Kernels at the centres of channels, or means over them: 21 eV and 3.75 eV, 2.2 pixels.
        assert np.allclose(found[2:-2], model[2:-2], atol=0.02 * model.max())
    options.psf_fwhm = None
    with pytest.raises(ValueError, match="give psf or psf_fwhm"):
        data_of(path, options, psf=None)
    options.lsf_fwhm = None
    with pytest.raises(ValueError, match="give rmf_x"):
        data_of(path, options, rmf_x=None)


def test_area_within_the_matrix_counts_once(tmp_path, small, options, caplog):
    pair, path = small
    area = np.linspace(200, 400, pair.edges.size - 1)
    write_rmf(
        tmp_path / "full.rsp",
        pair.rmf_x.multiply(area),
        pair.edges,
        pair.edges_x,
        contains_area=True,
    )
    write_arf(tmp_path / "x.arf", area, pair.edges)
    data = data_of(path, options, rmf_x=tmp_path / "full.rsp", arf_x=tmp_path / "x.arf")
    both = data_of(path, options, arf_x=tmp_path / "x.arf")
    assert "arf_x is not used: the RMF already holds the area" in caplog.text
    for one in (data, both):
        found = one.response_x.forward(pair.truth / area[:, None, None])
        assert np.allclose(found, pair.x_model, atol=1e-6 * pair.x_model.max())


def test_numbered_channels_take_their_energies_from_the_matrix(tmp_path, small, options):
    pair, path = small
    members = collect_hifred_members(str(path))
    with fits.open(members.cubes[0]) as hdus:
        header = hdus[0].header
        header.update({"CTYPE3": "PI", "CRVAL3": 3.0, "CRPIX3": 1.0, "CDELT3": 1.0})
        del header["CUNIT3"]
        data = hdus[0].data[2:28]
        fits.PrimaryHDU(data, header).writeto(tmp_path / "pi.fits")
    cubes = [read_counts(tmp_path / "pi.fits"), read_counts(members.cubes[1])]
    data = data_from_counts(*cubes, members.responses, options)[0]
    assert np.array_equal(data.x, pair.x[2:28])
    assert np.allclose(data.coordinate[[0, -1]], pair.edges_x[[2, 28]])
    without = {k: v for k, v in members.responses.items() if k != "rmf_x"}
    with pytest.raises(ValueError, match=r"pi\.fits numbers its channels: give rmf_x"):
        data_from_counts(*cubes, without, options)


def test_empty_cubes_are_not_fusable(small, options):
    _, path = small
    members = collect_hifred_members(str(path))
    x, y = (read_counts(cube) for cube in members.cubes)
    empty = CountCube(np.zeros(x.counts.shape), x.good, x.energies, wcs=x.wcs, name="empty")
    with pytest.raises(NotFusableError, match="empty has no counts"):
        data_from_counts(empty, y, members.responses, options)
    masked = CountCube(y.counts, np.zeros(y.good.shape, bool), y.energies, wcs=y.wcs, name="bad")
    with pytest.raises(NotFusableError, match="bad has no counts"):
        data_from_counts(x, masked, members.responses, options)


def test_vignetting_background_and_psf_cube(tmp_path, small, options):
    pair, path = small
    members = collect_hifred_members(str(path))
    x, y = (read_counts(cube) for cube in members.cubes)
    shade = np.linspace(0.4, 1.0, 27 * 21).reshape(27, 21)
    factor = np.linspace(1.0, 0.8, len(pair.x))[:, None, None]
    coarse = np.linspace(1.0, 0.6, 63).reshape(9, 7)
    x = replace(x, vignetting=shade * factor, background=np.full(x.counts.shape, 0.3))
    y = replace(y, vignetting=coarse)
    with fits.open(members.responses["psf"]) as hdus:
        stack = np.array([hdus[0].data, hdus[0].data])
    psf = psf_file(tmp_path / "cube.fits", stack, scale=10.0, nodes=[0.2, 2.0])
    data = data_from_counts(x, y, {**members.responses, "psf": psf}, options)[0]
    found = data.response_x.observe(pair.truth)
    # Factors change within the response of a channel, too.
    expected = pair.x_model * shade * factor + 0.3
    assert np.allclose(found[3:-3], expected[3:-3], rtol=0.02)
    found = data.response_y.observe(pair.truth)
    assert np.allclose(found, pair.y_model * coarse, atol=1e-6 * pair.y_model.max())


def test_turned_telescope(small, options):
    """Y in another orientation: its model is that of the scene, its counts are kept."""
    pair, path = small
    members = collect_hifred_members(str(path))
    x, y = (read_counts(cube) for cube in members.cubes)
    other = tangent((9, 7), 30.0, 70.0, ra=350.85, dec=58.815)
    turned = CountCube(y.counts, y.good, y.energies, wcs=other, exposure=1.0, name="turned")
    data = data_from_counts(x, turned, members.responses, options)[0]
    assert not data.response_y.mask.all()
    total = data.response_y.forward(pair.truth)[:, data.response_y.mask[0]].sum()
    assert 0.5 * pair.y_model.sum() < total < pair.y_model.sum()
    z = np.random.default_rng(3).random(data.response_y.shape)
    v = np.random.default_rng(4).random(data.response_y.observed_shape)
    assert np.vdot(data.response_y.forward(z), v) == pytest.approx(
        np.vdot(z, data.response_y.adjoint(v))
    )


def test_wide_fields_are_cropped(small, options):
    """Y in the middle of a field that is much larger: what is far away does not matter."""
    pair, path = small
    members = collect_hifred_members(str(path))
    x, y = (read_counts(cube) for cube in members.cubes)
    few = y.cropped((slice(3, 6), slice(2, 5)))
    options.margin = 20.0
    data, cropped, _ = data_from_counts(x, few, members.responses, options)
    assert data.x.shape[1:] == (13, 13)
    assert np.array_equal(data.x, pair.x[:, 7:20, 4:17])
    assert data.response_y.mask.all()
    here, there = cropped.wcs.pixel_to_world(1, 2), x.wcs.pixel_to_world(5, 9)
    assert here.separation(there).arcsec < 1e-6
    options.margin = None
    data, cropped, _ = data_from_counts(x, few, members.responses, options)
    # The PSF has a standard deviation of 2.2 pixels: 90 % lie within 4.7.
    assert data.x.shape[1:] == (19, 19)
    inside = data.response_y.forward(pair.truth[:, 4:23, 1:20])
    whole = pair.y_model[:, 3:6, 2:5]
    assert np.allclose(inside, whole, atol=0.05 * whole.max())


def test_members_in_all_forms(small):
    _, path = small
    members = collect_hifred_members(str(path))
    assert members.product_name == "remnant"
    assert members.table_name == "remnant_asn.json"
    assert set(members.responses) == {"psf", "rmf_x", "arf_x", "arf_y"}
    listed = collect_hifred_members(list(members.cubes))
    assert listed.cubes == members.cubes
    assert listed.product_name == "remnant_x_counts"
    named = collect_hifred_members({"cubes": members.cubes, "psf": members.responses["psf"]})
    assert named.responses == {"psf": members.responses["psf"]}
    table = make_hifred_association(members.cubes, folder=path.parent, **members.responses)
    again = collect_hifred_members(str(write_association(table, path.parent / "asn.json")))
    assert [p.split("/")[-1] for p in again.cubes] == [p.split("/")[-1] for p in members.cubes]


def test_inputs_that_are_none_are_named(tmp_path, small):
    _, path = small
    members = collect_hifred_members(str(path))
    with pytest.raises(TypeError, match="NoneType is not supported"):
        collect_hifred_members(None)
    with pytest.raises(TypeError, match="ndarray is not supported"):
        collect_hifred_members(np.zeros(3))
    with pytest.raises(ValueError, match="has 1 cubes"):
        collect_hifred_members([members.cubes[0]])
    with pytest.raises(ValueError, match="is one file"):
        collect_hifred_members(members.cubes[0])
    with pytest.raises(FileNotFoundError, match=r"absent\.json"):
        collect_hifred_members(str(tmp_path / "absent.json"))
    with pytest.raises(ValueError, match="expected cubes, and some of psf"):
        collect_hifred_members({"cube": members.cubes})
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ValueError, match=r"bad\.json is not an association"):
        collect_hifred_members(str(tmp_path / "bad.json"))
    with pytest.raises(ValueError, match="expected some of psf, rmf_x"):
        make_hifred_association(members.cubes, rmf="a.rmf")
    with pytest.raises(ValueError, match="HIFReD fuses two cubes"):
        make_hifred_association(members.cubes[:1])


def test_products_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    image = fits.ImageHDU(np.ones((2, 3, 4), np.float32), name="SCI")
    product = FitsProduct(fits.HDUList([fits.PrimaryHDU(), image]), "a_hifred.fits")
    product.meta.cal_step.hifred = "COMPLETE"
    assert product.save(lambda name: name, dir_path=str(tmp_path)) == str(
        tmp_path / "a_hifred.fits"
    )
    assert fits.getval(tmp_path / "a_hifred.fits", "S_HIFRED") == "COMPLETE"
    with pytest.raises(FileNotFoundError):
        product.save(str(tmp_path / "absent" / "b.fits"))

    def full(*args, **kwargs):
        msg = "No space left on device"
        raise OSError(msg)

    monkeypatch.setattr(fits.HDUList, "writeto", full)
    with pytest.raises(OSError, match="No space left"):
        product.save(str(tmp_path / "c.fits"))
    assert [p.name for p in tmp_path.iterdir()] == ["a_hifred.fits"]


def test_exposure_maps_in_seconds(tmp_path):
    image = np.linspace(500.0, 1000.0, 20).reshape(4, 5)
    shade = fits.ImageHDU(image, name="VIGNETTING")
    path = cube_file(tmp_path / "a.fits", COUNTS, None, shade, EXPOSURE=1000.0)
    with pytest.raises(ValueError, match=r"a\.fits has VIGNETTING up to 1000: .* set its BUNIT"):
        read_counts(path)
    shade.header["BUNIT"] = "S"
    cube = read_counts(cube_file(tmp_path / "a.fits", COUNTS, None, shade, EXPOSURE="1000."))
    assert np.allclose(cube.vignetting, image / 1000)


def test_counts_that_are_rates_are_said(tmp_path, caplog):
    read_counts(cube_file(tmp_path / "a.fits", COUNTS * 0.37))
    assert "are no whole numbers: counts are needed" in caplog.text
    with pytest.raises(ValueError, match="CRVAL3 = 'low': expected a number"):
        read_counts(cube_file(tmp_path / "b.fits", CRVAL3="low"))


@pytest.fixture
def changed(small, options):
    """Function that makes data of the pair with other cubes."""
    members = collect_hifred_members(str(small[1]))
    x, y = (read_counts(cube) for cube in members.cubes)

    def make(*, change_x=None, change_y=None, **responses):
        cubes = replace(x, **(change_x or {})), replace(y, **(change_y or {}))
        return data_from_counts(*cubes, {**members.responses, **responses}, options)[0]

    return SimpleNamespace(x=x, y=y, make=make, files=members.responses)


def test_pi_in_electronvolts_is_no_channel(tmp_path, changed):
    """XMM-Newton counts PI in eV; its matrices have channels of 5 eV."""
    edges = 5e-3 * np.arange(301)
    write_rmf(tmp_path / "pn.rmf", np.eye(300), edges, edges, first_channel=0)
    keys = {"CTYPE3": "PI", "CUNIT3": "", "CRVAL3": 100.0, "CRPIX3": 1.0, "CDELT3": 1.0}
    path = cube_file(tmp_path / "x.fits", **keys, TELESCOP="XMM")
    cube = read_counts(path)
    with pytest.raises(ValueError, match="axis PI, which XMM-Newton counts in eV"):
        sort_cubes(cube, changed.y, {"rmf_x": tmp_path / "pn.rmf"})
    in_ev = read_counts(cube_file(tmp_path / "x.fits", **{**keys, "CUNIT3": "eV"}))
    assert np.allclose(in_ev.energies[[0, -1]], [0.0995, 0.1055])
    numbered = read_counts(cube_file(path, **{**keys, "CTYPE3": "CHANNEL"}, TELESCOP="XMM"))
    assert numbered.first_channel == 100


def test_missing_pixels_are_found(changed, caplog):
    """The pixel that Resolve lacks has no counts among neighbours that have many."""
    counts = changed.y.counts.copy()
    row, column = 4, 3
    assert counts[:, 3:6, 2:5].sum(axis=0).min() > 25
    counts[:, row, column] = 0
    mask = changed.make(change_y={"counts": counts}).response_y.mask
    expected = changed.make().response_y.mask.copy()
    expected[:, row, column] = False
    assert np.array_equal(mask, expected)
    assert f"are not used: ({column}, {row})" in caplog.text


def test_cameras_alike_are_refused(changed):
    """MOS and pn resolve energies alike, whatever the widths of their channels."""
    cameras = {
        f"change_{letter}": {"header": fits.Header({"INSTRUME": name})}
        for letter, name in (("x", "EMOS1"), ("y", "EPN"))
    }
    with pytest.raises(ValueError, match=r"resolution, both cameras \(EMOS1 and EPN\)"):
        changed.make(**cameras)
    with pytest.raises(ValueError, match="same spectral resolution, their RMFs are"):
        changed.make(rmf_y=changed.files["rmf_x"])


def test_efficiency_of_coarse_pixels_may_vary_with_energy(changed):
    """Pixels of a calorimeter differ by up to 30 % at low energies and less at high ones."""
    rng = np.random.default_rng(2)
    low = rng.uniform(0.7, 1.0, changed.y.counts.shape[1:])
    part = np.linspace(0, 1, len(changed.y.counts))[:, None, None]
    maps = (1 - part) * low + part
    plain = changed.make().response_y
    shaded = changed.make(change_y={"vignetting": maps}).response_y
    cube = rng.random(plain.shape)
    assert np.allclose(shaded.forward(cube), plain.forward(cube) * maps, rtol=1e-9)
