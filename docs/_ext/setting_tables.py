"""The directive `settings`: tables of the settings of all presets, with their help on the command line."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from docutils import nodes
from setting_rows import rows, settings_of
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class SettingsTables(SphinxDirective):
    """`{settings} PART`: a table for each kind of `task`, `learner`, `algorithm`, or for the `run` itself."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        (part,) = self.arguments
        lines: list[str] = []
        for name, kind in settings_of(part).items():
            table = [f"| `{option}` | {default} | {text} |" for option, default, text in rows(kind, part)]
            if table:
                summary = (inspect.getdoc(kind) or "").split("\n")[0].replace("*", r"\*").replace("|", r"\|")
                title = [f"**{name.replace('_', ' ')}.** {summary}", ""] if name else []
                lines += [*title, "| option | default | meaning |", "|---|---|---|", *table, ""]
        return self.parse_text_to_nodes("\n".join(lines))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("settings", SettingsTables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
