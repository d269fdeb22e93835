"""About the model: all of it read from the description of the model that runs."""

import re

import gradio as gr

from gradio_ui.picture import data_url
from handler import RESEARCH_ONLY
from serve.description import Description, RunningModel
from serve.errors import ServeError

MUST_NOT = f"""
**{RESEARCH_ONLY}** It is not for other organs, stains, scanners or magnifications, and not
for any decision about a person. It learnt from few patients of one laboratory.
"""


def build(page: gr.Blocks, model: RunningModel) -> None:
    """Build the tab's content.

    Parameters
    ----------
    page : gradio.Blocks
        Asks for the description whenever it is opened.
    model : RunningModel
    """

    def describe() -> str:
        try:
            return card(model.describe())
        except ServeError as error:
            return f"No description at the moment: {error} Reload the page to try again."

    gr.Markdown(MUST_NOT)
    about = gr.Markdown(elem_id="about")
    page.load(describe, None, about, show_progress="hidden", api_visibility="private")


def card(description: Description) -> str:
    """Return identity, model card and plots as Markdown that needs no other file."""
    model = description.model

    def plot(link: re.Match[str]) -> str:
        svg = description.plots[link["name"]].encode()
        return f"![{link['alt']}]({data_url(svg, 'image/svg+xml')})"

    text = re.sub(r"!\[(?P<alt>[^]]*)\]\(plots/(?P<name>[\w.]+)\)", plot, description.card)
    return (
        f"Running: {model.name} {model.version}, engine {description.engine}, "
        f"sha256 `{model.sha256}`\n\n{text}"
    )
