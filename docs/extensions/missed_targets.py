"""The directive ``missed-targets``: one table of all targets that benchmarks did not reach."""

from pathlib import Path

from benchmark_tables import missed_targets
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

__all__ = ["MissedTargets", "setup"]


class MissedTargets(Directive):
    """A table of the rows of the named files whose target was not reached."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        """Return the table."""
        environment = self.state.document.settings.env
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 60 22 18", ""]
        rows = [("what", "measured", "target")]
        for name in self.arguments[0].split():
            path = Path(environment.srcdir) / name
            environment.note_dependency(str(path))
            rows += missed_targets(path.read_text())
        for row in rows:
            lines += [f"   {'* -' if cell is row[0] else '  -'} {cell}" for cell in row]
        container = self.state.parent.__class__()
        self.state.nested_parse(StringList(lines, source=__file__), self.content_offset, container)
        return container.children


def setup(app):
    """Register the directive with Sphinx."""
    app.add_directive("missed-targets", MissedTargets)
    return {"parallel_read_safe": True}
