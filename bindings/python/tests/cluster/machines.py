"""A standalone cluster of Spark on this machine: a master and workers, each a process of its own, on the loopback."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyspark
from pyspark.sql import SparkSession

LOOPBACK = "127.0.0.1"
# What starting a process, or its answer, may take.
SECONDS = 120


class Cluster:
    """Workers of one core each."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        self.started = 0
        port = _free_port()
        self.url = f"spark://{LOOPBACK}:{port}"
        words = ["--host", LOOPBACK, "--port", port, "--webui-port", "0"]
        self.master = self._start("master", "org.apache.spark.deploy.master.Master", words)
        _wait("the master", lambda: _answers(port))
        for _ in range(workers):
            self.add_worker()

    def add_worker(self) -> None:
        self.started += 1
        name = f"worker-{self.started}"
        words = ["--host", LOOPBACK, "--cores", "1", "--memory", "2g", "--webui-port", "0"]
        words += ["--work-dir", str(self.folder / name), self.url]
        self.workers.append(self._start(name, "org.apache.spark.deploy.worker.Worker", words))
        log = self.folder / f"{name}.log"
        _wait(name, lambda: b"registered with master" in log.read_bytes())

    def kill_worker(self) -> int:
        """Ends the oldest worker as a machine that fails; its executor ends with it. Gives its process id."""
        worker = self.workers.pop(0)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        return worker.pid

    def close(self) -> None:
        for process in [*self.workers, self.master]:
            process.terminate()
        for process in [*self.workers, self.master]:
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()

    def _start(self, name: str, main: str, words: list[object]) -> subprocess.Popen[bytes]:
        program = Path(pyspark.__file__).parent / "bin" / "spark-class"
        environment = {**os.environ, "SPARK_LOCAL_IP": LOOPBACK, "SPARK_LOCAL_DIRS": str(self.folder / "spark")}
        with (self.folder / f"{name}.log").open("wb") as log:
            command = [str(program), main, *map(str, words)]
            return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)

    @contextlib.contextmanager
    def session(self) -> Iterator[SparkSession]:
        os.environ["PYSPARK_PYTHON"] = sys.executable
        settings = {
            "spark.driver.host": LOOPBACK,
            "spark.driver.bindAddress": LOOPBACK,
            "spark.driver.memory": "1g",
            "spark.executor.memory": "1g",
            "spark.executor.cores": "1",
            "spark.default.parallelism": "2",
            "spark.local.dir": str(self.folder / "spark"),
            "spark.log.level": "ERROR",
            "spark.ui.port": "0",
            "spark.ui.showConsoleProgress": "false",
        }
        builder = SparkSession.builder.master(self.url).appName("xsfm")
        for name, value in settings.items():
            builder = builder.config(name, value)
        spark = builder.getOrCreate()
        try:
            yield spark
        finally:
            spark.stop()


class Memory(threading.Thread):
    """The most memory (RSS, MB) that processes have together, by what they are, while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most: dict[str, float] = {}
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            for role, megabytes in _memory().items():
                self.most[role] = max(megabytes, self.most.get(role, 0.0))

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()


def processor_seconds() -> dict[str, float]:
    """What the processes have taken of the machine's processors so far, by what they are."""
    found: dict[str, float] = {}
    for role, folder in _processes():
        with contextlib.suppress(OSError):
            # Behind the name, which may have spaces: user and system time, and those of children that have ended.
            words = (folder / "stat").read_text().rpartition(")")[2].split()
            found[role] = found.get(role, 0.0) + sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")
    return found


def _memory() -> dict[str, float]:
    """The largest of the processes of each kind."""
    found: dict[str, float] = {}
    for role, folder in _processes():
        with contextlib.suppress(OSError, StopIteration):
            lines = (folder / "status").read_text().splitlines()
            kilobytes = int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
            found[role] = max(found.get(role, 0.0), kilobytes / 1024)
    return found


def _processes() -> Iterator[tuple[str, Path]]:
    """The driver's and the executors' Java and Python."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes()
            if int(folder.name) == os.getpid():
                yield "driver", folder
            elif b"SparkSubmit" in words:
                yield "driver's Java", folder
            elif b"CoarseGrainedExecutorBackend" in words:
                yield "executor's Java", folder
            elif b"pyspark.daemon" in words or b"pyspark/daemon" in words:
                yield "executor's Python", folder


def _free_port() -> int:
    with socket.socket() as server:
        server.bind((LOOPBACK, 0))
        return int(server.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((LOOPBACK, port)) == 0


def _wait(what: str, is_there: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not is_there():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} has not begun within {SECONDS} s")
        time.sleep(0.1)
