# Everything runs in .venv; `make help` lists the commands.
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
PIP     := $(BIN)/pip --disable-pip-version-check -q
CORE    := $(VENV)/.core
FULL    := $(VENV)/.full
BENCH   := $(VENV)/.bench

# What the commands work on; override on the command line: make train DATA=my/tiles
SEED    ?= 1
FACILITIES_N ?= 300
SCENES  ?= data/scenes
# A folder of aerial pictures without railcars, and their pixel size.
BACKGROUNDS       ?=
BACKGROUNDS_GSD_M ?= 0.3048
# Annotated scenes whose wagons are set on rendered tracks.
CUTOUTS ?=
RENDER   = --dates 3 --seed $(SEED) --workers 2 $(if $(BACKGROUNDS),--backgrounds $(BACKGROUNDS)) \
           $(if $(CUTOUTS),--cutouts $(CUTOUTS))
DATA    ?= data/yolo
CONFIG  ?= configs/train.yaml
DEVICES ?= cpu
OUT     ?= runs/train
NAME    ?= railcars-n
WEIGHTS ?= weights/railcars-n.json
# What is measured of the shipped weights is committed; of others it stays among the runs.
RESULTS  = $(if $(filter weights/railcars-n.json,$(WEIGHTS)),benchmarks/results,runs/results/$(basename $(notdir $(WEIGHTS))))

.PHONY: help setup demo test lint scenes dataset mine train finetune second export calibrate evaluate evaluate-counting predict bench bench-network bench-detection
.DEFAULT_GOAL := help

help:  ## list the commands
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(CORE): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -e .
	touch $@

$(FULL): $(CORE)
	$(PIP) install -e .[train,dev]
	touch $@

$(BENCH): $(FULL)
	$(PIP) install -e .[bench]
	touch $@

setup: $(FULL)  ## install everything: the extras train and dev too

demo: $(CORE)  ## render the example series, count it, write runs/demo/report.html (core install only)
	rm -rf runs/demo runs/demo-scenes
	$(BIN)/python -m training.synth.demo --out runs/demo-scenes
	$(BIN)/railcars run runs/demo-scenes/images --facilities runs/demo-scenes/facilities.geojson --out runs/demo

test: $(FULL)  ## run all tests
	$(BIN)/python -m pytest -n 2 --dist loadscope

lint: $(FULL)  ## ruff and mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

scenes: $(CORE)  ## render FACILITIES_N facilities into SCENES; BACKGROUNDS: pictures without railcars; CUTOUTS: real wagons
	$(BIN)/python -m training.synth --profile configs/synth-train.yaml --facilities $(FACILITIES_N) --out $(SCENES)/train $(RENDER)
	for hard in shadows winter; do $(BIN)/python -m training.synth --profile configs/synth-$$hard.yaml \
	  --facilities $$(($(FACILITIES_N) / 8)) --out $(SCENES)/$$hard $(RENDER) || exit; done

dataset: $(FULL)  ## cut SCENES into training tiles in DATA
	$(BIN)/python -m training.dataset --scenes $(SCENES) --out $(DATA) \
	  $(if $(BACKGROUNDS),--backgrounds $(BACKGROUNDS)@$(BACKGROUNDS_GSD_M))

mine: $(CORE)  ## repeat the tiles of DATA on which WEIGHTS are wrong most; then: make train OUT=runs/mined START=runs/train/weights/best.pt
	$(BIN)/python -m training.mine --data $(DATA) --weights $(WEIGHTS)

train: $(FULL)  ## train on DATA (rendered and cut first where it is missing): CONFIG, DEVICES, OUT, HOURS, START, RESUME
	test -e $(DATA) || $(MAKE) scenes dataset
	$(BIN)/python -m training.train --config $(CONFIG) --data $(DATA) --devices $(DEVICES) --out $(OUT) \
	  $(if $(HOURS),--hours $(HOURS)) $(if $(START),--start $(START)) $(if $(RESUME),--resume)

finetune: OUT = runs/finetune
finetune: $(FULL)  ## fit the shipped weights to DATA, some 50 annotated tiles of your own: OUT, RESUME; then: make export OUT=runs/finetune NAME=mine
	$(BIN)/python -m training.train --config configs/finetune.yaml --data $(DATA) --devices $(DEVICES) --out $(OUT) \
	  --start $(WEIGHTS:.json=.safetensors) $(if $(RESUME),--resume)

second: OUT = runs/second
second: $(FULL)  ## fit a second stage of WEIGHTS to DATA, of scenes that they were not trained on: OUT, INTO, RESUME; then: make calibrate
	$(BIN)/python -m training.second --data $(DATA) --weights $(WEIGHTS) --out $(OUT) $(if $(INTO),--into $(INTO)) $(if $(RESUME),--resume)

export: $(FULL)  ## turn the best checkpoint of OUT into weights/NAME (ONNX, safetensors, SHA-256); BLEND: halfway to what it began from
	$(BIN)/python -m training.export --checkpoint $(OUT)/weights/best.pt --out weights --name $(NAME) $(if $(BLEND),--blend $(BLEND))

# The profile of these facilities differs from the one that training scenes are drawn from.
HELDOUT := data/heldout

$(HELDOUT)/%/facilities.geojson: configs/synth-heldout.yaml $(wildcard training/synth/*.py) | $(CORE)
	$(BIN)/python -m training.synth --profile configs/synth-heldout.yaml --out $(HELDOUT)/$* \
	  $(if $(filter calibration,$*),--facilities 120 --dates 3 --seed 301,--facilities 70 --dates 4 --seed 302)

DETECT_CALIBRATION = $(BIN)/railcars detect $(HELDOUT)/calibration --quiet --out runs/calibration --weights $(WEIGHTS) \
  --facilities $(HELDOUT)/calibration/facilities.geojson

calibrate: $(CORE) $(HELDOUT)/calibration/facilities.geojson  ## fit the calibration of WEIGHTS on held-out facilities
	rm -rf runs/calibration
	$(DETECT_CALIBRATION)
	$(BIN)/python -m training.calibrate --runs runs/calibration --truth $(HELDOUT)/calibration --weights $(WEIGHTS) --rendered

evaluate: $(CORE) $(HELDOUT)/test/facilities.geojson  ## measure WEIGHTS on other held-out facilities
	rm -rf runs/evaluation
	$(BIN)/railcars run $(HELDOUT)/test --facilities $(HELDOUT)/test/facilities.geojson \
	  --out runs/evaluation --weights $(WEIGHTS) --quiet
	$(BIN)/python -m training.evaluate runs/evaluation --truth $(HELDOUT)/test \
	  --json $(RESULTS)/evaluation.json --page runs/evaluation/evaluation.html
	$(MAKE) evaluate-counting

evaluate-counting: $(CORE) $(HELDOUT)/calibration/facilities.geojson  ## measure counts and verdicts on the detections of evaluate
	test -e runs/calibration/run.json || $(DETECT_CALIBRATION)
	$(BIN)/python -m benchmarks.bench_counting runs/evaluation --truth $(HELDOUT)/test \
	  --calibration-run runs/calibration --calibration-truth $(HELDOUT)/calibration \
	  --json $(RESULTS)/counting.json --page runs/evaluation/counting.html --record

predict: $(CORE)  ## count IMAGES in FACILITIES, into RUN
	$(BIN)/railcars run $(IMAGES) --facilities $(FACILITIES) --out $(RUN) --weights $(WEIGHTS)

bench: $(BENCH) $(HELDOUT)/calibration/facilities.geojson $(HELDOUT)/test/facilities.geojson  ## speed and memory, beside SAHI and Ultralytics (an hour)
	$(BIN)/python -m benchmarks.bench_speed

bench-network: $(BENCH) $(HELDOUT)/calibration/facilities.geojson $(HELDOUT)/test/facilities.geojson  ## the network alone: precisions, tile sizes, batches
	$(BIN)/python -m benchmarks.bench_network

bench-detection: $(CORE)  ## the standing benchmark of WEIGHTS; REAL: annotated GeoTIFFs to judge too
	$(BIN)/python -m benchmarks.bench_detection --weights $(WEIGHTS) $(if $(REAL),--real $(REAL)) \
	  --json $(RESULTS)/detection.json --page runs/benchmark.html
