"""`--metrics-port`: where a role that runs alone serves its series and says whether it is ready.

On loopback by default. Every other address needs the token of this installation, which is then
asked for `/metrics` on loopback as well, as the web process does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Final

import typer

from driftline.errors import ConfigError
from monitor.cli.access import HOW_TO_MAKE_ONE, VARIABLE, is_loopback, token
from monitor.cli.processes import require_free_port
from monitor.config import Settings

if TYPE_CHECKING:
    from monitor.metrics.working import Working

LOCAL: Final = "127.0.0.1"
Port = Annotated[
    int | None,
    typer.Option(
        "--metrics-port", min=1, max=65_535, help="Serve /metrics, /healthz and /readyz here."
    ),
]
Host = Annotated[
    str,
    typer.Option("--metrics-host", help="Address of that port; all but loopback need the token."),
]


@contextmanager
def served(working: Working, settings: Settings, host: str, port: int | None) -> Iterator[None]:
    """Serve what a role tells until the block ends; nothing without a port.

    Raises
    ------
    ConfigError
        Others than this machine reach the address and there is no token; or it is taken.
    """
    if port is None:
        yield
        return
    found = token(settings)
    if not is_loopback(host) and found is None:
        raise ConfigError(
            "--metrics-host", "command line", host,
            f"a loopback address, or a token in {VARIABLE} or web.token_file; make one with: "
            f"{HOW_TO_MAKE_ONE}",
        )  # fmt: skip
    require_free_port(port, key="--metrics-port", option="--metrics-port", host=host)
    # FastAPI takes a second to import: who serves nothing need not wait.
    from monitor.api import metrics

    app = metrics.create_role_app(working, token=found, is_loopback=is_loopback(host))
    try:
        with metrics.served(app, host, port):
            yield
    except metrics.NotServed as error:
        raise ConfigError("--metrics-port", "command line", port, str(error)) from error
