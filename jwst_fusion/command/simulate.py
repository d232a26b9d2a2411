"""``jwst-fusion simulate``: exposures or a cube, and images, of a scene with known truth."""

from pathlib import Path

from jwst_fusion.command.screen import logged

__all__ = ["add_parser"]

_PRODUCT = "jw09999-o001_t001"  # as jwst names products: program, observation, target
# Channels of a cube that is simulated without exposures: few enough for a fusion within a minute.
_CHANNELS = 330
_BEYOND = 0.01  # part of its wavelength by which the cube goes beyond the outermost filters
_PRISM = (0.6, 5.3)  # um, range of the prism and of NIRSpec
# Blocking filters of NIRSpec that are taken if none is given.
_BLOCKING = {"G140": "F100LP", "G235": "F170LP", "G395": "F290LP", "PRIS": "CLEAR"}
_MRS_BANDS = {"1": "1B", "2": "2B", "3": "3B", "4": "4B"}  # whose orientation a channel takes
_MIRI_PIXEL = 0.04  # arcsec: of the maps, fine enough for the PSF of the imager at 5 um


def add_parser(subparsers):
    """
    Add the command.

    Parameters
    ----------
    subparsers : argparse action
        The subparsers of ``jwst-fusion``.
    """
    text = "make exposures or a cube, and images, of a scene with known truth"
    one = subparsers.add_parser("simulate", help=text, description=text.capitalize() + ".")
    add = one.add_argument
    add("output", help="folder, made if absent")
    add("--instrument", choices=("nirspec", "miri", "xray"), default="nirspec", type=str.lower)
    add("--scene", choices=("nebula", "star", "crowded"), default="nebula")
    add("--cube", action="store_true", help="make a cube (s3d) at once instead of exposures")
    add("--exposures", type=int, default=4, help="number of dithered exposures, 1 to 4 (default)")
    add("--detector", choices=("NRS1", "NRS2"), type=str.upper, default="NRS1")
    add("--grating", type=str.upper, default="G235H", help="disperser of NIRSpec (G235H)")
    add("--blocking-filter", type=str.upper, help="filter of NIRSpec (that of the grating)")
    add("--channel", choices=tuple(_MRS_BANDS), default="2", help="of the MRS of MIRI (2)")
    add("--filters", nargs="+", type=str.upper, help="of NIRCam or MIRI (those that fit)")
    add("--roll", type=float, default=30.0, help="position angle of V3 of the cube [deg]")
    add("--image-roll", type=float, default=77.0, help="position angle of V3 of the images [deg]")
    add("--noise", type=float, default=0.15, help="noise of the images [MJy/sr]")
    text = "number of X-ray cubes: of a remnant (2), or of a cluster of galaxies (4)"
    add("--observations", type=int, choices=(2, 4), default=2, help=text)
    add("--seed", type=int, default=1, help="of the noise")
    one.set_defaults(run=_run)


def _run(options):
    from jwst_fusion.associations import make_association, write_association
    from jwst_fusion.simulation.observation import DITHERS
    from jwst_fusion.simulation.scene_file import ObservedTruth, write_truth

    if not 1 <= options.exposures <= len(DITHERS):
        msg = f"--exposures is {options.exposures}: it must be from 1 to {len(DITHERS)}"
        raise ValueError(msg)
    folder = Path(options.output)
    if options.instrument == "xray":
        return _xray(folder, options)
    make = _nirspec if options.instrument == "nirspec" else _miri
    with logged():
        scene, imager, science, images = make(folder, options)
    truth = write_truth(
        folder / f"{_PRODUCT}_truth.fits", ObservedTruth(scene, imager, options.image_roll)
    )
    table = make_association(science, images, product_name=_PRODUCT, folder=folder)
    path = write_association(table, folder / "fusion_asn.json")
    kind = "exposures" if science[0].endswith("_cal.fits") else "cube"
    print(f"{len(science)} {kind}, {len(images)} images; {truth} has the truth")
    # The step asks no CRDS server for parameters, as a pipeline does.
    print(f"{path} written: strun fusion {path} --output_dir={folder}")
    print(f"then: jwst-fusion compare {folder / _PRODUCT}_fused_s3d.fits {truth}")
    return 0


def _xray(folder, options):
    from jwst_fusion.simulation.xray import xray_pair
    from jwst_fusion.simulation.xray_files import write_xray_pair
    from jwst_fusion.simulation.xray_observations import (
        cluster_observations,
        write_observed_cluster,
    )

    if options.observations > 2:
        path = write_observed_cluster(cluster_observations(seed=options.seed), folder)
    else:
        path = write_xray_pair(xray_pair("small", seed=options.seed), folder)
    print(f"{path} written: strun hifred {path} --output_dir={folder}")
    stem = path.with_name(path.name.removesuffix("_asn.json"))
    print(f"then: jwst-fusion compare {stem}_hifred.fits {stem}_truth.fits")
    return 0


def _nirspec(folder, options):
    """Scene, imager, exposures or cube, and images."""
    from jwst_fusion.simulation.cube_parameters import write_nirspec_cube_parameters
    from jwst_fusion.simulation.observation import DITHERS, simulate_exposures, simulate_images

    blocking, (blue, red) = _setting(options)
    filters, (low, high) = _filters(options.filters, options.grating, blocking, blue, red)
    # The light of a filter that ends beyond the spectra is part of its image.
    # PSFs of NIRSpec and NIRCam end where the instruments do.
    ends = max(_PRISM[0], 0.96 * min(blue, low)), min(_PRISM[1], 1.05 * max(red, high))
    scene = _scene(options.scene, *ends)
    folder.mkdir(parents=True, exist_ok=True)
    if options.cube:
        span = max(blue, low * (1 - _BEYOND)), min(red, high * (1 + _BEYOND))
        science = [_cube(scene, folder, options, blocking, span)]
    else:
        science = simulate_exposures(
            folder,
            scene,
            roll=options.roll,
            detector=options.detector,
            grating=options.grating,
            filter_name=blocking,
            dithers=DITHERS[: options.exposures],
            seed=options.seed,
        )
        print(f"{write_nirspec_cube_parameters(folder / 'cubepar.fits')} written")
    images = simulate_images(
        folder,
        scene,
        filters=filters,
        roll=options.image_roll,
        noise=options.noise,
        seed=options.seed + 100,
    )
    imager = "SHORT" if any(_short(name) for name in filters) else "LONG"
    return scene, imager, science, images


def _setting(options):
    """Blocking filter of NIRSpec and the range of the setting [um]."""
    from jwst_fusion.simulation.builtin_geometry import GRATINGS

    grating = options.grating
    blocking = options.blocking_filter or _BLOCKING.get(grating[:4], "")
    if grating == "PRISM":
        if not options.cube:
            msg = "--grating PRISM: its exposures are not simulated; give --cube"
            raise ValueError(msg)
        return blocking, _PRISM
    if (grating, blocking) not in GRATINGS:
        known = ", ".join("/".join(one) for one in GRATINGS)
        msg = f"--grating {grating} --blocking-filter {blocking}: known are {known}, PRISM/CLEAR"
        raise ValueError(msg)
    return blocking, GRATINGS[grating, blocking][:2]


def _filters(asked, grating, blocking, blue, red):
    """Filters of NIRCam and the range that they cover [um]."""
    from jwst_fusion.bandpass.nominal import NIRCAM_FILTERS
    from jwst_fusion.bandpass.symmetric import SYMMETRIC_RANGES

    names = asked
    if not names:
        table = [
            one.filters
            for one in SYMMETRIC_RANGES
            if (one.grating[:4], one.blocking_filter) == (grating[:4], blocking)
        ]
        names = table[0] if table else ("F200W", "F356W")
    for name in names:
        if name not in NIRCAM_FILTERS:
            msg = f"--filters {name}: NIRCam has {', '.join(NIRCAM_FILTERS)}"
            raise ValueError(msg)
        low, high = NIRCAM_FILTERS[name]
        if high < blue or low > red:
            msg = (
                f"--filters {name}: it sees {low:g} to {high:g} um, and {grating}/{blocking} "
                f"{blue:g} to {red:g} um: give filters within that range"
            )
            raise ValueError(msg)
    ends = [NIRCAM_FILTERS[name] for name in names]
    return names, (min(low for low, _ in ends), max(high for _, high in ends))


def _short(name):
    from jwst_fusion.bandpass.nominal import NIRCAM_FILTERS
    from jwst_fusion.psf.instruments import NIRCAM_LIMIT

    return sum(NIRCAM_FILTERS[name]) / 2 < NIRCAM_LIMIT


def _scene(name, blue, red, pixel_scale=0.02):
    import numpy as np

    from jwst_fusion.simulation.scenes import nebula, single_star, with_stars

    span = {"blue": blue, "red": red, "pixel_scale": pixel_scale}
    if name == "nebula":
        return nebula(**span)
    # Hot stars fade with the wavelength: those of another band are as bright in its middle.
    middle = 0.5 * (blue + red)
    fading = single_star(blue=middle, red=1.001 * middle).spectra[0].max()
    if name == "star":
        return single_star(peak=4.0 / fading, **span)
    rng = np.random.default_rng(7)
    east, north = rng.uniform(-1.4, 1.4, (2, 60))
    flux = 0.2 * rng.pareto(1.5, 60) / fading
    stars = list(zip(east, north, flux, strict=True))
    return with_stars(single_star(peak=1.0 / fading, **span), stars)


def _cube(scene, folder, options, blocking, span):
    import numpy as np

    from jwst_fusion.simulation.cubes import simulate_s3d

    channels = np.linspace(*span, _CHANNELS)
    model = simulate_s3d(
        # A line has the light that falls into a channel, not that at the channel's centre.
        scene.integrated(channels),
        channels,
        roll=options.roll,
        grating=options.grating,
        filter_name=blocking,
        seed=options.seed,
    )
    return _saved(model, folder)


def _saved(model, folder):
    path = str(folder / model.meta.filename)
    model.save(path)
    model.close()
    return path


def _miri_span(names, blue, red):
    """Range [um] of a channel and of filters with their wings, as far as the imager's PSF goes."""
    from jwst_fusion.bandpass.nominal import MIRI_FILTERS
    from jwst_fusion.psf.instruments import INSTRUMENTS

    first, last = INSTRUMENTS["MIRI_IMAGER"].wavelength
    low = min(MIRI_FILTERS[name][0] for name in names)
    high = max(MIRI_FILTERS[name][1] for name in names)
    return max(first, min(blue, low * 0.9)), min(last, max(red, high * 1.1))


def _miri(folder, options):
    """Scene, imager, cube of a channel of the MRS, and images of MIRI."""
    import numpy as np

    from jwst_fusion.bandpass.nominal import MIRI_FILTERS
    from jwst_fusion.psf.instruments import MRS_BANDS
    from jwst_fusion.simulation.miri import (
        miri_imager_psf,
        mrs_psf,
        simulate_miri_i2d,
        simulate_mrs_s3d,
    )

    ends = [MRS_BANDS[name][1:] for name in MRS_BANDS if name[0] == options.channel]
    blue, red = min(low for low, _ in ends), max(high for _, high in ends)
    fit = [name for name, (low, high) in MIRI_FILTERS.items() if low > blue and high < red]
    names = options.filters or fit
    for name in names:
        if name not in MIRI_FILTERS:
            msg = f"--filters {name}: the imager of MIRI has {', '.join(MIRI_FILTERS)}"
            raise ValueError(msg)
    if not names:
        msg = f"no filter of MIRI lies within channel {options.channel}: give --filters"
        raise ValueError(msg)
    scene = _scene(options.scene, *_miri_span(names, blue, red), _MIRI_PIXEL)
    folder.mkdir(parents=True, exist_ok=True)
    channels = np.linspace(blue, red, _CHANNELS)
    recorded = scene.integrated(channels)
    cube = simulate_mrs_s3d(
        recorded,
        channels,
        options.channel,
        shape=(25, 27),
        roll=options.roll,
        psf=mrs_psf(recorded, _MRS_BANDS[options.channel], roll=options.roll),
        seed=options.seed,
    )
    science = [_saved(cube, folder)]
    observed = scene.observe(miri_imager_psf(scene, roll=options.image_roll))
    images = [
        _saved(
            simulate_miri_i2d(
                observed,
                name,
                shape=(70, 74),
                roll=options.image_roll,
                noise=options.noise,
                seed=options.seed + 100 + number,
            ),
            folder,
        )
        for number, name in enumerate(names)
    ]
    return scene, "MIRI", science, images
