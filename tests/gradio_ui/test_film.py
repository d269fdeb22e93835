"""The README's moving picture: what a visitor without an image sees, one click after the other."""

import io

from PIL import Image

from tests.gradio_ui.conftest import Visitor

WIDTH, HEIGHT = 960, 675
MAX_BYTES = 3_000_000


class Film:
    """Pictures of the page, each with the time that it is looked at."""

    def __init__(self, visitor: Visitor) -> None:
        self._page = visitor.page
        self._frames: list[Image.Image] = []
        self._milliseconds: list[int] = []

    def look(self, milliseconds: int, at: str | None = None) -> None:
        """Keep what is in sight, from the element `at` on if one is named."""
        where = "at => (at ? document.querySelector(at).getBoundingClientRect().top : -scrollY) - 8"
        top = self._page.evaluate(where, at)
        self._page.evaluate("top => window.scrollBy(0, top)", top)
        self._page.wait_for_timeout(300)  # what Gradio fades in
        frame = Image.open(io.BytesIO(self._page.screenshot())).convert("RGB")
        self._frames.append(frame.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))
        self._milliseconds.append(milliseconds)

    def to_webp(self) -> bytes:
        """Return it as an animated WebP that begins again by itself."""
        film = io.BytesIO()
        first, *rest = self._frames
        first.save(
            film,
            "WEBP",
            save_all=True,
            append_images=rest,
            duration=self._milliseconds,
            loop=0,
            quality=70,
        )
        return film.getvalue()


def test_a_film_of_upload_verdict_heat_map_patient_and_slide(
    desktop, field_file, screenshot_folder
):
    page, film = desktop.page, Film(desktop)
    film.look(1500)
    desktop.upload(field_file)
    desktop.verdict()
    film.look(2500)
    for view in ("Picture", "Side by side"):
        page.locator("#answer").get_by_role("button", name=view).click()
        film.look(1500)
    desktop.open("Patient")
    film.look(1000)
    page.get_by_role("button", name="Try it with a drawn patient").click()
    page.locator("#patient-summary .verdict").wait_for()
    page.locator("#patient-gallery img").first.wait_for()
    film.look(2000, "#patient-summary")
    film.look(1500, "#images")
    desktop.open("Slide")
    page.get_by_role("button", name="Try it with a drawn slide").click()
    page.get_by_text("Fields of the slide").wait_for()
    film.look(1500, "#slide-summary")
    film.look(2500, "#slide-picture")
    webp = film.to_webp()
    assert len(webp) < MAX_BYTES
    with Image.open(io.BytesIO(webp)) as made:
        assert (made.size, made.n_frames) == ((WIDTH, HEIGHT), 9)
    screenshot_folder.mkdir(parents=True, exist_ok=True)
    (screenshot_folder / "demo.webp").write_bytes(webp)
