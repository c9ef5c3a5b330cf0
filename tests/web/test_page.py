"""The page as a browser would talk to it, with a stand-in for the solver."""

import re
import secrets

import httpx
import pytest


@pytest.fixture
def client(address):
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


@pytest.fixture
def open_page(client, browse):
    return lambda session: browse(client, session)


@pytest.fixture
def example(root):
    return (root / "src/cbldm/examples/pt_example.gr").read_bytes()


def test_a_file_is_read_solved_and_fetched(open_page, client, example, until):
    page = open_page("a1")
    page.drop(("<b>Pt</b>.gr", example))
    assert [page.text(name) for name in ("element", "qmax", "rmin", "rmax")] == ["Pt", "24", "1.5", "30"]
    assert "&lt;b&gt;Pt&lt;" not in page.text("facts"), "a name ends at a slash"
    assert page.text("range")["rmax"] == 30.0
    page.do("solve", "click")
    until(lambda: "Solved" in (page.poll() and page.text("progress")))
    result = page.text("result")
    assert client.get(f"/{result['report']}").text == "report on b>.gr"
    archive = client.get(f"/{result['archive']}")
    assert archive.headers["content-disposition"] == 'attachment; filename="b_cbldm.zip"'
    assert archive.content[:2] == b"PK"


def test_markup_in_names_and_files_is_text(open_page, example):
    page = open_page("a2")
    page.drop(("<img src=x onerror=alert(1)>.gr", example))
    assert page.text("facts").startswith("<h2>&lt;img src=x onerror=alert(1)&gt;.gr</h2>")
    page.drop(("<i>.gr", b"<script>alert(1)</script>"))
    assert "<script>" not in page.text("notes")
    assert "<i>" not in page.text("notes")
    assert "<i>" not in page.text("facts")


def test_corrections_are_options_and_what_is_left_alone_is_not(open_page, example):
    page = open_page("a3")
    page.drop(("x.gr", example))
    page.values[page.ids["qmax"]] = "22"
    page.do("qmax", "blur")
    assert page.shown[page.ids["qmax"]]["info"] == "given by you: header says 24"
    assert page.shown[page.ids["qmin"]]["info"] == "header of the file"
    page.do("range", "release", {"end": "rmax", "r": 18.5})
    assert (page.text("rmax"), page.text("range")["rmax"]) == ("18.5", 18.5)
    page.values[page.ids["qmax"]] = "wide"
    page.do("qmax", "blur")
    assert "Qmax must be a number" in page.text("refused")


def test_each_file_keeps_its_own_settings(open_page, example):
    page = open_page("a4")
    page.drop(("1.gr", example), ("2.gr", example))
    keys = [key for _, key in page.shown[page.ids["files"]]["choices"]]
    page.values[page.ids["qmin"]] = "1.1"
    page.values[page.ids["files"]] = keys[1]
    page.do("files", "input")
    assert "2.gr" in page.text("facts")
    assert page.text("qmin") == "0.9"
    page.values[page.ids["files"]] = keys[0]
    page.do("files", "input")
    assert page.text("qmin") == "1.1"


def test_one_user_sees_nothing_of_another(open_page, example, until):
    one, other = open_page("b1"), open_page("b2")
    one.drop(("mine.gr", example))
    one.do("solve", "click")
    said = other.drop(("theirs.gr", example))
    assert "mine" not in said
    assert other.text("result") is None
    # A key of somebody else's file is no key here.
    hidden = next(c["id"] for c in other.config["components"] if c["type"] == "textbox" and not c["props"]["visible"])
    other.values[hidden] = one.text("files")
    assert "mine" not in other.do("solve", "click")
    until(lambda: "Solved" in (one.poll() and one.text("progress")))
    assert "mine" not in other.poll()


def test_cancel_and_the_page_goes_on(open_page, example, until):
    page = open_page("a5")
    page.drop(("x.gr", example))
    samples = next(c["id"] for c in page.config["components"] if c["props"].get("label") == "Samples")
    page.values[samples] = 4000
    page.do("solve", "click")
    until(lambda: "Moving atoms" in (page.poll() and page.text("progress")))
    assert page.shown[page.ids["cancel"]]["visible"]
    page.do("cancel", "click")
    assert "Stopped" in page.text("progress")
    page.values[samples] = 8
    page.do("solve", "click")
    until(lambda: "Solved" in (page.poll() and page.text("progress")))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([("a.gr", b"junk")], "no rows"),
        ([("a.gr", b"")], "a.gr"),
        ([("a.gr", bytes(range(256)) * 40)], "a.gr"),
        ([("a.gr", b"1 2\n")] * 4, "at most 3 files"),
        ([("a.gr", b"1 2\n" * 260_000)], "more than 1 MB"),
    ],
)
def test_what_is_wrong_is_a_sentence_without_a_path(open_page, files, words):
    page = open_page(secrets.token_hex(4))
    said = page.drop(*files)
    shown = (page.text("notes") or "") + (page.text("said") or "")
    assert 'role="alert"' in shown
    if words != "no rows":
        assert words in shown
    assert "Traceback" not in said
    assert not re.search(r"/tmp|/home|/root|/work|site-packages|\\.py", said)


@pytest.mark.parametrize(
    "body",
    [{}, {"fn_index": 99, "session_hash": "x", "data": []}, {"fn_index": 0, "session_hash": "x", "data": []},
     {"fn_index": 0, "data": ["x"] * 17}, {"fn_index": "a"}, {"fn_index": 0, "session_hash": "x", "data": {"a": 1}}],
)  # fmt: skip
def test_a_malformed_event_says_nothing_of_the_machine(client, body):
    answer = client.post("/gradio_api/run/predict", json=body)
    assert answer.status_code >= 400
    assert not re.search(r'Traceback|/tmp|/home|/root|/work|site-packages|\\.py"', answer.text)


def test_the_page_names_no_path_and_no_other_place(client):
    page = client.get("/").text
    assert not re.search(r"/tmp/|/home/|/root/|/work/|site-packages", page)
    assert "fonts.googleapis" not in page + client.get("/theme.css").text
    addresses = set(re.findall(r'(?:src|href)="?(https?://[^"\s>]+)', page))
    assert addresses == set()


@pytest.mark.parametrize(
    "path", ["/results/x/report", "/results/..%2f..%2fetc%2fpasswd/report", "/results/x/../../etc/passwd",
             "/gradio_api/file=/etc/passwd", "/gradio_api/file=%2Fetc%2Fpasswd"]
)  # fmt: skip
def test_no_file_of_the_machine_is_served(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.text == "There is nothing here."
