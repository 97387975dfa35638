"""Configuration of Sphinx. The package provides the version and the public names."""

import os
import sys
from pathlib import Path

# Set before numpy and torch are imported. The networks of the gallery are small: more threads gain
# little, and are very slow on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import citrus_sk

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "citrus_sk"
author = "The citrus_sk developers"
project_copyright = "the citrus_sk developers"
version = release = citrus_sk.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    # Local extensions, in _ext/.
    "api_pages",
    "command_line",
    "links_out",
]
exclude_patterns = ["_build", "_ext", "_templates", "auto_examples/**.ipynb"]
templates_path = ["_templates"]
default_role = "py:obj"  # a link if the name is documented here, otherwise code

# -- Pages -----------------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# -- The reference ---------------------------------------------------------------------------------

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings describe the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # the class template lists them
numpydoc_xref_param_type = False

nitpicky = True
nitpick_ignore_regex = [
    (r"py:obj", r".*"),  # single backticks are for parameters too
    # Objects of other packages are links with intersphinx, and plain text without.
    (r"py:.*", r"(mne|numpy|pandas|matplotlib|scipy|sklearn|skorch|torch|braindecode|joblib)\..*"),
]

if os.environ.get("CITRUS_DOCS_INTERSPHINX"):  # opt-in because it needs internet access
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "mne": ("https://mne.tools/stable", None),
        "braindecode": ("https://braindecode.org/stable", None),
        "skorch": ("https://skorch.readthedocs.io/en/stable", None),
    }

# -- The gallery -----------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/(nano|plot)_",
    "backreferences_dir": "api/backreferences",
    "doc_module": ("citrus_sk",),
    "reference_url": {"citrus_sk": None},
    "reset_modules": ("matplotlib",),
    "abort_on_example_error": True,
    # An address in memory says nothing about the figure above it.
    "ignore_repr_types": r"matplotlib|Display",
    "image_srcset": ["2x"],  # sharp on screens of two pixels a point
    "show_memory": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "plot_gallery": "True",
    "within_subsection_order": "FileNameSortKey",
}

# -- The look --------------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = f"citrus_sk {release}"
html_static_path = ["_static"]
html_css_files = ["citrus.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
}
# These pages have no sub-pages, so they need no sidebar.
html_sidebars = {
    page: [] for page in ("results", "method", "comparison", "changelog", "contributing")
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
