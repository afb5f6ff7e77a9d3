# make venv        a development environment in .venv, with the package installed editable
# make ext         rebuilds the extension after a change under csrc (incremental)
# make quickstart  exports a small model and generates with it: about 8 minutes the first time
# make test        C++ tests, plain and sanitized, then pytest without what is marked slow
# make test-slow   the decode loop under ThreadSanitizer, then what is marked slow: real models, the built wheel
# make test-matrix the quick tests with the oldest and the newest transformers and optimum-intel, each in an environment
#                  of its own in build/matrix (several gigabytes; CORNERS=transformers-4.57 for one)
# make lint        formatting, linting and types
# make docs        the site, in build/site
# make wheel       wheels in dist/, one for each interpreter of WHEEL_PYTHONS, each tried in a clean environment
PYTHON ?= python3.11
WHEEL_PYTHONS ?= python3.10 python3.11 python3.12 python3.13
PIP_INSTALL_ARGS ?=
# Two processes, a file of tests in one of them: fixtures of modules are then made once.
PYTEST_ARGS ?= -n 2 --dist loadfile --durations 15

VENV := .venv
BIN := $(abspath $(VENV))/bin
DEPENDENCIES := $(VENV)/.dependencies
PACKAGE := $(VENV)/.package
EXTRAS := tests quality benchmark examples docs serve ray

CPP_FOLDERS := csrc/kernels csrc/kernels/criteria csrc/kernels/diffusion csrc/runtime csrc/encoder csrc/bindings
CPP_SOURCES := $(wildcard $(CPP_FOLDERS:=/*.cpp))
CPP_HEADERS := $(wildcard csrc/*.h $(CPP_FOLDERS:=/*.h))
CPP_FORMATTED := $(CPP_SOURCES) $(CPP_HEADERS) $(wildcard csrc/tests/*.cpp csrc/tests/*.h csrc/tests/loop/*.cpp)

# cmake and ninja are those of the environment.
export PATH := $(BIN):$(PATH)
export CMAKE_GENERATOR := Ninja

.PHONY: venv ext quickstart test test-cpp test-python test-races test-slow test-matrix lint format docs wheel clean

venv: $(PACKAGE)

$(DEPENDENCIES): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb')); e = p['project']['optional-dependencies']; \
	    print(*p['build-system']['requires'], *p['project']['dependencies'], *sum((e[x] for x in '$(EXTRAS)'.split()), []), sep='\n')" \
	    > $(VENV)/requirements.txt
	@echo "Installing packages (2 to 3 minutes) ..."
	$(BIN)/python -m pip install --disable-pip-version-check -q $(PIP_INSTALL_ARGS) -c constraints.txt -r $(VENV)/requirements.txt
	touch $@

$(PACKAGE): $(DEPENDENCIES) setup.py CMakeLists.txt $(CPP_SOURCES) $(CPP_HEADERS)
	@echo "Compiling the extension (2 to 3 minutes) ..."
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps --no-build-isolation -e .
	touch $@

ext: $(DEPENDENCIES)
	cmake -S . -B build/ext -DPython_EXECUTABLE=$(BIN)/python
	cmake --build build/ext
	cmake --install build/ext --prefix .
	test ! -e $(PACKAGE) || touch $(PACKAGE)

quickstart: venv
	$(BIN)/python examples/quickstart.py
	@echo "Run \`source $(VENV)/bin/activate\`, then use these paths offline."

test: test-cpp test-python

test-cpp: $(DEPENDENCIES)
	cmake -S csrc/tests -B build/tests
	cmake --build build/tests
	ctest --test-dir build/tests --output-on-failure
	cmake -S csrc/tests -B build/tests-sanitize -DDYNEXEC_SANITIZE=ON
	cmake --build build/tests-sanitize
	ctest --test-dir build/tests-sanitize --output-on-failure

test-python: venv
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_ARGS)

test-races: $(DEPENDENCIES)
	cmake -S csrc/tests/loop -B build/tests-loop -DPython_EXECUTABLE=$(BIN)/python
	cmake --build build/tests-loop
	ctest --test-dir build/tests-loop --output-on-failure

test-slow: test-races venv
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

test-matrix: venv
	PYTHON="$(PYTHON)" PIP_INSTALL_ARGS="$(PIP_INSTALL_ARGS)" PYTEST_ARGS="$(PYTEST_ARGS)" tests/matrix/run $(CORNERS)

lint: $(DEPENDENCIES)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy optimum_dynexec
	$(BIN)/clang-format --dry-run -Werror $(CPP_FORMATTED)

format: $(DEPENDENCIES)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP_FORMATTED)

docs: venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# Interpreters that are not there are skipped, and said to be. The clean environment has the wheel and what the extension
# links, and no compiler is asked: what is installed is the wheel.
wheel:
	@for python in $(WHEEL_PYTHONS); do \
	    if ! $$python -c "" 2>/dev/null; then echo "$$python is not installed: skipped"; continue; fi; \
	    tag=$$($$python -c "import sys; print('cp%d%d' % sys.version_info[:2])"); \
	    $$python -m pip wheel --disable-pip-version-check -q $(PIP_INSTALL_ARGS) --no-deps -w dist . || exit 1; \
	    rm -rf build/wheel-$$tag && $$python -m venv build/wheel-$$tag || exit 1; \
	    wheel=$$(ls -t dist/optimum_dynexec-*-$$tag-*.whl | head -n 1); \
	    build/wheel-$$tag/bin/pip install --disable-pip-version-check -q $(PIP_INSTALL_ARGS) --only-binary :all: \
	            "$$(sed -n 's/^    "\(openvino==[^"]*\)",/\1/p' pyproject.toml | head -n 1)" \
	        && CC=false CXX=false build/wheel-$$tag/bin/pip install --disable-pip-version-check -q --no-deps --no-index $$wheel \
	        || exit 1; \
	    (cd build/wheel-$$tag && bin/python -c "from optimum_dynexec.native import _C; print(_C.__file__)") || exit 1; \
	    echo "$$wheel: installed and loaded"; \
	done

clean:
	rm -rf build dist *.egg-info optimum_dynexec/_C*.so
