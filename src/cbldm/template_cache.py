"""Templates and their pair counts on disk, so that only the first process on a machine waits for them.

The file lies in the user's folder for caches, some 50 MB. Its name holds a digest of the code that makes templates, so
one that other code made is never read, and it is written beside its place and moved there, so none is half written. It
can be deleted at any time. Where it cannot be read or written, templates are made anew, which takes seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import scipy
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cbldm.types import Cluster, FloatArray

#: (n_columns,) distances in nearest-neighbour distances, and (n_clusters, n_columns) pairs at them.
Table = tuple[Tensor, Tensor]
#: Clusters, and tables that hold a row for each of them in this order.
Templates = tuple[list[Cluster], list[Table]]
#: What makes templates, in the package's folder: a change of any of it makes a new file.
SOURCES = ("library.py", "template_cache.py", "types.py", "data/*.py", "geometry/*.py")
NAME = "templates-{}.safetensors"


def cache_folder() -> Path:
    """Where the system wants files that can be made again: ``$XDG_CACHE_HOME``, ``%LOCALAPPDATA%`` or ``~/.cache``.

    Raises:
        RuntimeError: The user has no home.
    """
    given = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(given) if given else Path.home() / ".cache") / "cbldm"


def remembered(make: Callable[[], Templates], folder: Path | None = None) -> Templates:
    """The templates of this version of the code: read where an earlier process left them, else made and left there.

    Args:
        make: Makes them.
        folder: Where they are kept; None for `cache_folder`.
    """
    try:
        path = (folder or cache_folder()) / NAME.format(_digest())
    except (OSError, RuntimeError):
        return make()
    # A file may have been cut short, or be no such file at all.
    with suppress(OSError, SafetensorError, ValueError, LookupError, TypeError):
        return _read(path)
    templates = make()
    with suppress(OSError, SafetensorError):
        _write(path, *templates)
    return templates


def _digest() -> str:
    home = Path(__file__).parent
    digest = hashlib.sha256(f"numpy {np.__version__}, scipy {scipy.__version__}".encode())
    for path in sorted(path for pattern in SOURCES for path in home.glob(pattern)):
        digest.update(path.relative_to(home).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _read(path: Path) -> Templates:
    with safe_open(path, framework="pt") as file:
        described = json.loads(file.metadata()["clusters"])
        sites = file.get_tensor("sites").numpy()
        n_tables = len(file.keys()) // 2
        tables = [(file.get_tensor(f"distances {i}"), file.get_tensor(f"counts {i}")) for i in range(n_tables)]
    clusters = [
        Cluster(sites[start : start + n_atoms], motif, family, parameters)
        for start, n_atoms, motif, family, parameters in described
    ]
    if sum(len(counts) for _, counts in tables) != len(clusters):
        raise ValueError("not one row for each cluster")
    return clusters, tables


def _write(path: Path, clusters: Sequence[Cluster], tables: Sequence[Table]) -> None:
    """Write the file, and delete those of other versions."""
    sites, starts = _merged([cluster.positions for cluster in clusters])
    described = [
        [start, cluster.n_atoms, cluster.motif, cluster.family, dict(cluster.parameters)]
        for start, cluster in zip(starts, clusters, strict=True)
    ]
    tensors = {"sites": torch.from_numpy(sites)}
    for i, (distances, counts) in enumerate(tables):
        tensors |= {f"distances {i}": distances, f"counts {i}": counts}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-")
    os.close(handle)
    try:
        save_file(tensors, partial, {"clusters": json.dumps(described)})
        Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)
    for other in path.parent.glob(NAME.format("*")):
        if other != path:
            other.unlink(missing_ok=True)


def _merged(positions: Sequence[FloatArray]) -> tuple[FloatArray, list[int]]:
    """All sites (n, 3), those of a cluster that begins with the one before it only once, and where each begins."""
    runs: list[FloatArray] = []
    starts: list[int] = []
    total = 0
    for x in positions:
        if runs and len(runs[-1]) <= len(x) and np.array_equal(runs[-1], x[: len(runs[-1])]):
            total += len(x) - len(runs[-1])
            runs[-1] = x
        else:
            runs.append(x)
            total += len(x)
        starts.append(total - len(x))
    return np.concatenate(runs), starts
