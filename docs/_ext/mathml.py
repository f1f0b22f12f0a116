"""Formulas as MathML, which browsers draw themselves: the pages need no script and nothing from another host."""

from __future__ import annotations

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

log = logging.getLogger(__name__)
converter = LatexToMathML(fancy_error=False)


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line of text."""
    translator.body.append(mathml(node, display=False))
    raise nodes.SkipNode


def block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on lines of its own, which scroll where the page is narrow."""
    translator.body.append(f'<div class="math">{mathml(node, display=True)}</div>')
    raise nodes.SkipNode


def mathml(node: nodes.math | nodes.math_block, *, display: bool) -> str:
    """The LaTeX formula in `node` as MathML; a warning and the LaTeX itself where it cannot be converted."""
    latex = node.astext()
    try:
        return converter.convert_with_local_state(latex, displaystyle=display)
    except LatexError as error:
        log.warning("%r is not MathML: %s", latex, error, location=node)
        return f"<code>{latex}</code>"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx: `html_math_renderer = "mathml"`."""
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
