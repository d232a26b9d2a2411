import warnings

import numpy as np
import pytest
from hypothesis import given, settings
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


@settings(max_examples=40, deadline=None)
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


@pytest.mark.parametrize("name", ["F182M", "F187N", "F200W", "F210M", "F212N"])
def test_against_synphot(name, data_dir, monkeypatch):
    pytest.importorskip("synphot")
    if not (data_dir / "stpsf-data").is_dir():
        pytest.skip(f"no STPSF data in {data_dir}")
    monkeypatch.setenv("STPSF_PATH", str(data_dir / "stpsf-data"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import astropy.units as u
        from synphot import Empirical1D, Observation, SourceSpectrum, SpectralElement
        from synphot.units import FNU

    band = load_bandpass(name)
    lam = np.arange(1.55, 2.45, 0.0004)
    spectrum = 1.0 + 0.8 * np.sin(12.0 * lam) + 2.0 * np.exp(-0.5 * ((lam - 1.8756) / 0.002) ** 2)
    element = SpectralElement(
        Empirical1D, points=band.wavelength * 1e4, lookup_table=band.throughput
    )
    source = SourceSpectrum(Empirical1D, points=lam * 1e4, lookup_table=spectrum * FNU)
    # Its own grid resolves neither the lines nor narrow bands, so it is given a fine one.
    fine = np.arange(1.56, 2.44, 0.00005) * 1e4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        observed = Observation(source, element, binset=fine * u.AA, force="taper")
        reference = observed.effstim(FNU, wavelengths=fine * u.AA).value
    value = photometry_weights(lam, band) @ spectrum
    assert value == pytest.approx(reference, rel=1e-3)
