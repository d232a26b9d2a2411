"""Steps by the names that ``strun`` takes: made to check their parameters, and run."""

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from stpipe import Step, config_parser, utilities
from stpipe.exceptions import StpipeExitException, ValidationError

__all__ = ["run_by_name", "step_of_name"]

_ERROR = " - ERROR - "  # stands before an error in lines of the log


def step_of_name(name, values):
    """
    Make a step as ``strun`` does, but without parameters from CRDS.

    Parameters
    ----------
    name : str
        Registered name, path of a class, or parameter file.
    values : dict of str to str
        Parameters by their names, those of steps of a pipeline as ``steps.step.parameter``.

    Returns
    -------
    `~stpipe.Step`
        The step.

    Raises
    ------
    ValueError
        If there is no such step, or no such parameter, or its value is not allowed.
    """
    file = name if Path(name).is_file() else None
    try:
        if file is None:
            config = config_parser.config_from_dict({})
            kind = utilities.import_class(utilities.resolve_step_class_alias(name), Step)
        else:
            config = config_parser.load_config_file(file)
            kind = utilities.import_class(
                utilities.resolve_step_class_alias(config["class"]), Step, config_file=file
            )
    except (ImportError, AttributeError, TypeError, KeyError, ValueError) as error:
        msg = (
            f"--step is {name!r}, which is neither a step that stpipe knows (stpipe list) nor a "
            "parameter file (jwst-fusion configs)"
        )
        raise ValueError(msg) from error
    spec = kind.load_spec_file()
    for parameter, value in values.items():
        *path, last = parameter.split(".")
        place, known = config, spec
        for part in path:
            known = known.get(part) if isinstance(known, dict) else None
            place = place.setdefault(part, {}) if known is not None else place
        if not isinstance(known, dict) or last not in known or isinstance(known[last], dict):
            msg = f"--{parameter}: {name} has no such parameter (strun {name} --help)"
            raise ValueError(msg)
        place[last] = config._handle_value(value)[0]
    config = kind.merge_config(config, file)
    try:
        return kind.from_config_section(config, config_file=file)
    except ValidationError as error:
        msg = f"parameters of {name}: {error}"
        raise ValueError(msg) from error


def run_by_name(name, words, log_file):
    """
    Run a step as ``strun`` does.

    Parameters
    ----------
    name : str
        Registered name, path of a class, or parameter file.
    words : sequence of str
        Input and parameters, as on the command line.
    log_file : str or `~pathlib.Path`
        File for all that is said; one that exists is replaced.

    Raises
    ------
    Exception
        Whatever the step raises; RuntimeError with the reason if it ends the process.
    """
    errors = io.StringIO()
    with (
        Path(log_file).open("w", encoding="utf-8") as stream,
        redirect_stdout(stream),
        redirect_stderr(errors),
    ):
        try:
            Step.from_cmdline([name, *words, "--log-stream=stdout"])
        except (SystemExit, StpipeExitException) as error:
            stream.flush()
            logged = Path(log_file).read_text(encoding="utf-8").splitlines()
            # CRDS ends the process when it has no server, and says so in the log only.
            said = [line.partition(_ERROR)[2] for line in logged if _ERROR in line]
            said = said or errors.getvalue().strip().splitlines()
            msg = said[-1] if said else f"{name} ended with status {error}"
            raise RuntimeError(msg) from error
        finally:
            stream.write(errors.getvalue())
