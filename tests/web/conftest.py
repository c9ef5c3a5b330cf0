"""Jobs with a stand-in for the solver: what it does is in the task, and it starts at once."""

import base64
import json
import os
import re
import subprocess
import sys
import time

import pytest

from cbldm.web.jobs import Jobs

STAND_IN = """
import json, os, pathlib, sys, time
print(json.dumps({"ready": True}), flush=True)
task = json.loads(sys.stdin.readline() or "{}")
print(json.dumps({"stage": "search", "done": 0.5}), flush=True)
act = task.get("options", task).get("act") or ("error" if task.get("name") == "bad.gr" else "answer")
if act == "crash":
    os.abort()
if act == "hang" or task.get("options", {}).get("samples") == 4000:
    time.sleep(600)
if act == "error":
    print(json.dumps({"error": f"{task['file']!r} cannot be solved: give --qmax VALUE"}), flush=True)
if act == "answer":
    out = pathlib.Path(task["out"])
    out.mkdir()
    out.joinpath("report.html").write_text(f"report on {task['name']}")
    out.joinpath("results.json").write_text(json.dumps(task))
    print(json.dumps({"answer": f"answer on {task['name']}"}), flush=True)
"""


@pytest.fixture
def make_jobs():
    made = []

    def make(running=1, waiting=2, seconds=60.0):
        made.append(Jobs(running, waiting, seconds, (sys.executable, "-c", STAND_IN)))
        return made[-1]

    yield make
    for jobs in made:
        jobs.close()


@pytest.fixture
def until():
    """Wait for something that another thread does."""

    def wait(holds, seconds=30.0):
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.02)

    return wait


class Browser:
    """One open page: it sends the fields that it shows, and takes what comes back."""

    def __init__(self, client, config, session):
        self.client, self.config, self.session = client, config, session
        self.values = {c["id"]: c["props"].get("value") for c in config["components"]}
        self.shown = {c["id"]: dict(c["props"]) for c in config["components"]}
        self.ids = {c["props"]["elem_id"]: c["id"] for c in config["components"] if c["props"].get("elem_id")}

    def do(self, name, event, data=None):
        target = [self.ids[name], event]
        dependency = next(d for d in self.config["dependencies"] if target in d["targets"])
        answer = self.client.post(
            "/gradio_api/run/predict",
            json={"data": [self.values[i] for i in dependency["inputs"]], "event_data": data,
                  "fn_index": dependency["id"], "session_hash": self.session, "trigger_id": target[0]},
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        for i, update in zip(dependency["outputs"], answer.json()["data"], strict=True):
            if isinstance(update, dict) and update.get("__type__") == "update":
                self.shown[i] |= update
                self.values[i] = update.get("value", self.values[i])
            else:
                self.values[i] = update
        return answer.text

    def poll(self):
        timer = next(c["id"] for c in self.config["components"] if c["type"] == "timer")
        self.ids["timer"] = timer
        return self.do("timer", "tick")

    def drop(self, *files):
        files = [{"name": name, "data": base64.b64encode(content).decode()} for name, content in files]
        return self.do("drop", "upload", {"files": files})

    def text(self, name):
        return self.values[self.ids[name]]


@pytest.fixture(scope="session")
def browse():
    """Open a page of the app at which a client points."""

    def go(client, session):
        config = re.search(r"window.gradio_config = (\{.*?\});</script>", client.get("/").text)[1]
        return Browser(client, json.loads(config), session)

    return go


SERVER = f"""
import sys
import cbldm.web.jobs
from cbldm.web.app import serve
from cbldm.web.limits import Limits

cbldm.web.jobs.WORKER = (sys.executable, "-c", {STAND_IN!r})
serve(Limits(port=0, max_files=3, max_upload=1), lambda address: print(address, flush=True))
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of an app in a process of its own: Gradio leaves event loops open, which is an error in a test."""
    place = tmp_path_factory.mktemp("server")
    environment = os.environ | {"TMPDIR": str(place)}
    call = [sys.executable, "-c", SERVER]
    with subprocess.Popen(call, stdout=subprocess.PIPE, text=True, env=environment) as process:
        yield process.stdout.readline().strip()
        process.terminate()
        process.wait(timeout=60)
    # Gradio makes an empty folder of its own when it is imported.
    assert [path for path in place.rglob("*") if path.is_file()] == [], "files of users are still there"
    assert list(place.glob("cbldm-app-*")) == []
