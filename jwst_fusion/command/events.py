"""``jwst-fusion events``: a count cube from the event list of an X-ray telescope."""

from pathlib import Path

from jwst_fusion.command.screen import logged

__all__ = ["add_parser"]


def add_parser(subparsers):
    """
    Add the command.

    Parameters
    ----------
    subparsers : argparse action
        The subparsers of ``jwst-fusion``.
    """
    text = "make a count cube for hifred from an X-ray event list"
    one = subparsers.add_parser("events", help=text, description=text.capitalize() + ".")
    add = one.add_argument
    add("events", help="event list (FITS) of XMM-Newton, Chandra, XRISM or another telescope")
    add("output", help="count cube to write")
    add(
        "--energy",
        nargs=2,
        type=float,
        required=True,
        metavar=("LOW", "HIGH"),
        help="range of energies [keV]",
    )
    add("--pixel", type=float, required=True, help="side of a pixel [arcsec]")
    add("--group", type=int, default=1, help="number of channels that are summed to one (1)")
    add("--rmf", help="RMF whose EBOUNDS has the energies of channels; default: the nominal ones")
    add(
        "--centre",
        nargs=2,
        type=float,
        metavar=("RA", "DEC"),
        help="middle of the field [deg]; default: of the events",
    )
    add(
        "--size",
        nargs=2,
        type=float,
        metavar=("WIDTH", "HEIGHT"),
        help="of the field [arcsec]; default: all events",
    )
    add("--angle", type=float, default=0.0, help="position angle of the y axis [deg] (0)")
    add(
        "--keep",
        nargs="+",
        default=[],
        metavar="COLUMN=VALUES",
        help="events to take, as PATTERN=0-4 or GRADE=0,2-4,6",
    )
    add(
        "--no-standard",
        action="store_true",
        help="do not select patterns, grades and flags as is usual for the camera",
    )
    add("--gti", help="file of further good times")
    add("--exposure", type=float, help="exposure time [s], in place of that in the file")
    add("--exposure-map", help="image in s, or relative to the exposure")
    add("--background", help="event list, or spectrum (OGIP), of the background")
    add(
        "--background-scale",
        type=float,
        help="its factor; default: the ratio of the exposures",
    )
    add("--overwrite", action="store_true", help="replace an existing file")
    one.set_defaults(run=_run)


def _run(options):
    from jwst_fusion.hifred.xray.cube_file import make_count_cube

    output = Path(options.output)
    if output.exists() and not options.overwrite:
        msg = f"{output} exists: give another name, or --overwrite"
        raise ValueError(msg)
    with logged():
        counts, edges = make_count_cube(
            options.events,
            output,
            energy=tuple(options.energy),
            pixel=options.pixel,
            group=options.group,
            rmf=options.rmf,
            centre=options.centre,
            size=options.size,
            angle=options.angle,
            keep=_keep(options.keep),
            standard=not options.no_standard,
            gti=options.gti,
            exposure=options.exposure,
            exposure_map=options.exposure_map,
            background=options.background,
            background_scale=options.background_scale,
        )
    channels, rows, columns = counts.shape
    print(
        f"{output} written: {counts.sum()} counts, {channels} channels of {edges[0]:.4g} to "
        f"{edges[-1]:.4g} keV, {columns} x {rows} pixels"
    )
    return 0


def _keep(words):
    """Values by column."""
    pairs = [word.partition("=") for word in words]
    for name, _, values in pairs:
        if not name or not values:
            msg = f"--keep {name}: expected COLUMN=VALUES, as PATTERN=0-4"
            raise ValueError(msg)
    return {name: values for name, _, values in pairs}
