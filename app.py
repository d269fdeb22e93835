"""The whole demo in one process tree: archive, TorchServe, page.

Run by ``make demo``, and by a Hugging Face Space as it stands.
"""

import os
import signal
import sys
import threading

from scripts.build_mar import build
from serve.client import Client
from serve.errors import ServeError
from serve.ports import HOST, port_from_environment, require_free
from serve.settings import Settings
from serve.torchserve import TorchServe


def run() -> None:
    """Start everything, wait for Ctrl-C, and stop what was started here."""
    settings = Settings.from_environment()
    host = os.environ.get("GRADIO_SERVER_NAME", HOST)
    port = port_from_environment("GRADIO_SERVER_PORT", 7860)
    require_free("web page", port, "GRADIO_SERVER_PORT", host)

    for end in (signal.SIGINT, signal.SIGTERM):  # a shell may have had the first one ignored
        signal.signal(end, signal.default_int_handler)
    service = TorchServe(settings)
    ours = service.process() is None
    try:
        if ours:
            print("Starting TorchServe, which takes some seconds ...", flush=True)
            build()
            service.start()
        else:
            print("Using the TorchServe that already runs here; it stays when the page is stopped.")
        _serve_page(settings, host, port)
    except KeyboardInterrupt:
        print("Stopping ...")
    finally:
        if ours and service.process() is not None:
            service.stop()


def _serve_page(settings: Settings, host: str, port: int) -> None:
    # Uploads lie in the private run folder; Gradio reads this when it is imported.
    os.environ["GRADIO_TEMP_DIR"] = str(settings.run_dir / "uploads")
    from gradio_ui.app import CSS, THEME, build_page  # noqa: PLC0415

    page = build_page(Client.from_settings(settings))
    page.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        theme=THEME,
        css=CSS,
        max_file_size="64mb",
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        pwa=False,
    )
    try:
        print(
            f"Demo        http://{host}:{port}\n"
            f"Inference   {settings.inference_url}\n"
            f"Management  {settings.management_url}\n"
            f"Metrics     {settings.metrics_url}\n"
            f"Tokens      {settings.key_file}\n"
            "Research software, not a medical device. Press Ctrl-C to stop.",
            flush=True,
        )
        threading.Event().wait()
    finally:
        page.close(verbose=False)


if __name__ == "__main__":
    try:
        run()
    except ServeError as error:
        sys.exit(str(error))
