"""About the model: all of it read from the description of the model that runs."""

import re
from html import escape

import gradio as gr
from markdown_it import MarkdownIt

from gradio_ui import verdict
from gradio_ui.picture import data_url
from serve.description import Description, RunningModel
from serve.errors import ServeError

PLOT = re.compile(r"!\[(?P<alt>[^]]*)\]\(plots/(?P<name>[\w.]+)\)")
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
# CommonMark with tables; HTML in a card is shown as text.
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def build(page: gr.Blocks, model: RunningModel) -> None:
    """Build the tab's content, which is asked for whenever the page is opened."""

    def describe() -> str:
        try:
            return card(model.describe())
        except ServeError as error:
            return f"<p>No description at the moment: {escape(str(error))} Reload the page.</p>"

    about = gr.HTML(elem_id="about")
    page.load(describe, None, about, show_progress="hidden", api_visibility="private")


def card(description: Description) -> str:
    """Return figures, identity and model card as HTML that needs no other file.

    The first section with plots is unfolded; they stand beside its text and tables.
    """
    model = description.model
    introduction, *rest = HEADING.split(description.card)
    headings, texts = rest[::2], rest[1::2]
    unfolded = next((text for text in texts if PLOT.search(text)), "")
    sections = "".join(
        _section(heading, text, description.plots, text is unfolded)
        for heading, text in zip(headings, texts, strict=True)
    )
    return (
        f"{verdict.figures(description)}{MARKDOWN.render(introduction)}"
        f"<p>Running: {escape(model.name)} {escape(model.version)}, engine "
        f"{escape(description.engine)}, sha256 <code>{escape(model.sha256)}</code></p>{sections}"
    )


def _section(heading: str, text: str, plots: dict[str, str], unfolded: bool) -> str:
    pictures = "".join(
        f'<img alt="{escape(plot["alt"])}" '
        f'src="{data_url(plots[plot["name"]].encode(), "image/svg+xml")}">'
        for plot in PLOT.finditer(text)
    )
    body = MARKDOWN.render(PLOT.sub("", text))
    # A table that is too wide is scrolled, by keyboard, too.
    body = body.replace("<table>", '<div class="wide" tabindex="0"><table>')
    body = body.replace("</table>", "</table></div>")
    beside = f'<div class="plots">{pictures}</div>' if pictures else ""
    return (
        f"<details{' open' if unfolded else ''}><summary><h2>{escape(heading)}</h2></summary>"
        f'<div class="beside"><div>{body}</div>{beside}</div></details>'
    )
