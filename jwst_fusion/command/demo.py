"""``jwst-fusion demo``: every step on one simulated observation."""

__all__ = ["add_parser"]


def add_parser(subparsers):
    """
    Add the command.

    Parameters
    ----------
    subparsers : argparse action
        The subparsers of ``jwst-fusion``.
    """
    text = "simulate an observation, run the steps on it, compare with the truth, draw"
    one = subparsers.add_parser(
        "demo", help=text, description=f"{text.capitalize()}: 5 minutes, 5 GB."
    )
    one.add_argument("--output", default="demo_output", help="folder for all files")
    one.add_argument("--oversample", type=float, help="factor of the trace model")
    one.add_argument(
        "--psf-source",
        choices=("aperture", "webbpsf"),
        default="aperture",
        help="PSFs of the fusion: a model of the aperture, or STPSF with its data files",
    )
    one.set_defaults(run=_run)


def _run(options):
    from jwst_fusion.command.demo_results import print_table
    from jwst_fusion.command.demo_run import run_demo

    # Without the default here the words of the command are known before anything is loaded.
    chosen = {} if options.oversample is None else {"oversample": options.oversample}
    print_table(run_demo(options.output, psf_source=options.psf_source, **chosen))
    return 0
