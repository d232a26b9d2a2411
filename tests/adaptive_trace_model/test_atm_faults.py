"""Faults in what the step is given: it says so once, and spoils nothing."""

import resource
import signal
import socket

import numpy as np
import pytest
from astropy.io import fits
from jwst.datamodels import ModelContainer, ModelLibrary
from stdatamodels.jwst import datamodels
from stdatamodels.jwst.datamodels import dqflags
from stpipe.exceptions import ValidationError

from jwst_fusion.adaptive_trace_model import exposure as exposure_module
from jwst_fusion.numerics.cores import count_cores
from jwst_fusion.simulation.exposures import builtin_exposure, paint
from jwst_fusion.simulation.reference_geometry import new_mrs_exposure
from jwst_fusion.simulation.slits import (
    bright_object_exposure,
    fixed_slit_exposure,
    lrs_exposure,
    mos_exposure,
)
from jwst_fusion.steps.adaptive_trace_model import AdaptiveTraceModelStep

SKIPPED, FAILED, COMPLETE = "SKIPPED", "FAILED", "COMPLETE"
DO_NOT_USE = dqflags.pixel["DO_NOT_USE"]
ESTIMATED = dqflags.pixel["FLUX_ESTIMATED"]
POINTING = {"ra": 150.0, "dec": 20.0, "roll": 30.0}
ARRAYS = ("data", "err", "dq", "var_rnoise", "var_poisson", "var_flat")


class Star:
    """A star that the pixels undersample, on a faint sky."""

    def sample(self, ra, dec, wavelength):
        east = (ra - POINTING["ra"]) * np.cos(np.radians(POINTING["dec"]))
        distance = 3600 * np.hypot(east, dec - POINTING["dec"])
        return 2 + 400 * np.exp(-4 * np.log(2) * (distance / 0.15) ** 2) + 0 * wavelength


def ifu_exposure():
    """Six slices around a star; the others are left out."""
    model = builtin_exposure(**POINTING)
    model.regions = np.where(model.regions <= 6, model.regions, 0)
    paint(model, Star(), seed=2)
    return model


def mrs_exposure():
    """Data, but no WCS: for what is refused before."""
    model = new_mrs_exposure(**POINTING)
    rng = np.random.default_rng(0)
    for name in ARRAYS:
        kind = np.uint32 if name == "dq" else np.float32
        setattr(model, name, rng.integers(1, 3, model.data.shape).astype(kind) * (name != "dq"))
    return model


#: The kinds of input, and whether they are time series.
KINDS = {
    "IFU": (ifu_exposure, False),
    "MRS": (mrs_exposure, False),
    "fixed slits": (lambda: fixed_slit_exposure(names=("S200A1", "S400A1"), columns=80), False),
    "slitlets": (lambda: mos_exposure(shutters=(3, 3), columns=80), False),
    "slit": (lambda: fixed_slit_exposure(single=True, columns=80), False),
    "bright object": (lambda: bright_object_exposure(columns=80), True),
    "LRS slit": (lrs_exposure, False),
    "LRS slitless": (lambda: lrs_exposure(kind="slitless"), True),
}
WITH_WCS = [kind for kind in KINDS if kind != "MRS"]


@pytest.fixture(scope="module")
def originals():
    """Exposures of the kinds, made when first asked for."""
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = KINDS[kind][0]()
        return made[kind]

    return get


@pytest.fixture(scope="module")
def doubled(originals):
    """Results with one thread and twice the pixels."""
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = run(originals(kind), oversample=2.0, maximum_cores="none")
        return made[kind]

    return get


@pytest.fixture
def exposure(originals, request):
    return originals(request.param).copy()


def parts(model):
    return list(model.slits) if isinstance(model, datamodels.MultiSlitModel) else [model]


def run(model, **parameters):
    return AdaptiveTraceModelStep(**parameters).run(model)


def state(model):
    return model.meta.cal_step.adaptive_trace_model


def contents(model):
    """All arrays and metadata, the WCS by its frames; without status and log of the step."""
    ours = ("adaptive_trace_model", "cal_logs", "calibration_software", "crds", "meta.date")
    flat = model.to_flat_dict(include_arrays=False)
    flat = {
        key: value.available_frames if key.endswith("meta.wcs") and value else value
        for key, value in flat.items()
        if not any(name in key for name in ours)
    }
    arrays = [
        {name: np.array(getattr(part, name)) for name in ARRAYS if part.hasattr(name)}
        for part in parts(model)
    ]
    return flat, arrays


def assert_same(model, before):
    flat, arrays = contents(model)
    assert flat == before[0]
    for found, expected in zip(arrays, before[1], strict=True):
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def lose_wcs(model):
    for part in parts(model):
        part.meta.wcs = None


def fill(**values):
    def change(model):
        for part in parts(model):
            for name, value in values.items():
                getattr(part, name)[:] = value

    return change


def change_type(model):
    model.meta.exposure.type = "NRS_IMAGE"


def change_detector(model):
    model.meta.instrument.detector = "NIS"


UNUSABLE = {
    "no WCS": lose_wcs,
    "NaN": fill(data=np.nan),
    "flagged": fill(dq=DO_NOT_USE),
    "zero": fill(data=0.0),
    "infinite": fill(data=np.inf),
    "wrong exposure type": change_type,
    "wrong detector": change_detector,
}


# Every fault in an image of many spectra and in a series, every kind with one.
@pytest.mark.parametrize(
    ("exposure", "fault"),
    [
        *((kind, fault) for kind in ("IFU", "bright object") for fault in UNUSABLE),
        *(("MRS", fault) for fault in ("no WCS", "wrong exposure type", "wrong detector")),
        ("slitlets", "NaN"),
        ("slit", "flagged"),
        ("LRS slit", "no WCS"),
        ("LRS slitless", "zero"),
    ],
    indirect=["exposure"],
)
def test_unusable_exposures_come_back_as_they_were(exposure, fault, caplog):
    UNUSABLE[fault](exposure)
    before = contents(exposure)
    result = run(exposure)
    assert state(result) == SKIPPED
    assert_same(result, before)
    assert_same(exposure, before)
    assert state(exposure) is None
    assert not any(part.hasattr("trace_model") for part in parts(result))
    assert sum("step skipped" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize(
    ("exposure", "name"),
    [
        ("IFU", "err"),
        ("slitlets", "dq"),
        ("bright object", "var_rnoise"),
        ("slitlets", "var_poisson"),
        ("bright object", "var_flat"),
    ],
    indirect=["exposure"],
)
def test_arrays_of_another_shape_are_refused(exposure, name, tmp_path):
    part = parts(exposure)[-1]
    array = getattr(part, name)
    setattr(part, name, array[..., :-1])
    before = contents(exposure)
    with pytest.raises(ValueError, match=f"{name} has the shape"):
        run(exposure, save_results=True, output_dir=str(tmp_path))
    assert_same(exposure, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["slit", "bright object"])
def test_data_that_are_no_images(originals, kind):
    slit = originals(kind).copy()
    slit.data = np.ones(7, dtype=np.float32)
    with pytest.raises(ValueError, match=r"data has the shape \(7,\)"):
        run(slit)


@pytest.mark.parametrize("exposure", WITH_WCS, indirect=True)
def test_input_is_not_changed(exposure, request):
    kind = request.node.callspec.params["exposure"]
    before = contents(exposure)
    wcs = [part.meta.wcs for part in parts(exposure)]
    series = KINDS[kind][1]
    result = run(exposure, oversample=1.0 if series else 2.0)
    assert state(result) == COMPLETE
    assert_same(exposure, before)
    assert all(part.meta.wcs is old for part, old in zip(parts(exposure), wcs, strict=True))
    assert not any(part.hasattr("trace_model") for part in parts(exposure))
    assert all(np.isfinite(part.trace_model).any() for part in parts(result))
    if series:
        # only what had no data is filled
        for part, old in zip(parts(result), parts(exposure), strict=True):
            held = np.isfinite(old.data) & ((old.dq & DO_NOT_USE) == 0)
            for name in ("data", "err", "dq"):
                one, other = getattr(part, name), getattr(old, name)
                np.testing.assert_array_equal(one[held], other[held])
        assert_same(run(exposure, fill_integrations=False), before)
        assert state(run(exposure, oversample=2.0)) == SKIPPED


@pytest.mark.parametrize(
    "exposure", ["IFU", "slitlets", "bright object", "LRS slit"], indirect=True
)
def test_without_errors(exposure, caplog, request):
    factor = 1.0 if KINDS[request.node.callspec.params["exposure"]][1] else 2.0
    for part in parts(exposure):
        for name in ARRAYS[1:]:
            if name != "dq":
                delattr(part, name)
    result = run(exposure, oversample=factor)
    assert state(result) == COMPLETE
    assert "err holds no positive error" in caplog.text
    for before, after in zip(parts(exposure), parts(result), strict=True):
        assert np.isfinite(after.trace_model).any()
        assert np.isfinite(after.data).sum() > 0.95 * factor * np.isfinite(before.data).sum()


@pytest.mark.parametrize(
    ("exposure", "value"),
    [("IFU", np.nan), ("slit", np.inf), ("slit", 0.0), ("slit", -1.0), ("IFU", 1e30)],
    indirect=["exposure"],
)
def test_no_error_is_of_use(exposure, value, caplog):
    """The noise is estimated, and given to all pixels."""
    for part in parts(exposure):
        part.err = np.full_like(part.err, value)
    result = run(exposure, oversample=2.0)
    assert state(result) == COMPLETE
    assert "err holds no positive error" in caplog.text
    for before, after in zip(parts(exposure), parts(result), strict=True):
        seen = np.isfinite(after.data)
        assert seen.sum() > 0.95 * 2 * np.isfinite(before.data).sum()
        assert (after.err[seen] > 0).all()


@pytest.mark.parametrize(
    ("exposure", "value"),
    [("slit", 0.0), ("slit", -1.0), ("slit", np.nan), ("IFU", np.inf)],
    indirect=["exposure"],
)
def test_single_pixels_without_error(exposure, value, caplog, request, doubled):
    """They take no part in the fit and get no error."""
    clean = doubled(request.node.callspec.params["exposure"])
    used = np.isfinite(exposure.data) & np.isfinite(clean.trace_model[::2])
    used &= exposure.dq == 0
    y, x = (index[:: used.sum() // 30 + 1] for index in np.nonzero(used))
    exposure.err[y, x] = value
    # Which would spoil the fit if they counted.
    exposure.data[y[::2], x[::2]] *= 50
    result = run(exposure, oversample=2.0)
    assert state(result) == COMPLETE
    assert f"{len(y)} pixels without positive error take no part" in caplog.text
    assert not np.isinf(result.err).any()
    assert not (result.err < 0).any()
    columns = np.setdiff1d(np.arange(exposure.data.shape[1]), x)
    both = np.isfinite(result.data) & np.isfinite(clean.data)
    change = np.where(both, (result.data - clean.data) / clean.err, 0.0)[:, columns]
    assert np.abs(change).max() < 1
    # In their own columns, 1.3 per cent of the peak at most: a pixel less to tell the scale from.
    model = np.where(both, result.trace_model - clean.trace_model, 0.0)
    assert np.nanmax(np.abs(model)) < 0.02 * np.nanmax(clean.data)


@pytest.mark.parametrize(
    "exposure", ["slitlets", "slit", "LRS slit", "LRS slitless"], indirect=True
)
def test_without_wavelengths(exposure, originals, request):
    kind = request.node.callspec.params["exposure"]
    factor = 1.0 if KINDS[kind][1] else 2.0
    for part in parts(exposure):
        del part.wavelength
    results = [run(model, oversample=factor) for model in (originals(kind), exposure)]
    assert [state(result) for result in results] == [COMPLETE, COMPLETE]
    for complete, bare in zip(*map(parts, results), strict=True):
        np.testing.assert_array_equal(complete.trace_model, bare.trace_model)
        if factor > 1:
            np.testing.assert_array_equal(complete.wavelength, bare.wavelength)


@pytest.mark.parametrize("exposure", ["IFU", "slit"], indirect=True)
def test_impossible_values_are_masked(exposure, request, doubled):
    """Whether flagged or not."""
    wild = (1e30, -1e30, 3e38, np.inf, -np.inf)
    clean = doubled(request.node.callspec.params["exposure"])
    good = np.isfinite(exposure.data) & np.isfinite(clean.trace_model[::2])
    y, x = (index[:: good.sum() // 40 + 1] for index in np.nonzero(good))
    exposure.data[y, x] = np.resize(wild, len(y))
    exposure.dq[y[::3], x[::3]] = DO_NOT_USE
    result = run(exposure, oversample=2.0)
    assert state(result) == COMPLETE
    assert np.nanmax(np.abs(result.data)) < 2 * np.nanmax(np.abs(clean.data))
    for row in (2 * y, 2 * y + 1):
        assert (result.dq[row, x] & (ESTIMATED | DO_NOT_USE)).all()
        filled = (result.dq[row, x] & ESTIMATED) > 0
        assert filled.mean() > 0.8
        assert np.isfinite(result.data[row, x][filled]).all()


def test_fit_that_fails(originals, monkeypatch, caplog):
    """The result is that of linear interpolation, and it is said once."""
    expected = run(originals("slitlets"), oversample=2.0, fit_threshold=1e9)
    monkeypatch.setattr(exposure_module, "fit_trace", lambda *args, **kwargs: None)
    caplog.clear()
    result = run(originals("slitlets"), oversample=2.0)
    assert state(result) == COMPLETE
    messages = [r.message for r in caplog.records if "could not be fitted" in r.message]
    assert messages == ["2 slices or slits could not be fitted and are interpolated linearly"]
    for failed, linear in zip(result.slits, expected.slits, strict=True):
        np.testing.assert_array_equal(failed.data, linear.data)
        np.testing.assert_array_equal(failed.err, linear.err)
        assert np.isnan(failed.trace_model).all()


@pytest.mark.parametrize(("kind", "cores"), [("IFU", "2"), ("fixed slits", "half")])
def test_number_of_threads_does_not_matter(originals, kind, cores, doubled, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    result = run(originals(kind), oversample=2.0, maximum_cores=cores)
    for one, several in zip(parts(doubled(kind)), parts(result), strict=True):
        for name in (*ARRAYS, "trace_model", "wavelength"):
            np.testing.assert_array_equal(getattr(one, name), getattr(several, name))


def test_number_of_threads(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    counts = {"none": 1, "quarter": 2, "half": 4, "all": 8, "3": 3, "99": 8, " Half ": 4}
    assert {text: count_cores(text) for text in counts} == counts
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert count_cores("all") == count_cores("quarter") == 1


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("oversample", 10.1),
        ("oversample", float("inf")),
        ("fit_threshold", float("-inf")),
        ("slope_limit", float("nan")),
        ("maximum_cores", "-1"),
        ("maximum_cores", "1.5"),
        ("maximum_cores", ""),
        ("oversample", "two"),
        ("fit_threshold", "low"),
        ("slope_limit", "0.1 per pixel"),
        ("psf_optimal", "maybe"),
        ("profile_model", "spline"),
        ("save_intermediate_results", "x"),
        ("pixel_scale", 1.0),
    ],
)
def test_wrong_parameters_are_refused_at_once(parameter, value, exposure_file, tmp_path):
    path, _ = exposure_file
    before = path.read_bytes()
    with pytest.raises((ValueError, ValidationError), match=parameter):
        AdaptiveTraceModelStep.call(
            str(path), save_results=True, output_dir=str(tmp_path), **{parameter: value}
        )
    assert path.read_bytes() == before
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def exposure_file(originals, tmp_path_factory):
    """A file of slitlets, read-only, in a folder of its own."""
    path = tmp_path_factory.mktemp("input") / "slits_cal.fits"
    originals("slitlets").copy().save(str(path))
    path.chmod(0o444)
    return path, originals("slitlets")


def call(path, folder, **parameters):
    return AdaptiveTraceModelStep.call(
        str(path), save_results=True, output_dir=str(folder), **parameters
    )


def test_read_only_file(exposure_file, tmp_path):
    path, _ = exposure_file
    before = path.read_bytes()
    result = call(path, tmp_path, oversample=2.0)
    assert state(result) == COMPLETE
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["slits_adaptive_trace_model.fits"]
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    header = fits.getheader(tmp_path / "slits_adaptive_trace_model.fits")
    assert header["FILENAME"] == "slits_adaptive_trace_model.fits"
    assert header["S_TRCMOD"] == COMPLETE


@pytest.fixture
def small_disk():
    """Let no file grow beyond 50 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("intermediate", [False, True])
@pytest.mark.parametrize("earlier", [b"", b"of an earlier run"])
def test_full_disk(exposure_file, tmp_path, small_disk, intermediate, earlier):
    path, _ = exposure_file
    names = ("slits_adaptive_trace_model.fits", "slits_spline_full.fits") if earlier else ()
    for name in names:
        (tmp_path / name).write_bytes(earlier)
    with pytest.raises(OSError, match=r"requested and|File too large"):
        call(path, tmp_path, oversample=3.0, save_intermediate_results=intermediate)
    assert {file.name for file in tmp_path.iterdir()} == set(names)
    assert all((tmp_path / name).read_bytes() == earlier for name in names)


def test_remains_of_a_killed_process(exposure_file, tmp_path):
    path, original = exposure_file
    output = tmp_path / "slits_adaptive_trace_model.fits"
    output.write_bytes(path.read_bytes()[:20_000])
    (tmp_path / f".12345.{output.name}").write_bytes(b"half of it")
    call(path, tmp_path, oversample=2.0)
    with datamodels.open(output) as read:
        assert state(read) == COMPLETE
        assert len(read.slits) == len(original.slits)
        # Read again, it is an oversampled exposure, and stays what it is.
        again = run(read, oversample=2.0)
        assert state(again) == COMPLETE
        assert_same(again, contents(read))


def test_output_folder(exposure_file, tmp_path):
    """It is made if it is missing, and nothing is written elsewhere if that is impossible."""
    path, _ = exposure_file
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        call(path, tmp_path / "file", save_intermediate_results=True)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
    call(path, tmp_path / "absent")
    assert [file.name for file in (tmp_path / "absent").iterdir()] == [
        "slits_adaptive_trace_model.fits"
    ]


@pytest.mark.parametrize("kind", ["junk", "empty", "truncated", "not JWST", "missing"])
def test_bad_files_are_named(exposure_file, tmp_path, kind):
    path, _ = exposure_file
    bad, output = tmp_path / "bad_cal.fits", tmp_path / "output"
    output.mkdir()
    if kind == "not JWST":
        fits.PrimaryHDU(np.zeros((3, 3))).writeto(bad)
    elif kind != "missing":
        whole = path.read_bytes()
        content = {"junk": b"hello" * 999, "empty": b"", "truncated": whole[: len(whole) // 2]}
        bad.write_bytes(content[kind])
    with pytest.raises((ValueError, FileNotFoundError), match=r"bad_cal\.fits"):
        call(bad, output)
    assert not list(output.iterdir())


@pytest.mark.parametrize("value", [None, np.zeros((3, 3)), 5, object()])
def test_other_objects_are_refused(value):
    with pytest.raises(TypeError, match="is not supported"):
        run(value)


@pytest.mark.parametrize("kind", ["CubeModel", "IFUCubeModel", "MultiSpecModel", "ImageModel"])
def test_models_that_hold_no_such_exposure(kind):
    model = getattr(datamodels, kind)()
    assert state(run(model, oversample=2.0)) == FAILED


def test_one_exposure_does_not_spoil_the_others(originals):
    models = [originals(kind).copy() for kind in ("slitlets", "slit", "bright object")]
    lose_wcs(models[1])
    models.append(datamodels.ImageModel((8, 8)))
    for number, model in enumerate(models):
        model.meta.filename = f"exposure{number}_cal.fits"
    expected = [COMPLETE, SKIPPED, SKIPPED, FAILED]
    assert [state(model) for model in run(ModelContainer(models), oversample=2.0)] == expected
    library = run(ModelLibrary([model.copy() for model in models]), oversample=2.0)
    with library:
        found = []
        for index, model in enumerate(library):
            found.append(state(model))
            library.shelve(model, index, modify=False)
    assert found == expected


def test_nothing_is_asked_of_the_network(originals, monkeypatch):
    def refuse(*args, **kwargs):
        msg = "the network was asked"
        raise AssertionError(msg)

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("STPIPE_DISABLE_CRDS_STEPPARS", raising=False)
    assert state(AdaptiveTraceModelStep.call(originals("slit"))) == COMPLETE
