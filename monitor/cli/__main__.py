"""`python -m monitor.cli`: how the process tree starts its children."""

from monitor.cli import main

main()
