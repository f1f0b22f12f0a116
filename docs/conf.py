"""Sphinx's settings: `make docs` builds the site into build/docs, with every warning an error."""

import sys
from pathlib import Path

import metarl

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "metarl"
copyright = "the metarl authors"
version = release = metarl.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "films",
    "mathml",
    "plain_docstrings",
    "scores",
    "names",
    "setting_tables",
]
exclude_patterns = ["_ext"]
templates_path = ["_templates"]

myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the tests run the notebooks and every code block

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints = "none"  # signatures stay readable; the ranges of arguments are in the text and in the errors
autodoc_mock_imports = ["metaworld"]  # an extra that needs an older MuJoCo
autodoc_default_options = {"members": True}
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!metarl\.).*")]  # names of other libraries: the site is built without a network

html_math_renderer = "mathml"
html_theme = "furo"
html_title = f"metarl {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = "$ "
