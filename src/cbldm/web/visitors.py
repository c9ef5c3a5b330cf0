"""Who is there: each open page has its own files, jobs and results, which go when it is gone."""

from __future__ import annotations

import io
import secrets
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cbldm.data.pdf_settings import require_metal
from cbldm.errors import InputError
from cbldm.options import Options
from cbldm.web.jobs import Job, Jobs
from cbldm.web.limits import Limits
from cbldm.web.uploads import Upload, take
from cbldm.web.wording import folder_name

#: Pages that are known at once; the one that was silent longest goes when another comes.
MOST_VISITORS = 64
#: Seconds after which the jobs of a closed page are stopped, after which it is forgotten, and after which a silent one
#: is. A page that lost its connection, as when a laptop sleeps, looks closed until it asks again.
STOP_AFTER, FORGET_AFTER, IDLE_AFTER = 30.0, 600.0, 12 * 3600.0


@dataclass
class Result:
    """What a job left, or will leave, behind.

    Attributes:
        job: The job.
        name: Of the folder, as the user sees it.
        folder: Where its files lie.
        token: Who knows this may fetch it.
    """

    job: Job
    name: str
    folder: Path
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def report(self) -> bytes:
        """The report."""
        return (self.folder / "report.html").read_bytes()

    def archive(self) -> bytes:
        """The folder as a zip file; the same files give the same bytes."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(self.folder.rglob("*")):
                if path.is_file():
                    inside = zipfile.ZipInfo(f"{self.name}/{path.relative_to(self.folder).as_posix()}")
                    inside.compress_type, inside.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                    archive.writestr(inside, path.read_bytes())
        return packed.getvalue()


class Visitor:
    """An open page.

    Attributes:
        uploads: Its files by key, in the order in which they came.
        results: The last computation of each, by the same keys.
        chosen: Key of the file that is shown; empty where there is none.
        seen: When it was heard of last.
        left: When it was closed, None while it is open.
        lock: Held while one of its events is dealt with.
    """

    def __init__(self, folder: Path, limits: Limits, jobs: Jobs) -> None:
        self.uploads: dict[str, Upload] = {}
        self.results: dict[str, Result] = {}
        self.chosen = ""
        self.seen = time.monotonic()
        self.left: float | None = None
        self.lock = threading.RLock()
        self._folder, self._limits, self._jobs = folder, limits, jobs

    @property
    def upload(self) -> Upload | None:
        """The file that is shown."""
        return self.uploads.get(self.chosen)

    @property
    def result(self) -> Result | None:
        """The computation on the file that is shown."""
        return self.results.get(self.chosen)

    @property
    def is_busy(self) -> bool:
        """Whether any of its jobs waits or runs."""
        return any(result.job.is_active for result in self.results.values())

    def add(self, files: Any) -> list[str]:
        """Take and read files; the first of them is shown.

        Returns:
            A sentence for each that was not taken.

        Raises:
            InputError: None can be taken.
        """
        room = self._limits.max_files - len(self.uploads)
        uploads, refused = take(files, self._folder, room, self._limits)
        for upload in uploads:
            upload.read()
            self.uploads[upload.key] = upload
        if uploads:
            self.chosen = uploads[0].key
        return refused

    def remove(self) -> None:
        """Remove the file that is shown, with its result."""
        upload = self.uploads.pop(self.chosen, None)
        if upload is not None:
            self._drop(upload.key)
            upload.path.unlink(missing_ok=True)
        self.chosen = next(iter(self.uploads), "")

    def solve(self, key: str, options: Mapping[str, Any]) -> None:
        """Put the computation on a file into the queue; an earlier result of it goes.

        Args:
            key: Of the file.
            options: Fields of `Options`.

        Raises:
            InputError: The file or an option cannot be used, it is being solved already, or the queue is full.
        """
        upload = self.uploads[key]
        Options(**options)
        if upload.pdf is None or upload.problem:
            raise InputError(upload.problem)
        require_metal(upload.pdf)
        if key in self.results and self.results[key].job.is_active:
            raise InputError(f"{upload.name!r} is being solved already")
        out = self._folder / secrets.token_hex(8)
        job = self._jobs.submit(
            {"file": str(upload.path), "name": upload.name, "given": upload.given, "options": dict(options),
             "out": str(out)}
        )  # fmt: skip
        self._drop(key)
        self.results[key] = Result(job, folder_name(upload.name), out)

    def cancel(self) -> None:
        """Stop all jobs."""
        for result in self.results.values():
            result.job.cancel()

    def clear(self) -> None:
        """Stop all jobs and delete everything."""
        self.cancel()
        self.uploads, self.results, self.chosen = {}, {}, ""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _drop(self, key: str) -> None:
        result = self.results.pop(key, None)
        if result is not None:
            result.job.cancel()
            shutil.rmtree(result.folder, ignore_errors=True)


class Visitors:
    """All open pages.

    Attributes:
        folder: Holds all their files; nobody else can look into it.
    """

    def __init__(self, limits: Limits, jobs: Jobs) -> None:
        self._limits, self._jobs = limits, jobs
        self.folder = Path(tempfile.mkdtemp(prefix="cbldm-app-"))
        self._all: dict[str, Visitor] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._all)

    def get(self, session: str) -> Visitor:
        """The visitor of a session, who is there now; a new one where the session is not known (any more)."""
        with self._lock:
            visitor = self._all.get(session)
            if visitor is None:
                folder = self.folder / secrets.token_hex(8)
                folder.mkdir(mode=0o700)
                visitor = self._all[session] = Visitor(folder, self._limits, self._jobs)
            visitor.seen, visitor.left = time.monotonic(), None
            stale = [] if len(self._all) <= MOST_VISITORS else [min(self._all, key=lambda key: self._all[key].seen)]
            gone = [self._all.pop(key) for key in stale]
        for other in gone:
            other.clear()
        return visitor

    def leave(self, session: str) -> None:
        """A page was closed, or its connection was lost."""
        with self._lock:
            if session in self._all:
                self._all[session].left = time.monotonic()

    def tidy(self) -> None:
        """Stop the jobs of those who left, and forget who has been away for long."""
        now = time.monotonic()
        with self._lock:
            away = {key: now - visitor.left for key, visitor in self._all.items() if visitor.left is not None}
            idle = {key for key, visitor in self._all.items() if now - visitor.seen > IDLE_AFTER}
            gone = [self._all.pop(key) for key in idle | {key for key in away if away[key] > FORGET_AFTER}]
            stopped = [self._all[key] for key in away if away[key] > STOP_AFTER and key in self._all]
        for visitor in stopped:
            visitor.cancel()
        for visitor in gone:
            visitor.clear()

    def before(self, result: Result | None) -> int:
        """How many jobs wait before that of a result."""
        return 0 if result is None else self._jobs.before(result.job)

    def result(self, token: str) -> Result | None:
        """The finished result that a token is for."""
        with self._lock:
            results = [result for visitor in self._all.values() for result in visitor.results.values()]
        found = None
        for result in results:
            # All are compared, each in the same time, so that the time says nothing of the tokens.
            if secrets.compare_digest(result.token.encode(), token.encode()) and result.job.state == "done":
                found = result
        return found

    def close(self) -> None:
        """Forget everybody."""
        with self._lock:
            visitors, self._all = list(self._all.values()), {}
        for visitor in visitors:
            visitor.clear()
        shutil.rmtree(self.folder, ignore_errors=True)
