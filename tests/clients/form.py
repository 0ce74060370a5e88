"""Sends the form of the page that is the first argument, with a file, as a browser would, and insists on an answer that
names it."""

import pathlib
import sys
import tempfile

import mechanicalsoup

browser = mechanicalsoup.StatefulBrowser(raise_on_404=True)
browser.open_fake_page(sys.argv[1])
form = browser.select_form()
with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder, "my note.txt")
    file.write_text("by a form")
    with file.open("rb") as opened:
        form.set(form.form.select_one("input[type=file]")["name"], opened)
        answer = browser.submit_selected()
assert answer.status_code == 201, f"{answer.status_code} {answer.text}"
assert answer.json()["files"][0]["key"].endswith("/my note.txt"), answer.text
assert answer.json()["files"][0]["size"] == len("by a form"), answer.text
