import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from jwst_fusion.bandpass import (
    Bandpass,
    coverage,
    load_bandpass,
    nominal_bandpass,
    photometry_weights,
    sampling_cells,
)

BAND = nominal_bandpass("F182M")


def exact(band, spectrum):
    """Photon-weighted mean of a spectrum per unit frequency, by adaptive quadrature."""
    lam = np.linspace(band.wavelength[0], band.wavelength[-1], 400001)
    curve = np.interp(lam, band.wavelength, band.throughput) / lam
    return np.trapezoid(spectrum(lam) * curve, lam) / np.trapezoid(curve, lam)


def test_integral_is_exact_for_a_piecewise_linear_curve():
    band = Bandpass("X", [1.0, 1.5, 1.6, 2.2], [0.0, 0.4, 0.1, 0.3], "test")
    for upper in (0.9, 1.2, 1.5, 1.95, 2.2, 3.0):
        value = quad(
            lambda x: np.interp(x, band.wavelength, band.throughput, left=0, right=0) / x,
            0.9,
            upper,
            points=[1.0, 1.5, 1.6, 2.2],
            epsabs=1e-12,
        )[0]
        assert band.integral(upper) == pytest.approx(value, abs=1e-9)


def test_pivot_links_flux_per_frequency_and_per_wavelength():
    lam = np.linspace(1.6, 2.1, 100001)
    curve = np.interp(lam, BAND.wavelength, BAND.throughput, left=0, right=0)
    pivot = np.sqrt(np.trapezoid(curve * lam, lam) / np.trapezoid(curve / lam, lam))
    assert BAND.pivot == pytest.approx(pivot, rel=1e-7)


@given(
    seed=st.integers(0, 1000),
    count=st.integers(40, 600),
    gap=st.floats(0.0, 0.05),
    order=st.sampled_from(["ascending", "descending", "shuffled"]),
)
def test_constant_spectrum_is_kept_for_any_sampling(seed, count, gap, order):
    rng = np.random.default_rng(seed)
    lam = np.sort(rng.uniform(1.6, 2.1, count))
    lam = lam[np.abs(lam - 1.85) >= gap / 2]
    if order == "descending":
        lam = lam[::-1]
    elif order == "shuffled":
        rng.shuffle(lam)
    weights = photometry_weights(lam, BAND)
    assert weights.min() >= 0
    assert weights @ np.full(lam.size, 3.7) == pytest.approx(3.7, rel=1e-12)
    assert 0 < coverage(lam, BAND) <= 1


def test_smooth_spectrum_and_line_against_quadrature():
    lam = np.arange(1.66, 2.3, 0.0004)

    def spectrum(x):
        return 2.0 + (x - 1.7) ** 2 + 3.0 * np.exp(-0.5 * ((x - 1.8756) / 0.001) ** 2)

    for name in ("F182M", "F187N", "F200W"):
        band = nominal_bandpass(name)
        value = photometry_weights(lam, band) @ spectrum(lam)
        assert value == pytest.approx(exact(band, spectrum), rel=2e-4)


def test_coarse_and_uneven_sampling():
    lam = np.concatenate([np.arange(1.60, 1.85, 0.0011), np.arange(1.85, 2.1, 0.004)])
    value = photometry_weights(lam, BAND) @ (lam**2)
    assert value == pytest.approx(exact(BAND, lambda x: x**2), rel=2e-4)


def test_direction_and_order_do_not_matter():
    lam = np.linspace(1.66, 2.3, 641)
    shuffled = np.random.default_rng(1).permutation(lam.size)
    weights = photometry_weights(lam, BAND)
    np.testing.assert_allclose(photometry_weights(lam[::-1], BAND), weights[::-1], atol=1e-15)
    np.testing.assert_allclose(
        photometry_weights(lam[shuffled], BAND), weights[shuffled], atol=1e-15
    )


@pytest.mark.parametrize("kind", ["missing samples", "invalid samples", "NaN wavelength"])
def test_a_gap_is_not_integrated_over(kind):
    lam = np.arange(1.66, 2.3, 0.001)
    inside = (lam > 1.80) & (lam < 1.90)
    if kind == "missing samples":
        axis, valid = lam[~inside], None
    elif kind == "invalid samples":
        axis, valid = lam, ~inside
    else:
        axis, valid = np.where(inside, np.nan, lam), None
    low, high = sampling_cells(axis, valid)
    assert np.max(high - low) < 0.0011
    weights = photometry_weights(axis, BAND, valid=valid)
    whole = photometry_weights(lam, BAND)
    expected = np.where(inside, 0.0, whole) / whole[~inside].sum()
    if kind == "missing samples":
        expected = expected[~inside]
    np.testing.assert_allclose(weights, expected, atol=2e-4 * whole.max())
    missing = (BAND.integral(1.9) - BAND.integral(1.8)) / BAND.integral(3.0)
    assert coverage(axis, BAND, valid=valid) == pytest.approx(1 - missing, abs=0.005)


def test_a_single_bad_channel_is_bridged():
    lam = np.arange(1.66, 2.3, 0.001)
    valid = np.ones(lam.size, dtype=bool)
    valid[190] = False
    weights = photometry_weights(lam, BAND, valid=valid)
    assert weights[190] == 0
    assert coverage(lam, BAND, valid=valid) == pytest.approx(1.0, abs=1e-6)
    assert weights @ lam == pytest.approx(photometry_weights(lam, BAND) @ lam, rel=1e-7)


def test_coverage_of_a_band_cut_in_half():
    lam = np.arange(BAND.half_power[0] - 0.1, 1.845, 0.0005)
    assert coverage(lam, BAND) == pytest.approx(0.51, abs=0.02)
    assert coverage(lam - 1.0, BAND) == 0.0


def test_band_outside_the_spectrum_and_bad_arrays_are_refused():
    with pytest.raises(ValueError, match=r"F182M .*does not overlap"):
        photometry_weights(np.linspace(3.0, 4.0, 100), BAND)
    with pytest.raises(ValueError, match="does not overlap"):
        photometry_weights(np.linspace(1.6, 2.1, 100), BAND, valid=np.zeros(100, bool))
    with pytest.raises(ValueError, match="shape of wavelength"):
        photometry_weights(np.linspace(1.6, 2.1, 100), BAND, valid=np.zeros(99, bool))
    with pytest.raises(ValueError, match="positive"):
        photometry_weights(np.linspace(-1, 2.1, 100), BAND)


def synphot_photometry(band, lam, spectrum):
    """Effective stimulus in F_nu and pivot [um] by synphot, of a curve as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import astropy.units as u
        from synphot import Empirical1D, Observation, SourceSpectrum, SpectralElement
        from synphot.units import FNU

        # It would continue the values at the ends of the curve; ours is zero there.
        first, last = band.wavelength[[0, -1]] + [-1e-7, 1e-7]
        points = np.concatenate([[first], band.wavelength, [last]])
        element = SpectralElement(
            Empirical1D, points=points * 1e4, lookup_table=np.pad(band.throughput, 1)
        )
        source = SourceSpectrum(Empirical1D, points=lam * 1e4, lookup_table=spectrum * FNU)
        # Its own grid resolves neither the lines nor narrow bands, so it is given a fine one.
        fine = np.arange(lam[0], lam[-1], 0.00005) * 1e4
        observed = Observation(source, element, binset=fine * u.AA, force="taper")
        flux = observed.effstim(FNU, wavelengths=fine * u.AA).value
        return flux, element.pivot(wavelengths=fine * u.AA).to_value(u.um)


def jagged_bandpass():
    """Curve with fringes, an asymmetric shape and uneven sampling."""
    lam = np.sort(np.random.default_rng(3).uniform(1.9, 2.2, 200))
    curve = np.clip((lam - 1.9) / 0.3, 0, 1) * (1 + 0.3 * np.sin(200 * lam))
    curve[[0, -1]] = 0
    return Bandpass("JAGGED", lam, curve, "test")


def check_against_synphot(band):
    lam = np.arange(0.55, 2.45, 0.0004)
    spectrum = 1.0 + 0.8 * np.sin(12.0 * lam) + 2.0 * np.exp(-0.5 * ((lam - 1.8756) / 0.002) ** 2)
    flux, pivot = synphot_photometry(band, lam, spectrum)
    assert photometry_weights(lam, band) @ spectrum == pytest.approx(flux, rel=2e-4)
    assert band.pivot == pytest.approx(pivot, rel=1e-6)


@pytest.mark.parametrize("name", ["F182M", "F187N", "F200W", "F210M", "F212N", "JAGGED"])
def test_against_synphot(name):
    check_against_synphot(jagged_bandpass() if name == "JAGGED" else nominal_bandpass(name))


@pytest.mark.parametrize("name", ["F182M", "F187N", "F200W", "F210M", "F212N"])
def test_measured_curves_against_synphot(name, stpsf_path, monkeypatch):
    monkeypatch.setenv("STPSF_PATH", str(stpsf_path))
    check_against_synphot(load_bandpass(name))


def test_photon_counting_differs_from_energy_counting():
    # Without 1 / lambda, or with lambda instead, the steep spectrum is wrong by more than 1 %.
    lam, band = np.arange(1.55, 2.45, 0.0004), nominal_bandpass("F200W")
    spectrum = lam**4
    flux, _ = synphot_photometry(band, lam, spectrum)
    assert photometry_weights(lam, band) @ spectrum == pytest.approx(flux, rel=1e-4)
    curve = np.interp(lam, band.wavelength, band.throughput, left=0, right=0)
    for weight in (curve, curve * lam):
        assert abs(weight @ spectrum / weight.sum() / flux - 1) > 0.01


@st.composite
def curves(draw):
    """Any positive throughput curve between 1.7 and 2.1 um."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    count = draw(st.integers(2, 300))
    lam = np.sort(rng.choice(np.linspace(1.7, 2.1, 4001), count, replace=False))
    curve = rng.uniform(0, 1, count) ** draw(st.floats(0.2, 4.0))
    return Bandpass("X", lam, curve, "test")


def smooth_spectrum(seed, lam):
    """Positive continuum with a broad feature."""
    slope, bend, height, centre, width = np.random.default_rng(seed).uniform(
        [-2, -2, 0, 1.7, 0.03], [2, 2, 2, 2.1, 0.2]
    )
    x = lam - 1.9
    return 2 + slope * x + bend * x**2 + height * np.exp(-0.5 * ((lam - centre) / width) ** 2)


@given(band=curves(), value=st.floats(-1e6, 1e6), count=st.integers(5, 2000))
def test_flat_spectrum_gives_its_constant(band, value, count):
    lam = np.linspace(1.6, 2.2, count)
    weights = photometry_weights(lam, band)
    assert weights @ np.full(count, value) == pytest.approx(value, rel=1e-12)
    assert coverage(lam, band) == pytest.approx(1.0, rel=1e-12)


@given(band=curves(), seed=st.integers(0, 1000), a=st.floats(-5, 5), exponent=st.integers(-12, 12))
def test_linear_bounded_and_free_of_the_unit_of_throughput(band, seed, a, exponent):
    lam = np.linspace(1.6, 2.2, 700)
    one, two = smooth_spectrum(seed, lam), smooth_spectrum(seed + 1, lam)
    weights = photometry_weights(lam, band)
    together = weights @ (one + a * two)
    assert together == pytest.approx(weights @ one + a * (weights @ two), rel=1e-10, abs=1e-10)
    used = weights > 0
    assert one[used].min() - 1e-12 <= weights @ one <= one[used].max() + 1e-12
    scaled = Bandpass("X", band.wavelength, band.throughput * 10.0**exponent, "test")
    np.testing.assert_allclose(photometry_weights(lam, scaled), weights, rtol=1e-7, atol=1e-14)
    assert scaled.pivot == pytest.approx(band.pivot, rel=1e-12)


@given(
    name=st.sampled_from(["F182M", "F187N", "F200W", "F210M", "F212N"]),
    count=st.integers(250, 3000),
    phase=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_resampled_curve_keeps_photometry_of_smooth_spectra(name, count, phase, seed):
    band = nominal_bandpass(name)
    first, last = band.wavelength[[0, -1]]
    lam = first + (np.arange(count + 1) + phase - 0.5) * (last - first) / count
    curve = np.interp(lam, band.wavelength, band.throughput, left=0, right=0)
    axis = np.arange(1.6, 2.4, 0.0004)
    spectrum = smooth_spectrum(seed, axis)
    value = photometry_weights(axis, Bandpass(name, lam, curve, "resampled")) @ spectrum
    assert value == pytest.approx(photometry_weights(axis, band) @ spectrum, rel=1e-4)


@given(band=curves(), cut=st.integers(300, 900), seed=st.integers(0, 1000))
def test_partly_covered_band_is_the_mean_over_the_covered_part(band, cut, seed):
    # What the two parts of a cut spectrum give, weighted by their coverage, is the whole.
    lam = np.linspace(1.6, 2.2, 1201)
    spectrum = smooth_spectrum(seed, lam)
    total = fraction = 0.0
    for part in (lam < lam[cut], lam >= lam[cut]):
        covered = coverage(lam, band, valid=part)
        assert coverage(lam[part], band) == pytest.approx(covered, abs=1e-10)
        if covered > 1e-9:
            weights = photometry_weights(lam, band, valid=part)
            assert weights.sum() == pytest.approx(1.0, rel=1e-12)
            total += covered * (weights @ spectrum)
        fraction += covered
    edge = 0.5 * (lam[cut - 1] + lam[cut])
    blue = float(band.integral(edge) / band.integral(3.0))
    assert fraction == pytest.approx(1.0, abs=1e-9)
    assert coverage(lam, band, valid=lam < lam[cut]) == pytest.approx(blue, abs=1e-9)
    assert total == pytest.approx(photometry_weights(lam, band) @ spectrum, rel=1e-7)
