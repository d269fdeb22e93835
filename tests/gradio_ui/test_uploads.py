"""Files and zips, honest and hostile."""

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradio_ui.errors import UnreadableUpload
from gradio_ui.uploads import MAX_IMAGES, UploadedFile, find_uploads


def zipped(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def sent(folder: Path, name: str, content: bytes) -> UploadedFile:
    path = folder / "upload"
    path.write_bytes(content)
    return UploadedFile(path, name)


def test_a_zip_stands_for_its_images(tmp_path):
    files = {"b/1.png": b"one", "a/2.png": b"two", "__MACOSX/b/._1.png": b"x", ".DS_Store": b"x"}
    content = zipped(**files, **{"b/Thumbs.db": b"x"})
    found = find_uploads([sent(tmp_path, "patient.zip", content)])
    assert [(upload.name, upload.read()) for upload in found] == [
        ("b/1.png", b"one"),
        ("a/2.png", b"two"),
    ]


def test_a_file_keeps_the_visitor_s_name(tmp_path):
    (upload,) = find_uploads([sent(tmp_path, "Fäld <1>.png", b"content")])
    assert (upload.name, upload.read()) == ("Fäld <1>.png", b"content")


def test_a_deleted_file_says_so(tmp_path):
    (upload,) = find_uploads([UploadedFile(tmp_path / "gone", "gone.png")])
    with pytest.raises(UnreadableUpload, match="Upload the file again"):
        upload.read()


def test_a_damaged_and_an_encrypted_zip_say_so(tmp_path):
    (upload,) = find_uploads([sent(tmp_path, "cut.zip", zipped(a=b"x" * 99)[:40])])
    assert upload.name == "cut.zip"
    with pytest.raises(UnreadableUpload, match="damaged"):
        upload.read()
    content = bytearray(zipped(a=b"x" * 99))
    content[6] |= 1  # the flag of encryption, in both headers
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (upload,) = find_uploads([sent(tmp_path, "secret.zip", bytes(content))])
    with pytest.raises(UnreadableUpload, match="password"):
        upload.read()


def test_a_bomb_is_not_unpacked(tmp_path):
    (upload,) = find_uploads([sent(tmp_path, "bomb.zip", zipped(a=bytes(80_000_000)))])
    with pytest.raises(UnreadableUpload, match="80,000,000 bytes"):
        upload.read()


def test_too_many_images_are_refused(tmp_path):
    content = zipped(**{f"{i}.png": b"" for i in range(MAX_IMAGES + 1)})
    with pytest.raises(UnreadableUpload, match="Choose fewer"):
        find_uploads([sent(tmp_path, "many.zip", content)])


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_is_changed_in_a_zip_is_read_or_refused(tmp_path, data):
    content = bytearray(zipped(a=b"content" * 20, b=b"more" * 30))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    for upload in find_uploads([sent(tmp_path, "odd.zip", bytes(content))]):
        try:
            assert isinstance(upload.read(), bytes)
        except UnreadableUpload as error:
            assert str(error)
