# make help lists the targets.
GO      ?= go
BIN     := $(CURDIR)/.bin
LINT    := $(BIN)/golangci-lint
LINT_V  := v2.15.0
OTELCOL := $(BIN)/otelcol
OTELCOL_V := v0.160.0
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
PKG     := github.com/prometheus/common/version
LDFLAGS := -s -w -X $(PKG).Version=$(VERSION) -X $(PKG).Revision=$(shell git rev-parse HEAD 2>/dev/null) \
           -X $(PKG).Branch=$(shell git rev-parse --abbrev-ref HEAD 2>/dev/null)

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build ./ksyun-tap, static.
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o ksyun-tap ./cmd/ksyun-tap

.PHONY: demo
demo: ## Run the demo: simulator, traffic, tap and page.
	$(GO) run ./cmd/ksyun-tap demo

.PHONY: test
test: ## Run the tests, with the race detector.
	$(GO) test -race ./...

# A Collector of what the examples use; the newest version whose parts can all be had.
$(OTELCOL): deploy/otel-collector/builder.yaml
	GOBIN=$(BIN) $(GO) install go.opentelemetry.io/collector/cmd/builder@$(OTELCOL_V)
	CGO_ENABLED=0 $(BIN)/builder --config $<
	mv $(BIN)/otelcol-build/otelcol $@ && rm -r $(BIN)/otelcol-build

.PHONY: e2e
e2e: $(OTELCOL) ## Run the end-to-end tests beside real components (CONTRIBUTING.md tells which).
	$(GO) test -race -count=1 -tags e2e ./internal/e2e/...

.PHONY: pictures
pictures: ## Draw docs/images anew (needs what e2e needs).
	KSYUN_TAP_PICTURES=$(CURDIR)/docs/images $(GO) test -count=1 -tags e2e -run TestDashboardsTellTheTruth ./internal/e2e/

.PHONY: cover
cover: ## Run the tests and print the coverage of each package.
	$(GO) test -cover ./...

FUZZTIME ?= 60s
.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (default 60s each).
	@set -e; for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -rh --include='*_test.go' '^func Fuzz' $$dir | sed 's/func \(Fuzz[A-Za-z0-9]*\).*/\1/'); do \
	    echo "== $$dir $$f"; $(GO) test $$dir -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x; done; done

.PHONY: bench
bench: ## Run the benchmarks, with allocations.
	$(GO) test -run '^$$' -bench . -benchmem ./...

.PHONY: bench-peers
bench-peers: ## Compare with nginx and httputil.ReverseProxy, in one run (needs nginx).
	$(GO) run ./bench/peers

$(LINT):
	GOBIN=$(BIN) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_V)

.PHONY: lint
lint: $(LINT) ## Run the linters.
	$(LINT) run --build-tags e2e ./...

.PHONY: fmt
fmt: $(LINT) ## Format the code.
	$(LINT) fmt ./...

.PHONY: generate
generate: ## Regenerate reference, rules and dashboards from the code.
	$(GO) run ./internal/gendocs docs/reference
	$(GO) run ./internal/genmonitoring .

.PHONY: verify-generate
verify-generate: generate ## Check that reference, rules and dashboards are what the code says.
	git diff --exit-code docs deploy grafana

.PHONY: tidy
tidy: ## Check that go.mod and go.sum are tidy.
	$(GO) mod tidy -diff

.PHONY: clean
clean: ## Remove what was built.
	rm -rf ksyun-tap $(BIN)
