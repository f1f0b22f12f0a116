"""The directive `film`: one of docs/_static/films, which plays by itself, and below it what it shows."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FILMS = Path(__file__).parents[1] / "_static" / "films"


class Film(SphinxDirective):
    """`{film} NAME`, with the caption as its content."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        (name,) = self.arguments
        if not (FILMS / f"{name}.mp4").is_file():
            raise self.error(f"there is no {FILMS / name}.mp4: draw it by docs/draw_films.py")
        source = "../" * self.env.docname.count("/") + f"_static/films/{name}.mp4"
        video = f'<video src="{source}" autoplay muted loop playsinline controls></video>'
        return [nodes.container("", nodes.raw("", video, format="html"), *self.parse_content_to_nodes())]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("film", Film)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
