"""One small table for each scene: measures by filters, data as the model assumes or not."""

__all__ = ["as_summary"]


def as_summary(sections):
    """
    Make one list-table for each scene, with a column for each case.

    Parameters
    ----------
    sections : dict of str to sequence of tuple
        Title to cells of `~fusion_benchmark.lines.Line`, whose first begins with the case and a
        colon.

    Returns
    -------
    str
        reStructuredText; figures that miss their target are marked.
    """
    out = []
    for title, rows in sections.items():
        cases, table = [], {}
        for what, figure, target, reached, _ in rows:
            case, measure = what.split(": ", 1)
            case = case.split(", ", 1)[-1]
            if case not in cases:
                cases.append(case)
            row = table.setdefault(measure, {})
            row["target"] = target or row.get("target", "")
            row[case] = f"{figure} (missed)" if reached == "no" else figure
        out += [f".. list-table:: {title}", "   :header-rows: 1", ""]
        for line in (
            ["what", "target", *cases],
            *(
                [what, row["target"], *(row.get(case, "") for case in cases)]
                for what, row in table.items()
            ),
        ):
            out += [
                f"   {'* -' if i == 0 else '  -'} {str(cell).replace('|', chr(92) + '|')}".rstrip()
                for i, cell in enumerate(line)
            ]
        out.append("")
    return "\n".join(out)
