"""The tutorial, as a stranger would take it: every file and command of it, in its order."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.cli.processes import free_port

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
# On a busy machine the service takes a while to start and to judge a fortnight.
WAIT_S = 180.0
# These go on until the end, each in a terminal of its own.
STAYING = ("driftline up", "python receiver.py")


def steps() -> list[tuple[str, str]]:
    """(kind, text) of each block; the installation is the machine's own."""
    found = re.findall(r"```(python|console)\n(.*?)```", TUTORIAL.read_text(), re.DOTALL)
    assert "pip install 'driftline[server,embedded]'" in found[0][1]
    return found[1:]


def test_ten_minutes_from_nothing_to_a_verified_webhook(tmp_path: Path) -> None:
    ports = {"8050": free_port(), "9092": free_port(), "9000": free_port()}
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DRIFTLINE_WEB__PORT": str(ports["8050"]),
        "DRIFTLINE_BROKER__PORT": str(ports["9092"]),
        "PYTHONUNBUFFERED": "1",
    }
    said: dict[str, str] = {}

    def here(text: str) -> str:
        for port, free in ports.items():
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}")
            text = text.replace(f'("127.0.0.1", {port})', f'("127.0.0.1", {free})')
        return text

    with _staying(tmp_path) as begin:
        for kind, text in steps():
            if kind == "python":
                name = text.splitlines()[0].removeprefix("# ")
                (tmp_path / name).write_text(here(text))
                continue
            for command in re.findall(r"^\$ (.*)$", here(text), re.MULTILINE):
                if command == "python look.py":
                    _until(lambda: "drift.detected" in (tmp_path / "receiver.log").read_text())
                export = re.fullmatch(r"export (\w+)=\$\((.*)\)", command)
                if export is not None:
                    environment[export[1]] = _run(export[2], tmp_path, environment).strip()
                elif any(command.endswith(words) for words in STAYING):
                    name = "up" if "up" in command else "receiver"
                    process = begin(name, command, environment)
                    port = ports["8050"] if name == "up" else ports["9000"]
                    _until(lambda p=port, q=process: _listens(p, q))  # type: ignore[misc]
                else:
                    code = 1 if "--fail-on" in command else 0
                    said[command.split(" > ")[0]] = _run(command, tmp_path, environment, code)
        heard = (tmp_path / "receiver.log").read_text()
    assert "endpoint.test" in heard
    assert "refused" not in heard
    detected = next(line for line in heard.splitlines() if line.startswith("drift.detected"))
    assert re.match(r"drift.detected: churn 3: tenure: missing", detected), heard
    assert "tenure missing" in said["python look.py"]
    assert said["python serve.py"] == "20160 sent, 0 dropped\n"
    assert "age" in next(text for command, text in said.items() if "compare" in command)


def _run(command: str, folder: Path, environment: dict[str, str], code: int = 0) -> str:
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=WAIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == code, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


Begin = Callable[[str, str, dict[str, str]], subprocess.Popen[bytes]]


@contextmanager
def _staying(folder: Path) -> Iterator[Begin]:
    """Start what stays, with its output in `<name>.log`; end it all."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(name: str, command: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
        shell = ("/bin/sh", "-c", f"exec env {command}")
        with (folder / f"{name}.log").open("wb") as log:
            running.append(
                subprocess.Popen(shell, cwd=folder, env=environment, stdout=log, stderr=log)
            )
        return running[-1]

    try:
        yield begin
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(30)


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.2)
