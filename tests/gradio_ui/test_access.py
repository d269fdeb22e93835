"""What a visitor with bad intentions gets from the page: see SECURITY.md."""

import re
import socket
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from gradio_client import Client, handle_file

from serve.management import Management
from tests.conftest import LEFT, ROOT, wait_until
from tests.gradio_ui.conftest import uploads_of
from tests.gradio_ui.test_manners import ENDPOINTS

SECONDS = 30


@pytest.fixture
def api(page_url) -> str:
    return f"{page_url}/gradio_api"


@pytest.fixture
def listener():
    """A server of somebody else's; it takes no connection unless a test fails."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def not_contacted(listener: socket.socket) -> bool:
    try:
        listener.accept()
    except BlockingIOError:
        return True
    return False


def file_data(path: object, **more) -> dict:
    return {"path": str(path), "meta": {"_type": "gradio.FileData"}, **more}


def call(api: str, endpoint: str, data: list) -> str:
    sent = requests.post(f"{api}/call/{endpoint}", json={"data": data}, timeout=SECONDS)
    event = sent.json()["event_id"]
    return requests.get(f"{api}/call/{endpoint}/{event}", timeout=SECONDS).text


def get(address: str) -> requests.Response:
    """Ask for an address as it stands: requests would resolve `..` by itself."""
    request = requests.Request("GET", address).prepare()
    request.url = address
    with requests.Session() as session:
        return session.send(request, timeout=SECONDS, allow_redirects=False)


def test_no_file_of_the_server_is_handed_out(page_url, api, service):
    uploads = service.run_dir / "uploads"
    files = [
        *("/etc/passwd", "../../../../etc/passwd", "/proc/self/environ", "app.py", "README.md"),
        *(service.key_file, service.run_dir / "logs" / "access.log", uploads),
        *(f"{uploads}/../key_file.json", f"{uploads}/%2e%2e/key_file.json"),
        *(ROOT / "app.py", ROOT / ".git" / "config", ROOT / "model_store" / "svm.pkl"),
    ]
    for file in files:
        assert get(f"{api}/file={file}").status_code in (403, 404), file
        assert get(f"{api}/file/{file}").status_code in (403, 404), file
    for folder in ("static", "assets", "svelte"):
        for up in ("../", "..%2f", "%2e%2e/"):
            assert not get(f"{page_url}/{folder}/{up * 12}etc/passwd").ok


def test_an_address_is_fetched_for_nobody(api, listener):
    here = f"http://127.0.0.1:{listener.getsockname()[1]}/field.png"
    # By itself Gradio says of the first that it is private, and tries the other.
    addresses = (here, "https://images.example/field.png")
    for address in addresses:
        for file in (file_data(address), file_data(address, url=here)):
            assert "Upload the file itself" in call(api, "classify", [file])
            assert "Upload the file itself" in call(api, "patient", [[file]])
        assert "event: error" in call(api, "classify", [file_data(address, is_stream=True)])
        assert get(f"{api}/file={address}").status_code == 404
        assert get(f"{api}/proxy={address}").status_code == 404
    assert not_contacted(listener)


def test_gradio_s_own_endpoints_that_write_or_run_something_are_closed(api):
    assert get(f"{api}/deep_link?session_hash=x").status_code == 404
    assert requests.post(f"{api}/process_recording", timeout=SECONDS).status_code == 404


def test_an_upload_s_name_leads_nowhere(api, service):
    for name in ("../../../evil.png", "/tmp/evil.png", "a/../../../evil.png", "..", "x\0y"):
        sent = requests.post(f"{api}/upload", files={"files": (name, b"x")}, timeout=SECONDS)
        if sent.ok:
            (path,) = map(Path, sent.json())
            assert path.resolve().is_relative_to(service.run_dir.resolve() / "uploads")
            assert path.stat().st_mode & 0o077 == 0
            call(api, "classify", [file_data(path)])
            assert not path.exists()
        else:
            assert sent.status_code == 400


def test_an_upload_that_breaks_off_leaves_nothing(page_url, service):
    before = set(uploads_of(service))
    host, port = urlsplit(page_url).netloc.split(":")
    head = (
        "POST /gradio_api/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n"
        "Content-Type: multipart/form-data; boundary=B\r\n\r\n"
        '--B\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    )
    with closing(socket.create_connection((host, int(port)))) as visitor:
        visitor.sendall(head.encode() + bytes(5000))
        wait_until(lambda: set(uploads_of(service)) - before)
    wait_until(lambda: not set(uploads_of(service)) - before)


def test_no_call_of_the_page_manages_the_model_or_takes_a_server_s_file(page_url, api, service):
    """Every call, private ones too, with a file of the server in each input."""
    management = Management.from_settings(service)
    before = management.describe()
    keys = service.key_file.read_text()
    calls = requests.get(f"{page_url}/config", timeout=SECONDS).json()["dependencies"]
    assert {f"/{c['api_name']}" for c in calls if c["api_visibility"] == "public"} == ENDPOINTS
    for each in calls:
        session = f"attacker-{each['id']}"
        file = file_data(service.key_file)
        sent = requests.post(
            f"{api}/queue/join",
            json={
                "fn_index": each["id"],
                "session_hash": session,
                "data": [[file] for _ in each["inputs"]],
            },
            timeout=SECONDS,
        )
        if sent.ok and each["backend_fn"]:
            answer = requests.get(
                f"{api}/queue/data", params={"session_hash": session}, timeout=SECONDS
            ).text
            assert not any(key in answer for key in re.findall(r'"key": *"(.+?)"', keys))
    assert service.key_file.read_text() == keys
    after = management.describe()
    for part in ("modelVersion", "minWorkers", "maxWorkers", "batchSize"):
        assert after[part] == before[part]


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_other_pages_in_the_visitor_s_browser_can_t_read_this_one(page_url, api, origin):
    for address in (f"{page_url}/config", f"{api}/info"):
        answer = requests.get(address, headers={"Origin": origin}, timeout=SECONDS)
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_browsers_are_told_to_ask_nobody_else(page_url):
    headers = requests.get(page_url, timeout=SECONDS).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'self' ")
    assert "http" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_an_upload_is_gone_once_it_is_judged(page_url, service, field_file):
    before = set(uploads_of(service))
    answer = Client(page_url, verbose=False).predict(handle_file(field_file), api_name="/classify")
    assert answer["verdict"]
    assert set(uploads_of(service)) <= before


def send(api: str, *names: str) -> requests.Response:
    files = [("files", (name, repr(names))) for name in names]
    return requests.post(f"{api}/upload", files=files, timeout=SECONDS)


def test_equal_uploads_live_and_die_by_themselves(api):
    """One visitor leaves; another's equal file, and it alone, goes when it is judged."""
    (abandoned,), (judged,) = (send(api, "field.png").json() for _ in range(2))
    for said in ("not an image", "already deleted"):
        event = requests.post(
            f"{api}/call/patient", json={"data": [[file_data(judged)]]}, timeout=SECONDS
        ).json()["event_id"]
        answer = requests.get(f"{api}/call/patient/{event}", timeout=SECONDS).text
        assert said in answer
        assert not Path(judged).parent.exists()
        assert Path(abandoned).exists()


def test_of_uploads_that_are_refused_together_none_stays(api, service):
    before = set(uploads_of(service))
    assert send(api, "field.png", "..").status_code == 400
    assert set(uploads_of(service)) <= before


def test_a_page_deletes_what_one_that_was_killed_has_left(page_url, service):
    assert LEFT not in {path.name for path in uploads_of(service)}
