# Everything goes through the scripts in pgrx-config/ and tests/; PG_CONFIG or PG=15…18 chooses the Postgres.

SHELL := bash
REPO ?= .
export PG_CONFIG PG

.PHONY: all install installcheck demo psql stop test test-all bench clean help
.DEFAULT_GOAL := all

all: ## build the extension into a folder below target/
	@pgrx-config/setup
	@pgrx-config/install --package

install: ## build it and install it into the Postgres of PG_CONFIG
	@pgrx-config/setup
	@pgrx-config/install

installcheck: ## run the regress suite against a running server (PGHOST, PGPORT, PGUSER)
	@tests/run --running regress

demo: install ## replay a git history through it: make demo [REPO=path]
	@pgrx-config/demo "$(REPO)"

psql: ## open psql on the demo
	@pgrx-config/cluster start demo
	@pgrx-config/cluster psql demo -d demo

stop: ## stop and remove the demo
	@pgrx-config/cluster destroy demo

test: ## run every test suite
	@tests/run

test-all: ## run every test suite, then those that need a server on Postgres 18 too
	@tests/run --all

bench: install ## measure, and write bench/RESULTS.md
	@bench/run

clean: ## remove what was built, and the demo
	@[ ! -e .run/demo ] || pgrx-config/cluster destroy demo
	rm -rf target

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
