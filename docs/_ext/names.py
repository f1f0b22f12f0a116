"""The directive `names`: a table of the names that a package exports, from its stub, with links to what they are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]


def exported(package: str) -> Iterator[tuple[str, str]]:
    """The names in a package's __init__.pyi, each with the full name of what it is."""
    stub = ROOT / package.replace(".", "/") / "__init__.pyi"
    for statement in ast.parse(stub.read_text()).body:
        if isinstance(statement, ast.ImportFrom):
            module = f"{package}.{statement.module}" if statement.module else package
            for alias in statement.names:
                yield alias.asname or alias.name, f"{module}.{alias.name}"


class Names(SphinxDirective):
    """`{names} PACKAGE PREFIX`: the names with the prefix that a script writes before them."""

    required_arguments = 2

    def run(self) -> list[nodes.Node]:
        package, prefix = self.arguments
        rows = [f"| `{prefix}.{name}` | {{py:obj}}`{full}` |" for name, full in exported(package)]
        return self.parse_text_to_nodes("\n".join(["| name | what it is |", "|---|---|", *rows]))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("names", Names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
