"""Runs of a batch on a dask.distributed cluster: any scheduler, or workers of this host.

```text
 batch, here                                   a worker, anywhere
 submit(content, files) ────────────────────▶  writes the programs into a folder of its own
                                               launch.workers.HostProcesses: one process for the run
 writes the run folder ◀────────────────────   every file of the run folder
```
Nothing but messages is shared: hosts need no common file system, only this version of Stramash,
which is checked.  A worker that dies loses no run: the scheduler gives its tasks to others, up to
`distributed.scheduler.allowed-failures` times each.  The run's process ends with its worker, since
its standard input does, and the machine with the run's process.
"""

import json
import logging
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cosim.errors import InputError
from launch import results
from launch.closing import Closing
from launch.failures import one_line
from launch.workers import HostProcesses

CONNECT_SECONDS = 15.0
WANTED_SECONDS = 0.5  # between looks at whether anybody still waits for a run
JOBS_MAX = 256  # runs under way at a time, however large the cluster is
Files = dict[str, bytes]


def distributed() -> Any:
    """The package dask.distributed.  InputError when it is not installed."""
    try:
        import distributed as package
    except ImportError as error:
        raise InputError(
            "a cluster needs the package dask.distributed: pip install 'stramash[cluster]'"
        ) from error
    return package


class Cluster(Closing):
    """Workers of a cluster, for launch.batch.Batch.  A context manager.

    address: of a scheduler that runs, as tcp://host:8786; None: `workers` processes on this host,
    started now.  Raises InputError when there is no such scheduler.
    """

    def __init__(self, address: str | None = None, workers: int = 0) -> None:
        package = distributed()
        if address is not None and workers:
            raise InputError("give either --cluster, a scheduler that runs, or --workers")
        self._local = None
        if address is None:
            self._local = package.LocalCluster(
                n_workers=max(1, workers), threads_per_worker=1, processes=True,
                dashboard_address=None, memory_limit=None, silence_logs=logging.CRITICAL,
            )  # fmt: skip
        try:
            self.client = package.Client(self._local or address, timeout=CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise InputError(
                f"--cluster {address}: no scheduler answers ({error}); start one with"
                " `dask scheduler`, or use --workers"
            ) from error
        self._lock = threading.Lock()
        self._futures: set[Any] = set()
        self._stopping = False

    def close(self) -> None:
        """Leave the cluster; end the workers that were started here."""
        self.client.close()
        if self._local is not None:
            self._local.close()

    @property
    def jobs(self) -> int:
        """A run for each thread of the workers: one a worker, unless its host says otherwise."""
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        return min(JOBS_MAX, max(1, sum(worker["nthreads"] for worker in workers)))

    def work(
        self, content: Mapping[str, Any], out: Path, heard: Callable[[str], None]
    ) -> tuple[str, bool]:
        """Make one run on some worker, into the folder `out` here; see HostProcesses.work."""
        heard("waits for a worker")
        content, files = packed(content)
        key = f"stramash-{uuid.uuid4().hex}"  # of the cluster's task: nothing simulated sees it
        with self._lock:
            if self._stopping:
                return "interrupted", True
            # Not a pure function for the scheduler: a second run is made, not looked up.
            future = self.client.submit(remote, key, content, files, key=key, pure=False)
            self._futures.add(future)
        try:
            failure, ours, made = future.result()
        except Exception as error:  # KilledWorker, CancelledError, what a worker could not do
            return "interrupted" if self._stopping else one_line(error), True
        finally:
            with self._lock:
                self._futures.discard(future)
        if made:
            unpack(made, out)
            other = json.loads(made[results.MANIFEST]).get("simulator_digest")
            if other != results.simulator_digest():
                return "its worker has another version of Stramash; install this one there", True
        return failure, ours

    def stop(self) -> None:
        """End what is under way."""
        with self._lock:
            self._stopping = True
            self.client.cancel(list(self._futures), force=True)


def packed(content: Mapping[str, Any]) -> tuple[dict[str, Any], Files]:
    """What to run with its programs as files of relative names, and their bytes."""
    files: Files = {}

    def pack(path: str) -> str:
        data = Path(path).read_bytes()
        name = f"{results.bytes_digest(data)}/{Path(path).name}"
        files[name] = data
        return name

    programs = [
        {
            **program,
            "path": pack(program["path"]),
            "images": {isa: pack(path) for isa, path in program["images"].items()},
        }
        for program in content["programs"]
    ]
    return {**content, "programs": programs}, files


def unpack(files: Files, folder: Path) -> None:
    """Write files below a folder."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def remote(key: str, content: Mapping[str, Any], files: Files) -> tuple[str, bool, Files]:
    """On a worker: make a run; (failure, the simulator's own, files of the run folder).

    key: of this task.  The run ends early when nobody waits for the task any more.
    """
    worker = distributed().get_worker()
    folder = Path(tempfile.mkdtemp(prefix="stramash-run-"))
    processes = HostProcesses()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(WANTED_SECONDS):
            task = worker.state.tasks.get(key)
            if task is None or task.state not in ("executing", "long-running"):
                processes.stop()
                return

    watcher = threading.Thread(target=watch, name="wanted", daemon=True)
    watcher.start()
    try:
        unpack(files, folder)
        programs = [
            {
                **program,
                "path": str(folder / program["path"]),
                "images": {isa: str(folder / path) for isa, path in program["images"].items()},
            }
            for program in content["programs"]
        ]
        out = folder / "run"
        here = {**content, "programs": programs}
        failure, ours = processes.work(here, out, lambda text: None)
        made = {
            p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()
        }
        return failure, ours, made if results.MANIFEST in made else {}
    finally:
        over.set()
        watcher.join()
        shutil.rmtree(folder, ignore_errors=True)
