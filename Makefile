# Each target does all its own set-up in .venv; nothing else on the machine is changed, except that the Debian package
# with Fashion-MNIST is installed where the data cannot be downloaded.
PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/python
SPHINX = $(VENV)/bin/sphinx-build -W --keep-going $(if $(filter no,$(EXECUTE)),-D plot_gallery=0)

.PHONY: assignment assignment-full test test-long test-slow test-backends test-clusters notebooks benchmarks lint wheel docs translations clean

assignment: $(VENV)/.data
	$(RUN) examples/assignment.py $(OPTIONS)

assignment-full: $(VENV)/.data
	$(RUN) examples/assignment.py --full

# Without tests/backends, which make test-backends runs on each backend, and without what takes seconds and minutes, which the next two run.
IN_PARALLEL = --ignore tests/backends --numprocesses auto --maxprocesses 4 --dist loadscope
test: $(VENV)/.data
	$(RUN) -m pytest -m "not long and not slow and not clusters" $(IN_PARALLEL)

test-long: $(VENV)/.data
	$(RUN) -m pytest -m "long and not slow" $(IN_PARALLEL)

test-slow: $(VENV)/.data
	$(RUN) -m pytest -m "slow and not clusters" $(IN_PARALLEL)

# What a reader sees: the homework, a page of the course, plots and trainings in fresh kernels; trainings on a terminal and in a pipe.
notebooks: $(VENV)/.data
	$(RUN) -m pytest --numprocesses 2 tests/notebooks tests/plots/test_notebook.py

# Dask, Ray and Spark with two workers each. Spark needs Java: Debian's is installed where there is none and that is allowed.
test-clusters: $(VENV)/.installed
	command -v java >/dev/null || apt-get install -y -q default-jre-headless || echo "without Java: Spark's tests are skipped"
	$(RUN) -m pip install --quiet --editable ".[clusters]" || echo "without some engines: their tests are skipped"
	$(RUN) -m pytest -m clusters tests/training/test_clusters.py

# Public functions on Keras's other backends, in environments without TensorFlow. PyTorch is left out where it cannot be installed.
test-backends: $(VENV)/.data
	$(RUN) -m pytest --numprocesses 2 tests/backends
	test -e $(VENV)-jax/.installed || bash tools/backend.sh $(VENV)-jax jax $(PYTHON)
	KERAS_BACKEND=jax $(VENV)-jax/bin/python -m pytest -m "not slow" tests/backends
	test -e $(VENV)-torch/.installed || bash tools/backend.sh $(VENV)-torch torch $(PYTHON) || echo "without PyTorch"
	test ! -e $(VENV)-torch/.installed || KERAS_BACKEND=torch $(VENV)-torch/bin/python -m pytest -m "not slow" tests/backends

# The tables of docs/benchmarks.md, on this machine, in some hours; QUICK=yes only looks whether all of them run, in minutes. PyTorch
# takes part where TORCH, an interpreter, has it.
benchmarks: $(VENV)/.data
	$(RUN) benchmarks/run.py $(if $(QUICK),--quick) $(if $(TORCH),--torch-python $(TORCH))

lint: $(VENV)/.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	$(VENV)/bin/mypy

# Builds and installs in folders of its own, as a user would get it; 3 minutes.
wheel:
	$(PYTHON) tools/check_wheel.py

# EXECUTE=no builds the pages without running their code.
docs: $(VENV)/.data
	$(if $(filter no,$(EXECUTE)),,$(RUN) -m pytest docs README.md)
	$(SPHINX) -b html docs docs/_build/html/en
	$(SPHINX) -b gettext -q docs docs/_build/gettext
	$(RUN) tools/translations.py check --pages
	$(SPHINX) -b html -D language=ko docs docs/_build/html/ko

translations: $(VENV)/.data
	$(VENV)/bin/sphinx-build -q -b gettext docs docs/_build/gettext
	$(RUN) tools/translations.py update --pages

clean:
	rm -rf $(VENV) $(VENV)-jax $(VENV)-torch docs/_build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --editable ".[test,lint,docs]"
	touch $@

$(VENV)/.data: $(VENV)/.installed tools/fetch.sh
	bash tools/fetch.sh $(RUN)
	touch $@
