"""What is shown of many fields, a patient's or a slide's: how far they are, and files to keep."""

from collections.abc import Iterable

from gradio_ui.picture import data_url


def progress_bar(done: int, total: int, of: str) -> str:
    """Return a bar that counts images, or whatever else `of` says."""
    return (
        f'<label class="progress" aria-live="off">{done} of {total} {of} '
        f'<progress value="{done}" max="{total}"></progress></label>'
    )


def download_links(files: Iterable[tuple[str, str, bytes, str]]) -> str:
    """Return links that hold files themselves.

    Parameters
    ----------
    files : iterable of tuple of str, str, bytes and str
        Name, media type, content, and what the link says.
    """
    return "".join(
        f'<a class="download" download="{name}" href="{data_url(content, kind)}">{text}</a>'
        for name, kind, content, text in files
    )
