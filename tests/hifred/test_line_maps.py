"""Maps of lines: known velocities, widths and fluxes, and errors that tell how far off they are."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr

from jwst_fusion.hifred.line_maps import Line, map_lines, parse_lines, place_lines
from jwst_fusion.hifred.solver.posterior import LowRankPosterior
from jwst_fusion.step import HifredStep

LIGHT = 299792.458
SHAPE = (9, 11)
LINES = [Line("w", 6.7004), Line("z", 6.6366), Line("Lya", 6.9732)]


def scene(edges, *, counts, redshift):
    """A cube with lines of known flux, velocity and width on a continuum."""
    y, x = np.indices(SHAPE)
    velocity, width = 40.0 * (x - 5.0), 150.0 + 10.0 * y
    fluxes = [50.0 + 3 * x, 20.0 + y, 30.0 + 0 * x]
    step = np.diff(edges)
    cube = np.broadcast_to((0.2 * step / step.mean())[:, None, None], (step.size, *SHAPE)).copy()
    for line, flux in zip(LINES, fluxes, strict=True):
        rest = line.rest / (1 + redshift) if counts else line.rest * (1 + redshift)
        centre = rest * (1 + (-1 if counts else 1) * velocity / LIGHT)
        z = (edges[:, None, None] - centre) / (rest * width / LIGHT)
        cube += flux * np.diff(ndtr(z), axis=0) / (1.0 if counts else step[:, None, None])
    return cube, velocity, width, fluxes


@pytest.mark.parametrize("counts", [True, False])
def test_known_lines_are_found(counts):
    redshift = 0.0176
    edges = np.linspace(6.4, 7.0, 601) if counts else np.linspace(6.7, 7.2, 501)
    cube, velocity, width, fluxes = scene(edges, counts=counts, redshift=redshift)
    cube[:, 0, 0] = np.nan
    result = SimpleNamespace(cube=cube, error=None, posterior=None)
    maps = map_lines(result, edges, LINES, unit="u", redshift=redshift, counts=counts)
    assert list(maps.groups) == [0, 0, 1]
    assert maps.unit == ("u" if counts else "u um")
    good = np.ones(SHAPE, bool)
    good[0, 0] = False
    for k, flux in enumerate(fluxes):
        assert maps.velocity[k][good] == pytest.approx(velocity[good], abs=0.5)
        assert maps.width[k][good] == pytest.approx(width[good], abs=0.5)
        assert maps.flux[k][good] == pytest.approx(flux[good], rel=3e-3)
        assert np.isnan(maps.flux[k][0, 0])
    assert np.isnan(maps.velocity_error).all()
    assert np.isnan(maps.where(np.zeros(SHAPE, bool)).flux).all()


def test_errors_are_those_of_repeated_noise():
    """Noise of a known covariance, correlated in space and along the spectrum."""
    rng = np.random.default_rng(2)
    edges = np.linspace(6.4, 7.0, 301)
    cube = scene(edges, counts=True, redshift=0.0176)[0]
    basis = gaussian_filter(rng.standard_normal((300, 30)), (1.5, 0))
    draws = gaussian_filter(rng.standard_normal((132, 30, *SHAPE)), (0, 0, 1, 1), mode="wrap")
    draws *= 0.02 / draws.std()
    none = np.zeros((30, *SHAPE))
    posterior = LowRankPosterior(basis, none, draws[:12].astype(np.float32), none, None)
    # a full cube in the posterior's eyes: what the low rank lacks of it is none here
    posterior = LowRankPosterior(
        np.column_stack([basis, cube.mean(axis=(1, 2))]),
        np.concatenate([none, np.ones((1, *SHAPE))]),
        np.concatenate([posterior.samples, np.zeros((12, 1, *SHAPE))], axis=1),
        np.zeros((31, *SHAPE)),
        None,
    )
    even = np.broadcast_to(cube.mean(axis=(1, 2))[:, None, None], cube.shape)
    error = np.ones(cube.shape)
    kept = {"error": error, "posterior": posterior}
    stated = map_lines(SimpleNamespace(cube=even, **kept), edges, LINES, unit="u", redshift=0.0176)
    names = ("flux", "velocity", "width")
    found = {name: [] for name in names}
    for one in draws[12:60]:
        noisy = even + np.tensordot(basis, one, axes=1)
        result = SimpleNamespace(cube=noisy, error=error, posterior=None)
        maps = map_lines(result, edges, LINES, unit="u", redshift=0.0176)
        for name in names:
            found[name].append(getattr(maps, name))
    for name in names:
        scatter = np.nanstd(found[name], axis=(0, 2, 3))
        typical = np.sqrt(np.nanmean(getattr(stated, f"{name}_error") ** 2, axis=(1, 2)))
        assert typical == pytest.approx(scatter, rel=0.2)


def test_faint_lines_have_no_velocity():
    edges = np.linspace(6.4, 7.0, 301)
    cube = np.ones((300, *SHAPE))
    basis = np.eye(300)[:, 100:200]
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((12, 100, *SHAPE)).astype(np.float32)
    maps = np.ones((100, *SHAPE))
    posterior = LowRankPosterior(basis, maps, samples, 0 * maps, None)
    noisy = cube + rng.standard_normal(cube.shape)
    result = SimpleNamespace(cube=noisy, error=np.ones_like(cube), posterior=posterior)
    found = map_lines(result, edges, LINES[:1], unit="u", redshift=0.0176)
    assert np.isnan(found.velocity).mean() > 0.9


def test_lines_that_cannot_be_mapped():
    assert parse_lines(["a b=6.7", "c=2"]) == [Line("a b", 6.7), Line("c", 2.0)]
    for text in ("6.7", "=6.7", "a=", "a=x", "a=-1", "a=nan"):
        with pytest.raises(ValueError, match="is no line: give NAME=REST"):
            parse_lines([text])
    with pytest.raises(ValueError, match="'a' is given twice"):
        parse_lines(["a=1", "a=2"])
    edges = np.linspace(6.4, 7.0, 301)
    with pytest.raises(ValueError, match=r"z lies at 6\.6366 keV.*|w lies at"):
        place_lines(edges, [Line("w", 9.0)])
    with pytest.raises(ValueError, match="too few for a fit: raise line_window"):
        place_lines(edges, [Line("w", 6.7)], window=200.0)


def test_the_step_writes_maps_that_astropy_reads(tmp_path, xray_files):
    _, files = xray_files
    product = HifredStep.call(
        str(files),
        mu=1e-3,
        rank=6,
        error_samples=3,
        lines="OVIII=0.6536,FeXVII=0.8258",
        line_window=12000.0,
        save_results=True,
        save_report=True,
        output_dir=str(tmp_path),
    )
    (path,) = tmp_path.glob("*_lines.fits")
    with fits.open(path) as hdus:
        assert [one.strip() for one in hdus["LINES"].data["NAME"]] == ["OVIII", "FeXVII"]
        for number in (1, 2):
            for name in ("FLUX", "VELOCITY", "WIDTH"):
                hdu = hdus[name, number]
                assert hdu.data.shape == product.data.shape[1:]
                assert hdus[f"{name}_ERR", number].data.shape == hdu.data.shape
                wcs = WCS(hdu.header)
                assert wcs.has_celestial
                assert wcs.naxis == 2
        assert hdus["FLUX", 1].header["BUNIT"] == product.hdus["SCI"].header["BUNIT"]
        assert np.isfinite(hdus["FLUX", 2].data).mean() > 0.5
        assert np.nanmin(hdus["FLUX_ERR", 2].data) > 0
    (page,) = tmp_path.glob("*.html")
    text = page.read_text(encoding="utf-8")
    assert 'id="lines"' in text
    assert "Map of the flux of the line FeXVII" in text
    with pytest.raises(ValueError, match=r"Fe lies at 6\.7 keV, outside of the result"):
        HifredStep.call(str(files), lines="Fe=6.7")
