"""``jwst-fusion psf``: the cache of PSFs listed, cleared and filled; data files downloaded."""

import argparse
import sys
import time

from jwst_fusion.command.psf_fetch import add_verb
from jwst_fusion.command.screen import logged

__all__ = ["add_parser"]

_DAY = 86400.0  # s
_INSTRUMENTS = ("nircam", "nirspec", "miri", "miri_mrs")


def add_parser(subparsers):
    """
    Add the command.

    Parameters
    ----------
    subparsers : argparse action
        The subparsers of ``jwst-fusion``.
    """
    psf = subparsers.add_parser("psf", help="PSFs kept on disk, and the data they are made with")
    verbs = psf.add_subparsers(required=True, metavar="list|clear|fetch|make")

    one = verbs.add_parser("list", help="say what the cache holds")
    _add_selection(one)
    one.set_defaults(run=_list)

    one = verbs.add_parser("clear", help="remove entries, all of them or some")
    _add_selection(one)
    one.add_argument("--yes", action="store_true", help="do not ask")
    one.set_defaults(run=_clear)

    add_verb(verbs)

    one = verbs.add_parser("make", help="compute PSFs, so that later runs find them")
    _add_make(one)
    one.set_defaults(run=_make)


def _add_selection(parser):
    parser.add_argument("--filter", help="only those that serve this NIRCam filter")
    parser.add_argument("--source", type=_kept_source, help="only this source")
    parser.add_argument("--instrument", choices=_INSTRUMENTS, type=str.lower)
    parser.add_argument(
        "--older-than", type=float, metavar="DAYS", help="only those made before that many days"
    )
    parser.add_argument(
        "--unusable", action="store_true", help="only damaged ones and those of other versions"
    )


def _source(text):
    """Source of PSFs; the names of all are loaded only if one is given."""
    from jwst_fusion.psf.checks import SOURCES

    if text not in SOURCES:
        msg = f"{text!r}: choose from {', '.join(SOURCES)}"
        raise argparse.ArgumentTypeError(msg)
    return text


def _kept_source(text):
    """Source of PSFs on disk, which know where they are from."""
    if text == "auto":
        msg = "'auto': name the source that was taken"
        raise argparse.ArgumentTypeError(msg)
    return _source(text)


def _add_make(parser):
    add = parser.add_argument
    add("instrument", nargs="+", type=str.lower, choices=_INSTRUMENTS)
    add(
        "--filter", nargs="+", default=[], help="imager's filters; their bands give the wavelengths"
    )
    add("--wavelength", nargs=2, type=float, metavar=("LOW", "HIGH"), help="range [um]")
    add("--pixel-scale", type=float, default=1 / 30, help="pixel [arcsec], by default 1/30")
    add("--field", type=float, default=3.0, help="side [arcsec], by default 3")
    add("--angle", type=float, default=0.0, help="from +y of the grid to V3, to the left [deg]")
    add("--nodes", default="auto", help="number of wavelengths, or auto: as many as it takes")
    add("--tolerance", type=float, help="relative error of the OTF for --nodes auto")
    add("--source", type=_source, default="auto", help="auto (default), webbpsf or aperture")
    add("--detector", help="detector of the imager")
    add("--position", nargs=2, type=int, metavar=("X", "Y"), help="pixel of the detector")
    add("--opd", help="telescope wavefront: a file, a date, or none (default: STPSF's example)")
    add("--broadening", type=float, help="Gaussian sigma [arcsec]")
    add("--jitter", type=float, help="Gaussian sigma [milliarcsec]")
    add("--cores", default="all", help="a number, or none, quarter, half, all (default)")
    add("--output", help="also write the PSFs to this FITS file (one instrument only)")


def _selected(options):
    """Entries of the cache that the options select, each with what is wrong with it."""
    from jwst_fusion.psf import cache
    from jwst_fusion.psf.inventory import fault_of, serves

    age = options.older_than
    if age is not None and not age >= 0:
        msg = f"--older-than must be a number of days, got {age}"
        raise ValueError(msg)
    serves(None, filter_name=options.filter)  # an unknown filter is an error in any case
    chosen = []
    for entry in cache.entries():
        fault = fault_of(entry)
        if serves(
            entry.key,
            filter_name=options.filter,
            source=options.source,
            instrument=options.instrument,
        ):
            old = age is None or time.time() - entry.modified > age * _DAY
            if old and (fault or not options.unusable):
                chosen.append((entry, fault))
    return chosen


def _line(entry, fault):
    from jwst_fusion.psf.inventory import describe

    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.modified))
    return f"{made}  {entry.size / 1e6:6.1f} MB  {fault or 'usable'}  {describe(entry)}"


def _list(options):
    from jwst_fusion.psf import cache

    chosen = _selected(options)
    for entry, fault in chosen:
        print(_line(entry, fault))
    total = sum(entry.size for entry, _ in chosen) / 1e6
    print(f"{len(chosen)} entries, {total:.1f} MB, in {cache.cache_folder()}")
    return 0


def _clear(options):
    from jwst_fusion.psf import cache

    chosen = _selected(options)
    for entry, fault in chosen:
        print(_line(entry, fault))
    if chosen and not options.yes:
        if not sys.stdin.isatty():
            msg = "nobody to ask: give --yes to remove these entries"
            raise ValueError(msg)
        print(f"Remove these {len(chosen)} entries from {cache.cache_folder()}? [y/N] ", end="")
        sys.stdout.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print("Nothing removed.")
            return 0
    cache.remove(entry for entry, _ in chosen)
    total = sum(entry.size for entry, _ in chosen) / 1e6
    print(f"{len(chosen)} entries removed, {total:.1f} MB")
    return 0


def _make(options):
    from jwst_fusion.psf.file import write_psf
    from jwst_fusion.psf.prepare import prepare

    names = list(dict.fromkeys(options.instrument))
    if options.output and len(names) > 1:
        msg = "--output takes the PSFs of one instrument; name one"
        raise ValueError(msg)
    with logged():
        made = prepare(
            names,
            filters=options.filter,
            wavelength=options.wavelength,
            pixel_scale=options.pixel_scale,
            field=options.field,
            angle=options.angle,
            nodes=options.nodes,
            tolerance=options.tolerance,
            source=options.source,
            detector=options.detector,
            position=options.position,
            opd=options.opd,
            broadening=options.broadening,
            jitter=options.jitter,
            maximum_cores=options.cores,
        )
    if options.output and len(made) > 1:
        msg = "the wavelengths lie in several channels; --output takes one: narrow them"
        raise ValueError(msg)
    for channel, psf in made:
        span = f"{psf.wavelength[0]:.3f} to {psf.wavelength[-1]:.3f} um"
        how = "was in the cache" if psf.meta["from_cache"] else "made"
        print(f"{channel} ({psf.source}): {psf.wavelength.size} wavelengths, {span}, {how}")
    if options.output:
        write_psf(made[0][1], options.output)
        print(f"{options.output} written")
    return 0
