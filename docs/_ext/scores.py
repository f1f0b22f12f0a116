"""The directive `scores`: a chart of a method's measured scores among the others of the same published comparison.

Its arguments are a folder of experiments/results, whose table.json `metarl reproduce` wrote, and a method. With
gradient steps it draws the score after each; without, the score of every method.
"""

from __future__ import annotations

from charts import RESULTS, figure
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Scores(SphinxDirective):
    """`{scores} FOLDER METHOD`."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        folder, method = self.arguments
        self.env.note_dependency(str(RESULTS / folder / "table.json"))
        try:
            return [nodes.raw("", figure(folder, method), format="html")]
        except (OSError, ValueError) as error:
            raise self.error(str(error)) from None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("scores", Scores)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
