# make demo   the first ticket: a small sweep on the embedded data, and where its report lies
# make test   lint, types, and the tests of functions and laws, as many at a time as there are cores (CPU, minutes)
# make sweeps   the tests of whole commands and sweeps, from their words to the report (CPU, some 10 minutes on two cores)
# make commands  those, and the tests that start many processes, in one go: what continuous integration runs
# make pairs  every model on every data set: a batch, a level of IMP, and a resume to the same bits (minutes)
# make docs   the documentation as a site, in .site/html, from a small environment of its own; a broken link fails
# make engines  sweeps over many processes, and on SLURM, Ray, joblib and with Optuna for real, and networks of
#               transformers, MLflow and Trackio (minutes); a SLURM it finds; tests/engines/slurm.sh start makes one here
# The environment is made in .venv when it is missing or what it is made from has changed.

PYTHON ?= $(shell for p in python3 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
BIN = .venv/bin
PARALLEL = -n auto --maxprocesses 4 --dist worksteal
WAITING = -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) --maxprocesses 5 --dist worksteal  # tests that wait for processes
READY = .venv/.ready
SITE = .docsvenv
ENGINES = dev,slurm,ray,joblib,optuna,huggingface,mlflow,trackio
define install  # by uv, in a quarter of pip's time; where uv cannot reach what pip is set up to reach, by pip
$(BIN)/python -m pip install --quiet --constraint constraints.txt uv && \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[$(1)]' || \
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(1)]'
endef

.PHONY: catalogue demo docs notebook test sweeps commands pairs engines extras processes launchers lint bench gpu reproduce clean
.DELETE_ON_ERROR:

demo: $(READY)
	$(BIN)/python -m lt_sweeps.main -m experiment=demo

docs: $(SITE)/.ready
	$(SITE)/bin/python docs/build.py

# The outputs of docs/ticket.ipynb, anew.
notebook: $(READY)
	$(BIN)/python tests/notebooks.py

test: lint
	$(BIN)/python -m pytest $(PARALLEL)

sweeps: $(READY)
	$(BIN)/python -m pytest tests -m "sweeps and not slow and not processes and not engines" $(PARALLEL)

commands: $(READY)
	$(BIN)/python -m pytest tests --ignore tests/engines -m "(sweeps or processes or engines) and not slow" $(WAITING) \
		--durations=20

pairs: $(READY)
	$(BIN)/python -m pytest tests/test_pairs.py -m "slow or not slow" --durations=10

engines: extras
	$(MAKE) --no-print-directory --jobs 2 processes launchers

extras: $(READY)
	$(call install,$(ENGINES))

processes:
	$(BIN)/python -m pytest tests --ignore tests/engines -m "processes or engines" $(WAITING) --durations=20

launchers:  # one after the other, for they share one SLURM: much of their time is spent waiting
	$(BIN)/python -m pytest tests/engines -m "processes or engines" --durations=10

# Every page that is made from the code or from committed rows, and the record of keys and versions that a test compares it with.
catalogue: $(READY)
	$(BIN)/python -m lt_sweeps.catalogue.methods_table > METHODS.md
	$(BIN)/python -m lt_sweeps.catalogue.options_page
	$(BIN)/python multirun/published.py
	$(BIN)/python tests/golden/record.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every ratio with its goal, met or not, and the versions, in one JSON; OPEN_LTH=DIR, a clone of it, measures it too.
bench: $(READY)
	$(BIN)/python -m benchmarks --out benchmarks/results.json $(if $(OPEN_LTH),--open-lth $(OPEN_LTH))

# On a machine with a CUDA GPU: the GPU path checked to the bit, then timed; writes benchmarks/gpu.json.
gpu: $(READY)
	$(BIN)/python -m benchmarks.gpu benchmarks

# The slow numbers of RESULTS.md, each from its own command in multirun/: six hours of one core.
MEASURED = lenet_mnist_quick zhou2019_supermasks barriers_lenet at_init_lenet imp_shuffle_lenet snip_lenet snip_lenet_long \
	zhou2019_signs zhou2019_pruned
reproduce: $(READY)
	for sweep in $(MEASURED); do PATH="$(CURDIR)/$(BIN):$$PATH" multirun/$$sweep.sh sweep=$$sweep || exit; done

$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or 3.12 is needed; name one with PYTHON=..." >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(call install,dev)
	@touch $@

# The site's reference reads the code and runs none of it, so that neither torch nor lt_sweeps is installed for it.
$(SITE)/.ready: pyproject.toml constraints.txt
	test -x $(SITE)/bin/python || $(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -c "import tomllib; extras = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
		print(*extras['optional-dependencies']['docs'], sep='\n')" | \
		$(SITE)/bin/python -m pip install --quiet --constraint constraints.txt --requirement /dev/stdin
	@touch $@

clean:
	rm -rf .venv $(SITE) .site .cache runs .pytest_cache .mypy_cache .ruff_cache .hypothesis
