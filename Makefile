# The one list of verbs. Needs git, make and Python 3.11; everything else goes into .venv.
.PHONY: demo test test-targets check simulate chaos pressure bench bench-compare bench-web bench-alarms bench-peers bench-limits clean
.DELETE_ON_ERROR:

BIN := .venv/bin
DEMO := .venv/.driftline-demo
DEV := .venv/.driftline-dev

# The year 2013 at http://127.0.0.1:8050, until Ctrl-C (ARGS="--port 9000" and such).
demo: $(DEMO)
	@$(BIN)/driftline demo $(ARGS)

# Every test, on up to four cores (ARGS="-k flights" and such; "-n 0 --pdb" for a debugger);
# `-m "not demo"` leaves out the minutes of the demo. Debian packages that tests need are installed
# first where root asks; elsewhere they are named, and what needs them is skipped.
test: $(DEV)
	@sh scripts/packages.sh
	$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadscope --no-loadscope-reorder $(ARGS)

# What is told of retrainings, for real: Airflow 3 and 2 and MLflow from PyPI, each installed once
# below .venv-targets; ten minutes at most (ARGS="--only airflow3 -k paused").
test-targets: $(DEV)
	$(BIN)/python scripts/targets.py $(ARGS)

check: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A thousand simulated lives of the ingest loop, in which calls fail and processes die
# (ARGS="--seeds 10000 --first 5000", ARGS="--control unguarded").
simulate: $(DEV)
	$(BIN)/python tests/simulate.py $(ARGS)

# Members that are killed, stopped and cut off inside their calls on Apache Kafka and PostgreSQL:
# half an hour (ARGS="--faults 50" is quicker; "--json FILE" keeps the reports).
chaos: $(DEV)
	$(BIN)/python tests/chaos.py $(ARGS)

# The database away for minutes under a fast producer, with the consumer's memory over time, and
# four consumers replaced in turn (ARGS="--minutes 2 --json FILE").
pressure: $(DEV)
	$(BIN)/python tests/pressure.py $(ARGS)

# Speed on Apache Kafka beside what its client alone can do: half an hour of an idle machine
# (ARGS="--only json,arrow --runs 3", ARGS=--list; ARGS=--write puts tables and pictures into
# docs/performance.md).
bench: $(DEV)
	PYTHONPATH=scripts $(BIN)/python -m bench $(ARGS)

# What nobody should send, beside a model's usual events and over HTTP: a quarter of an hour
# (ARGS="--only gzip,hour", ARGS=--list).
bench-limits: $(DEV)
	PYTHONPATH=scripts $(BIN)/python scripts/bench_limits.py $(ARGS)

# compare and build_reference on a million rows; ARGS=--peers installs other tools under
# .venv/peers and runs them on the same rows (minutes); "--peers --write" puts the table into
# docs/peers.md.
bench-compare: $(DEV)
	$(BIN)/python scripts/bench_compare.py $(ARGS)

# Pages over a year of hours and 100 features, in Chromium (ARGS="--folder DIR --json" and such).
bench-web: $(DEV)
	$(BIN)/python scripts/bench_web.py $(ARGS)

# How often the rule alarms when nothing is wrong, and how late when something is: ten minutes
# (ARGS="--months 50" is quicker; ARGS=--write puts the tables into docs/statistics.md).
bench-alarms: $(DEV)
	$(BIN)/python scripts/bench_alarms.py $(ARGS)

# Evidently's numbers and NannyML's logs beside ours, each peer in an environment of its own
# under .venv/peers (ARGS=--write puts the tables into docs/peers.md).
bench-peers: $(DEV)
	$(BIN)/python scripts/peers/bench_peers.py $(ARGS)

clean:
	rm -rf .venv .venv-targets .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	rm -f driftline.db driftline.db-* driftline-demo.db driftline-demo.db-*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEMO): pyproject.toml constraints.txt
	@echo "Installing into .venv (once; as long as the network takes, a minute if it is fast) ..." >&2
	@scripts/bootstrap demo
	@touch $@

$(DEV): pyproject.toml constraints.txt
	@echo "Installing into .venv (once; as long as the network takes, a minute if it is fast) ..." >&2
	@scripts/bootstrap dev
	@touch $@ $(DEMO)
