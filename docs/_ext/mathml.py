"""Formulas as MathML, which browsers draw without a script from elsewhere."""

import re

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)


def _known(source):
    """Write with the commands that docutils knows, where it lacks a common one."""
    source = re.sub(r"\\(?:[bB]ig)(?=[\[({])", r"\\left", source)
    source = re.sub(r"\\(?:[bB]ig)(?=[\])}])", r"\\right", source)
    return source.replace(r"\dots", r"\ldots").replace(r"\textstyle", "")


def _markup(node, *, block):
    source = _known(node.astext())
    if block and ("\\\\" in source or "&" in source):
        source = rf"\begin{{aligned}}{source}\end{{aligned}}"
    try:
        return tex2mathml(source, as_block=block)
    except (MathError, SyntaxError) as error:
        logger.warning("formula %r: %s", source, error, location=node)
        return f"<code>{source}</code>"


def inline(self, node):
    self.body.append(_markup(node, block=False))
    raise SkipNode


def displayed(self, node):
    self.body.append(f'<div class="formula">{_markup(node, block=True)}</div>')
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (inline, None), (displayed, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
