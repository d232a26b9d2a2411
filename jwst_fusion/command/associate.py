"""``jwst-fusion associate``: which spectra and images in folders can be fused."""

from collections import defaultdict

from jwst_fusion.command.screen import logged

__all__ = ["add_parser"]

# Names of files that are listed for each reason.
_NAMES = 3


def add_parser(subparsers):
    """
    Add the command.

    Parameters
    ----------
    subparsers : argparse action
        The subparsers of ``jwst-fusion``.
    """
    text = (
        "pair cubes or exposures with images, or X-ray count cubes with each other, that overlap "
        "on the sky and in wavelength"
    )
    one = subparsers.add_parser(
        "associate",
        help=text,
        description=f"{text.capitalize()}, and write an association for each. Only headers are "
        "read. Moving targets are paired by name.",
    )
    add = one.add_argument
    add("folder", nargs="+", help="folders, searched with all subfolders, or single files")
    add("--output", default=".", help="folder for the associations (default: here)")
    add("--dry-run", action="store_true", help="say what would be written, and write nothing")
    text = "part of a filter that must be covered (default: min_coverage of the fusion)"
    add("--min-coverage", type=float, help=text)
    add("--verbose", action="store_true", help="name every file that is left out")
    one.set_defaults(run=_run)


def _run(options):
    from jwst_fusion.associations.finder import find_associations, write_findings
    from jwst_fusion.bandpass import MIN_COVERAGE

    asked = options.min_coverage
    with logged():
        findings = find_associations(
            options.folder, minimum=MIN_COVERAGE if asked is None else asked
        )
    for match in findings.matches:
        if match.kind == "counts":
            names = ", ".join(one.path.name for one in match.science)
            print(f"{match.name}: {len(match.science)} cubes of counts ({names})")
            for one in match.science:
                found = ", ".join(path.name for path in one.files.values()) or "no responses found"
                print(f"    {one.path.name}: {found}")
            continue
        kind = "exposures" if match.kind == "exposure" else "cube"
        filters = ", ".join(sorted({image.filter for image in match.images}))
        print(f"{match.name}: {len(match.science)} {kind}, {len(match.images)} images ({filters})")
        for note in match.notes:
            print(f"    note: {note}")
    if not options.dry_run:
        for path, match in zip(
            write_findings(findings, options.output), findings.matches, strict=True
        ):
            pipeline = {"exposure": "fusion_pipeline", "counts": "hifred"}.get(match.kind, "fusion")
            print(f"{path} written: strun {pipeline} {path}")
    _print_left_out(findings.left_out, verbose=options.verbose)
    if not findings.matches:
        print("Nothing can be fused.")
    return 0


def _print_left_out(left_out, *, verbose):
    reasons = defaultdict(list)
    for path, reason in left_out.items():
        reasons[reason].append(path)
    if reasons:
        print(f"Left out: {len(left_out)} files")
    for reason, paths in sorted(reasons.items(), key=lambda item: -len(item[1])):
        names = [str(path) if verbose else path.name for path in paths]
        more = ""
        if not verbose and len(names) > _NAMES:
            more = f" and {len(names) - _NAMES} more"
            names = names[:_NAMES]
        print(f"    {reason}: {', '.join(names)}{more}")
