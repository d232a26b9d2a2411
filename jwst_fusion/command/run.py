"""``jwst-fusion run``: a step or pipeline for many targets, on all cores or on a cluster."""

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
    text = "run the fusion for all targets of folders or associations, on all cores or a cluster"
    one = subparsers.add_parser(
        "run",
        help=text,
        description=f"{text.capitalize()}. Parameters of the step follow as for strun, such as "
        "--steps.fusion.rank=8. Targets that are finished are not done again. Status 1 if targets "
        "failed.",
        allow_abbrev=False,
    )
    add = one.add_argument
    text = "folders, whose spectra and images are associated; associations; or single files"
    add("target", nargs="+", help=text)
    add("--step", default="fusion_pipeline", help="step, pipeline or parameter file (%(default)s)")
    add("--output", default=".", help="folder in which each target gets its own (default: here)")
    add("--workers", type=int, help="processes on this machine (default: cores and memory decide)")
    add("--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers are used instead")
    text = "times that a target whose worker died is done again (%(default)s)"
    add("--retries", type=int, default=2, help=text)
    add("--repeat", action="store_true", help="do finished targets again")
    add("--dry-run", action="store_true", help="list targets and their memory, and do nothing")
    text = "for folders: part of a filter that must be covered (default: that of the fusion)"
    add("--min-coverage", type=float, help=text)
    one.set_defaults(run=_run, takes_parameters=True)


def _run(options):
    from jwst_fusion.bandpass import MIN_COVERAGE
    from jwst_fusion.campaign.page import PAGE
    from jwst_fusion.campaign.run import estimate_all, run_campaign
    from jwst_fusion.campaign.targets import find_targets
    from jwst_fusion.campaign.work import read_work

    if options.retries < 0:
        msg = f"--retries is {options.retries}: it must be 0 or more"
        raise ValueError(msg)
    # Targets that stand behind options are not known to be targets by the parser.
    given = options.target + [word for word in options.parameters if not word.startswith("-")]
    parameters = [word for word in options.parameters if word.startswith("-")]
    work, step = read_work(options.step, parameters)
    asked = options.min_coverage
    with logged():
        targets = find_targets(
            given,
            options.output,
            minimum=MIN_COVERAGE if asked is None else asked,
            write=not options.dry_run,
        )
        needs = estimate_all(targets, step)
        if options.dry_run:
            for target in targets:
                print(f"{target.name}: {len(target.members)} files, {needs[target.name]:.1f} GB")
            return 0
        try:
            outcomes = run_campaign(
                targets,
                work,
                needs,
                options.output,
                scheduler=options.scheduler,
                workers=options.workers,
                retries=options.retries,
                repeat=options.repeat,
            )
        except KeyboardInterrupt:
            print("interrupted: the same command goes on; finished targets are not repeated")
            return 130
    failed = [one for one in outcomes if one.status != "done"]
    reused = sum(one.reused for one in outcomes)
    print(
        f"{len(outcomes) - len(failed)} of {len(outcomes)} targets done, {reused} of them before; "
        f"see {options.output}/{PAGE}"
    )
    for one in failed:
        print(f"failed: {one.name}: {one.reason}")
    return 1 if failed else 0
