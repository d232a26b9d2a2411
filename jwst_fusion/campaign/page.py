"""The page of a campaign: one row for each target, the worst first."""

from pathlib import Path

from jwst_fusion.campaign.outcome import read_outcome
from jwst_fusion.campaign.targets import LOCK
from jwst_fusion.report.page import Link, Page, Section, Table, Thumbnail, write_plain_page

__all__ = ["PAGE", "write_campaign_page"]

#: Name of the page in the folder of the campaign.
PAGE = "campaign.html"
# From the worst on; verdicts of targets that are done, and the others.
_ORDER = ("failed", "fault", "caution", "none", "good", "running", "waiting")
_WORDS = {
    "failed": "✗ failed",
    "fault": "✗ fault",
    "caution": "! caution",
    "none": "done",
    "good": "✓ good",
    "running": "running",
    "waiting": "waiting",
}
_HEAD = ("Target", "Picture", "Verdict", "Figures", "Time", "Memory", "Report")


def write_campaign_page(output, names, *, outcomes=None, running=()):
    """
    Write the page of a campaign.

    Parameters
    ----------
    output : str or `~pathlib.Path`
        Folder of the campaign.
    names : sequence of str
        Targets of this run. Those that other runs have left in the folder are shown, too.
    outcomes : dict of str to `~jwst_fusion.campaign.outcome.Outcome`, optional
        What became of targets of this run.
    running : collection of str, optional
        Targets that are being worked on.

    Returns
    -------
    `~pathlib.Path`
        The page.
    """
    output, known = Path(output), dict(outcomes or {})
    for path in output.glob(f"*/{LOCK}"):
        name = path.parent.name
        if name not in known and name not in names:
            found = read_outcome(path.parent, name)
            if found is not None:
                known[name] = found
    states = {name: "running" if name in running else "waiting" for name in names}
    states |= {name: _state(one) for name, one in known.items()}
    order = sorted(states, key=lambda name: (_ORDER.index(states[name]), name))
    rows = [_row(output, name, states[name], known.get(name)) for name in order]
    marked = frozenset(
        (number, 2)
        for number, name in enumerate(order)
        if states[name] in ("failed", "fault", "caution")
    )
    count = {state: sum(one == state for one in states.values()) for state in _ORDER}
    table = Table(_HEAD, rows, "Seconds are of the clock; memory is what was expected, and the "
                  "most that the process of the target took.", marked)  # fmt: skip
    page = Page(
        title="Campaign",
        subtitle=str(output),
        verdict=_verdict(count, len(states)),
        facts=[(_WORDS[state], str(count[state])) for state in _ORDER if count[state]],
        findings=[],
        summary=[],
        sections=[Section("targets", "Targets, the worst first", [table])],
    )
    return write_plain_page(output / PAGE, page)


def _state(outcome):
    if outcome.status != "done":
        return "failed" if outcome.status == "failed" else "waiting"
    return outcome.reports[0]["level"] if outcome.reports else "none"


def _verdict(count, total):
    if count["failed"]:
        return "fault", f"{count['failed']} of {total} targets failed."
    if count["fault"] or count["caution"]:
        return "caution", f"{count['fault'] + count['caution']} of {total} targets need a look."
    if count["running"] or count["waiting"]:
        left = count["running"] + count["waiting"]
        return "good", f"{left} of {total} targets are not done yet."
    return "good", f"All {total} targets are done."


def _row(output, name, state, outcome):
    if outcome is None:
        return (name, "", _WORDS[state], "", "", "", "")
    worst = outcome.reports[0] if outcome.reports else None
    said = outcome.reason or (worst["verdict"] if worst else outcome.note)
    figures = tuple(f"{key}: {value}" for key, value in worst["facts"]) if worst else ""
    picture = ""
    if worst and worst["picture"] and (output / name / worst["picture"]).is_file():
        picture = Thumbnail(f"{name}/{worst['picture']}", f"{name}: {worst['product']}")
    links = tuple(
        Link(f"{one['product']} ({_WORDS[one['level']]})", f"{name}/{one['page']}")
        for one in outcome.reports
    )
    logged = f"{name}/{name}_log.txt"
    if (output / logged).is_file():
        links = (*links, Link("log", logged))
    peak = f"{outcome.peak:.1f}" if outcome.peak else "–"
    return (
        name,
        picture,
        (_WORDS[state], said),
        figures,
        f"{outcome.seconds:.0f} s" if outcome.seconds else "",
        f"{outcome.estimate:.1f} / {peak} GB",
        links,
    )
