"""Dask: the script that SLURM gets, addresses that lead nowhere, and a job that kills whatever works on it."""

import gc
import os
import signal
import sys
from types import SimpleNamespace

import pytest

from cbldm.batch import cluster
from cbldm.errors import InputError

pytest.importorskip("distributed")
pytest.importorskip("dask_jobqueue")


def deadly(job, task):
    """Ends its process where the job says so; nothing of cbldm, which would take seconds to load in each process."""
    if job.name == "deadly":
        os.kill(os.getpid(), signal.SIGKILL)
    return SimpleNamespace(name=job.name, error="")


def test_slurm_is_asked_for_processes_of_one_thread(tmp_path):
    config = tmp_path / "slurm.toml"
    config.write_text(
        'queue = "short"\naccount = "xpd"\ncores = 8\nmemory = "16GB"\nwalltime = "02:00:00"\ninterface = "lo"\n'
    )
    with cluster.slurm_cluster(config) as made:
        script = made.job_script()
        made.scale(n=0)
    lines = script.splitlines()
    for line in ("#SBATCH -p short", "#SBATCH -A xpd", "#SBATCH --cpus-per-task=8", "#SBATCH -t 02:00:00"):
        assert line in lines
    assert "--nworkers 8" in script
    assert "--nthreads 1" in script
    assert all(line in lines for line in cluster.KEEP_MEMORY)


# What Dask had made of it by then says so when it is collected.
@pytest.mark.filterwarnings("ignore:unclosed cluster:ResourceWarning")
@pytest.mark.parametrize(
    ("text", "message"),
    [("queue = short", "not a TOML file"), ('queue = "short"', "must hold arguments"), ("colour = 3", "must hold")],
)
def test_a_bad_slurm_file_is_one_line(text, message, tmp_path):
    (tmp_path / "slurm.toml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        cluster.slurm_cluster(tmp_path / "slurm.toml")
    assert "\n" not in str(caught.value)
    del caught
    gc.collect()


def test_what_a_slurm_file_runs_first_is_kept(tmp_path):
    config = tmp_path / "slurm.toml"
    config.write_text('cores = 1\nmemory = "2GB"\ninterface = "lo"\njob_script_prologue = ["module load python"]\n')
    with cluster.slurm_cluster(config) as made:
        lines = made.job_script().splitlines()
        made.scale(n=0)
    assert [line for line in lines if line.startswith(("export MALLOC", "module"))] == [
        *cluster.KEEP_MEMORY,
        "module load python",
    ]


def test_workers_do_not_give_every_array_back_at_once(monkeypatch):
    for name in ("MALLOC_TRIM_THRESHOLD_", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    with cluster.connected(1, None, None) as client:
        assert client.submit(os.environ.get, "MALLOC_TRIM_THRESHOLD_").result() is None
        assert client.submit(os.environ.get, "OMP_NUM_THREADS").result() == "1"


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "here", "http://127.0.0.1:9"])
def test_no_scheduler_is_one_line(address, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", "1s")
    with pytest.raises(InputError, match="no Dask scheduler answers") as caught, cluster.connected(1, address, None):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_deadly_job_becomes_a_line_and_blames_no_other(monkeypatch):
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(cluster, "run_job", deadly)
    jobs = [SimpleNamespace(name=name) for name in ("a", "b", "deadly", "c", "d", "e")]
    with cluster.connected(2, None, None) as client:
        found = {out.name: out for out in cluster.outcomes(client, jobs, None)}
        assert all(address.startswith("tcp://127.0.0.1:") for address in client.nthreads())
    assert [name for name, outcome in found.items() if outcome.error] == ["deadly"]
    assert "3 processes died" in found["deadly"].error
    assert len(found) == 6
