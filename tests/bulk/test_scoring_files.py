"""Listing, ledger, table and summary of scoring, without a model."""

import os
import resource
import string
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulk.errors import NothingToScore, OutputUnusable, UnreadableFile
from bulk.images import summary, table
from bulk.images.listing import ImageFile, find_images, to_path, to_text
from bulk.images.state import ScoringState
from bulk.images.table import SCHEMA, Row
from bulk.names import printable
from bulk.output import writing
from bulk.patient import score_patient
from bulk.tables import ANSWER
from bulk.tables import MODEL as MODEL_COLUMNS
from handler import RESEARCH_ONLY
from handler.decision import DecisionRule
from handler.prediction import ModelId, Prediction, Warning

MODEL = ModelId("breakhis", "1.0", "a" * 64)
RULE = DecisionRule(threshold=0.0, abstain=(-0.5, 0.5), slope=1.5, intercept=0.0)

# What Linux allows in a file name, with what often goes wrong.
NAMES = st.lists(
    st.sampled_from(
        [b"\n", b"\xff", b"\\xff", b"%FF", b"*", b"[a]", b"?", b"'", b"=1", b"\x1b[31m"]
    )
    | st.sampled_from([*string.ascii_letters.encode()]).map(lambda i: bytes([i]))
    | st.characters(exclude_characters="/\0", exclude_categories=["Cs"]).map(str.encode),
    min_size=1,
    max_size=12,
).map(b"".join)


def row(file: str, decision: float | None, verdict: str | None) -> Row:
    image = ImageFile(file, Path(file).parent.name, 5, 7)
    if verdict is None:
        return Row.of(image, UnreadableFile("No."), MODEL)
    label = "malignant" if decision >= 0 else "benign"
    probability = RULE.probability(decision)
    warnings = [Warning("not_he")]
    return Row.of(image, Prediction(label, probability, verdict, decision, warnings, MODEL), MODEL)


def test_a_row_is_read_as_it_was_written_under_the_names_that_all_tables_have(tmp_path):
    rows = [row("/a/1.png", 1.0, "malignant"), row("/a/2.png", None, None)]
    table.write(tmp_path / "t.parquet", iter([rows[:1], rows[1:]]))
    assert list(table.read(tmp_path / "t.parquet")) == [rows]
    names = ("file", "patient", "bytes", "modified", *ANSWER, "error", "message", *MODEL_COLUMNS)
    assert tuple(SCHEMA.names) == names


@settings(max_examples=60)
@given(names=st.sets(NAMES, min_size=1, max_size=5))
def test_any_name_is_listed_stored_and_found_again(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("any")
    paths = {os.fsencode(folder) + b"/" + name + b".PNG" for name in names}
    for path in paths:
        Path(os.fsdecode(path)).write_bytes(b"x")
    images = list(find_images([str(folder)]))
    assert {os.fsencode(to_path(image.file)) for image in images} == {
        path
        for path in paths
        if not os.path.basename(path).startswith(b".")  # noqa: PTH119
    }
    # Each by itself is found, too, whatever of a pattern there is in its name.
    assert set(find_images(os.fsdecode(path) for path in paths)) >= set(images)
    with closing(ScoringState(folder / "out.parquet", MODEL)) as ledger:
        ledger.note(images)
        for image in images:
            ledger.add([Row.of(image, UnreadableFile(image.file), MODEL)])
        assert list(ledger.pending(2)) == []
        table.write(folder / "out.parquet", ledger.rows("file"))
        ledger.clear()
    stored = pq.read_table(folder / "out.parquet")["file"].to_pylist()
    assert stored == sorted(image.file for image in images)
    assert all(printable(name).isprintable() for name in stored)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_no_name_that_is_unicode_is_mistaken_for_one_that_is_not(name):
    path = f"/{name}"
    assert to_text(path) == path
    assert os.fspath(to_path(to_text("/\udcff"))) == "/\udcff"


@settings(max_examples=60)
@given(NAMES)
def test_any_pattern_lists_or_says_that_there_is_nothing(pattern):
    try:
        list(find_images([os.fsdecode(b"/nowhere/" + pattern)]))
    except NothingToScore as error:
        assert str(error).isprintable()


def test_folders_patterns_files_and_what_is_passed_over(tmp_path):
    for name in (
        "a/1.png",
        "a/x.png/2.JPG",
        "a/._1.png",
        "a/notes.txt",
        ".hidden/3.png",
        "b/4.tif",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "b" / "round").symlink_to(tmp_path)
    (tmp_path / "b" / "gone.png").symlink_to(tmp_path / "nowhere")

    def names(*given: str) -> set[str]:
        return {os.path.relpath(image.file, tmp_path) for image in find_images(given)}

    everything = {"a/1.png", "a/x.png/2.JPG", "b/4.tif", "b/gone.png"}
    assert names(str(tmp_path)) == everything
    assert names(f"{tmp_path}/[ab]") == everything
    assert names(f"{tmp_path}/*/*.png") == {"a/1.png", "a/x.png/2.JPG", "b/gone.png"}
    assert names(f"{tmp_path}/a/notes.txt", f"{tmp_path}/a") == {
        *("a/1.png", "a/x.png/2.JPG", "a/notes.txt")
    }
    with pytest.raises(NothingToScore, match="matches none"):
        names(f"{tmp_path}/*.gif")


def test_the_patient_is_the_accession_number_or_the_folder_s_path(tmp_path, monkeypatch):
    for name in (
        "siteA/case01/1.png",
        "siteB/case01/1.png",
        "siteB/case01/40X/2.png",
        "siteB/SOB_M_DC-14-2980-40-009.png",
        "SOB_B_A-14-22549AB-40-001.PNG",
        "siteB/\udcff\n/1.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def patients(*given: str) -> set[str]:
        return {image.patient for image in find_images(given)}

    of_b = {"siteB/case01", "siteB/case01/40X", "siteB/\\udcff\\n", "2980"}
    everything = {"siteA/case01", *of_b, "22549"}
    assert patients(str(tmp_path)) == everything
    monkeypatch.chdir(tmp_path)
    assert patients(".") == everything
    # Whatever way they are given, and several at a time.
    two = {"siteA/case01", "siteB/case01"}
    assert patients("siteA", "siteB") == everything - {"22549"}
    assert patients("siteA/case01/1.png", "siteB/case01/1.png") == two
    assert patients("site?/case01/*.png") == two
    assert patients("site?") == everything - {"22549"}
    assert patients("siteA/case01") == {"case01"}


def test_a_patient_has_the_path_of_the_last_run(tmp_path):
    with closing(ScoringState(tmp_path / "t.parquet", MODEL)) as ledger:
        for patient in ("case01", "siteA/case01"):
            ledger.note([ImageFile("/siteA/case01/1", patient, 5, 7)])
            if ledger.count()[1]:
                ledger.add([row("/siteA/case01/1", 1.0, "malignant")])
            assert [each.patient for (each,) in ledger.rows("file")] == [patient]


def test_a_ledger_goes_on_and_scores_what_has_changed(tmp_path):
    out = tmp_path / "t.parquet"
    images = [ImageFile(f"/{name}", "", 5, 7) for name in "abcde"]
    ledger = ScoringState(out, MODEL)
    with pytest.raises(OutputUnusable, match="Another run"):
        ScoringState(out, MODEL)
    ledger.note(images)
    ledger.add([row("/a", 1.0, "malignant"), row("/b", -1.0, "benign"), row("/c", None, None)])
    ledger.close()

    ledger = ScoringState(out, MODEL)  # a stopped run
    ledger.note([*images[1:], ImageFile("/e", "", 5, 7)])
    assert ledger.count() == (4, 3, 1)  # what could not be read is tried again
    assert list(ledger.pending(2)) == [images[2:4], images[4:]]
    ledger.add([row("/c", 0.0, "uncertain"), row("/d", 0, "uncertain"), row("/e", 0, "rejected")])
    table.write(out, ledger.rows("file"))
    ledger.clear()
    ledger.close()
    assert [file.name for file in tmp_path.iterdir()] == [out.name]

    ledger = ScoringState(out, MODEL)  # a finished one
    ledger.note([images[0], images[1]._replace(modified=8), images[2]._replace(bytes=6)])
    assert [image.file for (image,) in ledger.pending(1)] == ["/b", "/c"]
    assert ledger.count() == (3, 2, 2)
    ledger.close()

    with pytest.raises(OutputUnusable, match=r"version 1\.0"):
        ScoringState(out, ModelId("breakhis", "1.1", "b" * 64))


def test_a_full_disk_is_told_and_what_was_kept_stays(tmp_path):
    out = tmp_path / "t.parquet"
    images = [ImageFile(f"/{i}/{'x' * 200}", "", 5, 7) for i in range(5000)]
    ledger = ScoringState(out, MODEL)
    ledger.note(images)
    ledger.add([row(images[0].file, 1.0, "malignant")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file grows any more, as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (ledger.path.stat().st_size + 100_000, hard))
    try:
        with pytest.raises(OutputUnusable, match="make room"), writing(out):
            for _ in range(3):
                ledger.add([row(image.file, 1.0, "malignant") for image in images])
        assert sum(map(len, ledger.rows("file"))) >= 1
        # With or without room to write its log back, a ledger that is done with leaves nothing.
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000_000, hard))
        ledger.clear()
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        ledger.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_table_of_ours_is_left_alone(tmp_path):
    out = tmp_path / "t.parquet"
    for content in (b"no table", b""):
        out.write_bytes(content)
        with pytest.raises(OutputUnusable, match="Choose another --out"):
            ScoringState(out, MODEL)
        assert [out.read_bytes()] == [file.read_bytes() for file in tmp_path.iterdir()]
    for impossible in (tmp_path, out / "t.parquet"):
        with pytest.raises(OutputUnusable, match="Choose another --out"), writing(impossible):
            ScoringState(impossible, MODEL)


def test_patients_are_judged_as_on_the_page(tmp_path):
    rows = [
        row("/=a/1", 2.0, "malignant"),
        row("/=a/2", -0.5, "uncertain"),
        row("/=a/3", 9.0, "rejected"),
        row("/=a/4", None, None),
        row("/b/5", 9.0, "rejected"),
    ]
    first, second = summary.write(tmp_path / "p.csv", [rows[:2], rows[2:]], RULE)
    together = score_patient(
        [Prediction(*each[4:8], [], MODEL) for each in rows[:3] if each.verdict], RULE
    )
    assert together.decision == 0.75
    means = together.decision, together.probability, together.verdict
    assert first == ("=a", 4, 1, 1, *means)
    assert second == ("b", 1, 0, 1, None, None, "no verdict")
    lines = (tmp_path / "p.csv").read_text("utf-8-sig").splitlines()
    assert lines[1].startswith("'=a,4,1,1,0.75,")
    assert lines[2] == f'b,1,0,1,,,no verdict,"{RESEARCH_ONLY}"'
