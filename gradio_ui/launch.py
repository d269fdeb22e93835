"""Starts the whole demo in one process tree: archive, TorchServe, and the page with its guards."""

import os
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

from starlette.middleware import Middleware

from gradio_ui.errors import NoExamples
from gradio_ui.example_fields import example_fields
from handler import RESEARCH_ONLY
from serve.archive import build
from serve.client import Client
from serve.errors import ServeError
from serve.management import Management
from serve.ports import HOST, port_from_environment, require_free
from serve.settings import Settings
from serve.torchserve import TorchServe


def main() -> str | None:
    """Run the demo until Ctrl-C.

    Returns
    -------
    str or None
        What kept it from starting, as `sys.exit` takes it.
    """
    try:
        run()
    except (ServeError, NoExamples) as error:
        return str(error)
    return None


def run() -> None:
    """Start everything, wait for Ctrl-C, and stop what was started here."""
    settings = Settings.from_environment()
    host = os.environ.get("GRADIO_SERVER_NAME", HOST)
    port = port_from_environment("GRADIO_SERVER_PORT", 7860)
    require_free("web page", port, "GRADIO_SERVER_PORT", host)

    for end in (signal.SIGINT, signal.SIGTERM):  # a shell may have had the first one ignored
        signal.signal(end, signal.default_int_handler)
    # Uploads lie in the private run folder; what is there is of a page that was killed.
    uploads = settings.run_dir / "uploads" / str(port)
    shutil.rmtree(uploads, ignore_errors=True)
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)  # Gradio reads this when it is imported
    service = TorchServe(settings)
    ours = service.process() is None
    meanwhile = ThreadPoolExecutor(1)
    try:
        if ours:
            print("Starting TorchServe, which takes some seconds ...", flush=True)
            build()
            # Gradio takes as long to import as the model to load.
            meanwhile.submit(import_module, "gradio_ui.page")
            service.start()
        else:
            service.require_same_ports()
            print("Using the TorchServe that already runs here; it stays when the page is stopped.")
        _serve_page(settings, host, port)
    except KeyboardInterrupt:
        print("Stopping ...")
    finally:
        for end in (signal.SIGINT, signal.SIGTERM):  # an impatient second one leaves nothing behind
            signal.signal(end, signal.SIG_IGN)
        if ours and service.process() is not None:
            service.stop()
        meanwhile.shutdown()  # an import can't be broken off


def _serve_page(settings: Settings, host: str, port: int) -> None:
    from gradio_ui.gate import Gate, fetch_no_address  # noqa: PLC0415
    from gradio_ui.page import CSS, THEME, build_page  # noqa: PLC0415
    from gradio_ui.programs import take_endpoints_of_files_from_assistants  # noqa: PLC0415
    from gradio_ui.retention import OwnFolders  # noqa: PLC0415
    from gradio_ui.uploads import MAX_UPLOAD, take_as_sent  # noqa: PLC0415

    take_as_sent()
    fetch_no_address()
    data = os.environ.get("BREAKHIS_DATA")
    examples, origin = example_fields(Path(data) if data else None)
    client = Client.from_settings(settings)
    # The first answer takes a second longer than the others; no visitor should wait for it.
    client.predict(next(iter(examples.values())), field=True, attribution=True)
    page = build_page(client, Management.from_settings(settings), examples, origin)
    page.launch(
        server_name=host,
        server_port=port,
        prevent_thread_lock=True,
        quiet=True,
        theme=THEME,
        css=CSS,
        max_file_size=MAX_UPLOAD,
        footer_links=["api"],
        mcp_server=True,
        run_history=False,
        enable_monitoring=False,
        pwa=False,
        app_kwargs={"middleware": [Middleware(Gate), Middleware(OwnFolders)]},
    )
    take_endpoints_of_files_from_assistants(page)
    try:
        print(
            f"Demo        http://{host}:{port}\n"
            f"Inference   {settings.inference_url}\n"
            f"Management  {settings.management_url}\n"
            f"Metrics     {settings.metrics_url}\n"
            f"Tokens      {settings.key_file}\n"
            f"{RESEARCH_ONLY} Press Ctrl-C to stop.",
            flush=True,
        )
        threading.Event().wait()
    finally:
        page.close(verbose=False)
