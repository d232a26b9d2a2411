"""``jwst-fusion simulate``: exposures or a cube, and images, of a scene with known truth."""

from pathlib import Path

from jwst_fusion.command.screen import logged

__all__ = ["add_parser"]

_PRODUCT = "jw09999-o001_t001"  # as jwst names products: program, observation, target
# Channels of a cube that is simulated without exposures; those of the instrument are 4e-4 um apart.
_STEP = 2e-3


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
    add("--scene", choices=("nebula", "star", "crowded"), default="nebula")
    add("--cube", action="store_true", help="make a cube (s3d) at once instead of exposures")
    add("--exposures", type=int, default=4, help="number of dithered exposures, 1 to 4 (default)")
    add("--detector", choices=("NRS1", "NRS2"), type=str.upper, default="NRS1")
    add("--grating", type=str.upper, default="G235H", help="disperser of NIRSpec (G235H)")
    add("--blocking-filter", type=str.upper, default="F170LP", help="filter of NIRSpec (F170LP)")
    add("--filters", nargs="+", type=str.upper, help="short-wavelength filters of NIRCam")
    add("--roll", type=float, default=30.0, help="position angle of V3 of the cube [deg]")
    add("--image-roll", type=float, default=77.0, help="position angle of V3 of the images [deg]")
    add("--noise", type=float, default=0.15, help="noise of the images [MJy/sr]")
    add("--seed", type=int, default=1, help="of the noise")
    one.set_defaults(run=_run)


def _run(options):
    from jwst_fusion.associations import make_association, write_association
    from jwst_fusion.simulation.cube_parameters import write_nirspec_cube_parameters
    from jwst_fusion.simulation.observation import (
        DITHERS,
        FILTERS,
        simulate_exposures,
        simulate_images,
    )

    if not 1 <= options.exposures <= len(DITHERS):
        msg = f"--exposures is {options.exposures}: it must be from 1 to {len(DITHERS)}"
        raise ValueError(msg)
    scene, folder = _scene(options.scene), Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    with logged():
        if options.cube:
            science = [_cube(scene, folder, options)]
        else:
            science = simulate_exposures(
                folder,
                scene,
                roll=options.roll,
                detector=options.detector,
                grating=options.grating,
                filter_name=options.blocking_filter,
                dithers=DITHERS[: options.exposures],
                seed=options.seed,
            )
            print(f"{write_nirspec_cube_parameters(folder / 'cubepar.fits')} written")
        images = simulate_images(
            folder,
            scene,
            filters=options.filters or FILTERS,
            roll=options.image_roll,
            noise=options.noise,
            seed=options.seed + 100,
        )
    table = make_association(science, images, product_name=_PRODUCT, folder=folder)
    path = write_association(table, folder / "fusion_asn.json")
    print(f"{len(science)} {'cube' if options.cube else 'exposures'}, {len(images)} images")
    print(f"{path} written: strun {'fusion' if options.cube else 'fusion_pipeline'} {path}")
    return 0


def _scene(name):
    import numpy as np

    from jwst_fusion.simulation.scenes import nebula, single_star, with_stars

    if name == "nebula":
        return nebula()
    if name == "star":
        return single_star()
    rng = np.random.default_rng(7)
    east, north = rng.uniform(-1.4, 1.4, (2, 60))
    flux = 0.2 * rng.pareto(1.5, 60)
    return with_stars(single_star(peak=1.0), list(zip(east, north, flux, strict=True)))


def _cube(scene, folder, options):
    import numpy as np

    from jwst_fusion.simulation.cubes import simulate_s3d

    model = simulate_s3d(
        scene,
        np.arange(1.66, 2.32, _STEP),
        roll=options.roll,
        grating=options.grating,
        filter_name=options.blocking_filter,
        seed=options.seed,
    )
    name = f"{_PRODUCT}_nirspec_{options.grating}-{options.blocking_filter}_s3d.fits".lower()
    model.save(str(folder / name))
    model.close()
    return str(folder / name)
