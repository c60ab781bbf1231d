# make help lists the targets.
GO      ?= go
BIN     := $(CURDIR)/.bin
LINT    := $(BIN)/golangci-lint
LINT_V  := v2.15.0
GORELEASER := $(BIN)/goreleaser
GORELEASER_V := v2.16.0
CYCLONEDX := $(BIN)/cyclonedx-gomod
CYCLONEDX_V := v1.10.0
VULN_V := v1.9.0
OTELCOL := $(BIN)/otelcol
OTELCOL_V := v0.160.0
JAEGER := $(BIN)/jaeger
# The newest version that the Go proxy has.
JAEGER_V := v1.76.0
LOKI := $(BIN)/loki
LOKI_V := v3.7.8
VICTORIALOGS := $(BIN)/victoria-logs
VICTORIALOGS_V := v1.52.1
# Helm and Kustomize, which render what the end-to-end tests check: the newest
# versions that Go 1.26 can build.
HELM        := $(BIN)/helm
HELM_V      := v4.3.1
KUSTOMIZE   := $(BIN)/kustomize
KUSTOMIZE_V := v5.8.2
DEBIAN  := $(BIN)/debian.tar
NFPM    := $(BIN)/nfpm
# The newest version whose modules are all available.
NFPM_V  := v2.45.0
# How tools that run only for a moment are built: optimizing them takes longer.
QUICKLY := -ldflags="-s -w" -gcflags="all=-N -l -dwarf=false" -gcflags=std=
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
PKG     := github.com/prometheus/common/version
LDFLAGS := -s -w -X $(PKG).Version=$(VERSION) -X $(PKG).Revision=$(shell git rev-parse HEAD 2>/dev/null) \
           -X $(PKG).Branch=$(shell git rev-parse --abbrev-ref HEAD 2>/dev/null)

# Programs built with the race detector sleep a second before they exit; those run by tests need not.
export GORACE ?= atexit_sleep_ms=10

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build ./ksyun-tap, static.
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o ksyun-tap ./cmd/ksyun-tap

$(NFPM):
	GOBIN=$(BIN) $(GO) install $(QUICKLY) github.com/goreleaser/nfpm/v2/cmd/nfpm@$(NFPM_V)

SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
PACKAGES     ?= dist/packages
PACKAGE_ARCH ?= $(shell $(GO) env GOARCH)
PACKAGE_INPUTS = $(PACKAGES)/inputs-$(PACKAGE_ARCH)

# What the packages contain in addition to files of the repository.
.PHONY: package-inputs
package-inputs:
	mkdir -p $(PACKAGE_INPUTS)
	CGO_ENABLED=0 GOOS=linux GOARCH=$(PACKAGE_ARCH) $(GO) build -trimpath -buildvcs=false -ldflags "$(LDFLAGS)" -o $(PACKAGE_INPUTS)/ksyun-tap ./cmd/ksyun-tap
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "$(LDFLAGS)" -o $(PACKAGE_INPUTS)/tool ./cmd/ksyun-tap
	$(PACKAGE_INPUTS)/tool man | gzip -9n >$(PACKAGE_INPUTS)/ksyun-tap.1.gz
	$(PACKAGE_INPUTS)/tool --completion-script-bash >$(PACKAGE_INPUTS)/ksyun-tap.bash
	$(PACKAGE_INPUTS)/tool --completion-script-zsh >$(PACKAGE_INPUTS)/_ksyun-tap
	cat LICENSE >$(PACKAGE_INPUTS)/copyright
	$(GO) run -C tools ./licences .. >>$(PACKAGE_INPUTS)/copyright

.PHONY: packages
packages: $(NFPM) package-inputs ## Build the packages of VERSION, as 1.2.3, for Debian, Red Hat and Alpine.
	@case "$(VERSION)" in v[0-9]*|[0-9]*.*) ;; *) echo "make packages VERSION=1.2.3: $(VERSION) is not a version" >&2; exit 2;; esac
	@for kind in deb rpm apk; do \
	  SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) PACKAGE_VERSION=$(VERSION:v%=%) PACKAGE_ARCH=$(PACKAGE_ARCH) PACKAGE_INPUTS=$(PACKAGE_INPUTS) \
	  $(NFPM) package --config deploy/packages/nfpm.yaml --packager $$kind --target $(PACKAGES) || exit; done

.PHONY: demo
demo: ## Run the demo: simulator, traffic, tap and page.
	$(GO) run ./cmd/ksyun-tap demo

# The first command vets what it tests. For the others, go vet ./... and make lint do: vetting
# again takes all that they import, which are Prometheus' and Kubernetes' packages, too.
# The profile for the compiler would have cmd/ksyun-tap's packages compiled a second time.
test: export GOFLAGS += -pgo=off
.PHONY: test
test: ## Run the tests, with the race detector.
	$(GO) test -race ./collector/relay ./exporter/diagnosis ./exporter/journal/disk ./exporter/metrics ./... # the slowest first
	$(GO) test -vet=off -run '^Test(EnvironmentMatrix|MemoryIsBounded|NoSecret)$$|Allocat' ./classify ./cmd/ksyun-tap ./collector ./collector/relay ./exporter/diagnosis ./exporter/evidence # those that are built without it
	$(GO) test -C test -vet=off -race ./soak
	$(GO) test -C test -vet=off ./alerts ./day ./manifest ./promcheck # one goroutine each, or other programs' packages: slow with the race detector
	$(GO) test -C tools -vet=off ./...

.PHONY: alerts-table
alerts-table: ## Replay every scenario through the alerts, and write the table of docs/alerts.md (some minutes).
	$(GO) test -C test -count=1 -timeout 90m -run "TestScenarios|TestBurnRates" ./alerts -full -update
	$(MAKE) --no-print-directory generate

.PHONY: verify-alerts
verify-alerts: ## Check that the table of docs/alerts.md matches the replay (some minutes).
	$(GO) test -C test -count=1 -timeout 90m -run "TestScenarios|TestBurnRates" ./alerts -full

.PHONY: mutate-alerts
mutate-alerts: ## Change every alert and recording rule, one thing at a time, and check that a unit test fails for each (some minutes).
	$(GO) test -C test -count=1 -timeout 90m -run TestMutants -v ./alerts -mutate .

# A Collector with the components that the examples use; the newest version whose modules are all available.
$(OTELCOL): deploy/otel-collector/builder.yaml
	GOBIN=$(BIN) $(GO) install $(QUICKLY) go.opentelemetry.io/collector/cmd/builder@$(OTELCOL_V)
	CGO_ENABLED=0 $(BIN)/builder --config $<
	mv $(BIN)/otelcol-build/otelcol $@ && rm -r $(BIN)/otelcol-build

# Built in place with the versions and checksums of its own go.mod and go.sum: go install refuses modules that replace others.
$(JAEGER):
	mkdir -p $(BIN)
	cd "$$($(GO) mod download -json github.com/jaegertracing/jaeger@$(JAEGER_V) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p')" && \
	  CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -ldflags "-s -w" -o $@ ./cmd/all-in-one

.PHONY: jaeger
jaeger: $(JAEGER) ## Build Jaeger and find failed calls in it (some minutes).
	$(GO) test -C test -count=1 -tags e2e -run TestJaeger ./backends

# Built with the versions and checksums of its own go.mod and go.sum, apart from the module that it replaces by a
# directory, which the Go proxy leaves out.
$(LOKI):
	mkdir -p $(BIN)
	dir="$$($(GO) mod download -json github.com/grafana/loki/v3@$(LOKI_V) | sed -n 's/^\t"Dir": "\(.*\)",$$/\1/p')" && \
	  for file in mod sum; do cat "$$dir/go.$$file" >$(BIN)/loki.$$file || exit; done && \
	  $(GO) mod edit -dropreplace=github.com/grafana/loki/pkg/push $(BIN)/loki.mod && cd "$$dir" && \
	  CGO_ENABLED=0 $(GO) build -mod=mod -modfile=$(BIN)/loki.mod -buildvcs=false -trimpath -ldflags "-s -w" -o $@ ./cmd/loki

.PHONY: loki
loki: $(LOKI) ## Build Loki and find failed calls in it (some minutes).
	$(GO) test -C test -count=1 -tags e2e -run TestLoki ./backends

$(VICTORIALOGS):
	GOBIN=$(BIN) CGO_ENABLED=0 $(GO) install -ldflags "-s -w" github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs@$(VICTORIALOGS_V)

.PHONY: fleet
fleet: $(VICTORIALOGS) ## Find failures of many taps in a cluster of VictoriaLogs; ARGS="-failures=10000000" for as many as in docs/operating.md.
	$(GO) test -C test -count=1 -v -timeout 90m -tags e2e ./fleet $(ARGS)

# The newest version that Go 1.26 can build.
$(GORELEASER):
	GOBIN=$(BIN) $(GO) install $(QUICKLY) github.com/goreleaser/goreleaser/v2@$(GORELEASER_V)

$(CYCLONEDX):
	GOBIN=$(BIN) $(GO) install $(QUICKLY) github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@$(CYCLONEDX_V)

$(HELM):
	GOBIN=$(BIN) $(GO) install $(QUICKLY) helm.sh/helm/v4/cmd/helm@$(HELM_V)

$(KUSTOMIZE):
	GOBIN=$(BIN) $(GO) install $(QUICKLY) sigs.k8s.io/kustomize/kustomize/v5@$(KUSTOMIZE_V)

# A minimal system, for the tests of the packages.
$(DEBIAN):
	rm -rf $(BIN)/debian && mkdir -p $(BIN)
	debootstrap --variant=minbase --include=systemd,systemd-sysv,nftables,ca-certificates bookworm $(BIN)/debian >$(BIN)/debian.log 2>&1 || (tail $(BIN)/debian.log; exit 1)
	rm -rf $(BIN)/debian/var/cache/apt/archives/*.deb $(BIN)/debian/var/lib/apt/lists/*
	tar --numeric-owner -C $(BIN)/debian -cf $@.new . && rm -rf $(BIN)/debian && mv $@.new $@

.PHONY: e2e-tools e2e-debian e2e-programs
e2e-tools: e2e-debian e2e-programs ## Build what the end-to-end tests use.
e2e-debian: $(DEBIAN)
e2e-programs: $(GORELEASER) $(HELM) $(OTELCOL) $(CYCLONEDX) $(KUSTOMIZE) $(NFPM)

# The tests build the tap with the race detector; those who call it are built
# without. Four tests at a time keep two processors busy.
RUN ?= .
.PHONY: e2e
e2e: e2e-tools ## Run the end-to-end tests with real components (see CONTRIBUTING.md); RUN=TestHelm for a part.
	$(GO) test -C test -vet=off -count=1 -parallel 4 -timeout 45m -tags e2e -run '$(RUN)' ./e2e/...
	$(GO) test -C test -vet=off -count=1 -tags e2e -run Newborn ./alerts

.PHONY: little-memory
little-memory: ## Load a tap that has 128 MiB in a cgroup of version 2, in a virtual machine (see CONTRIBUTING.md); RUN=tunnels for a part.
	./test/littlememory/run.sh $(BIN)/little-memory '$(RUN)'

.PHONY: pictures
pictures: ## Draw docs/images again (needs what e2e needs, and a Chinese font such as fonts-wqy-microhei).
	DASHBOARD_PICTURES=$(CURDIR)/docs/images $(GO) test -C test -count=1 -tags e2e -run "TestDashboardsShowWhatHappened|TestDeskPictures" ./e2e

.PHONY: cover
cover: ## Run the tests and print the coverage of each package.
	$(GO) test -cover ./...

FUZZTIME ?= 60s
.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (default 60s each).
	@set -e; for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
	  for f in $$(grep -rh --include='*_test.go' '^func Fuzz' $$dir | sed 's/func \(Fuzz[A-Za-z0-9]*\).*/\1/'); do \
	    echo "== $$dir $$f"; $(GO) test $$dir -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x; done; done

SIMULATE ?= 1000000
SIMULATE_FROM ?= $(shell date +%s)000
.PHONY: simulate
simulate: ## Simulate SIMULATE exchanges of the relay (default a million), from new seeds each time.
	$(GO) test ./collector/relay -run '^TestSimulate$$' -v -count=1 -timeout 3h -simulate.exchanges=$(SIMULATE) -simulate.from=$(SIMULATE_FROM)

KILLS ?= 200
.PHONY: kill
kill: ## Kill a process that writes the journal's file KILLS times (default 200).
	JOURNAL_KILLS=$(KILLS) $(GO) test ./exporter/journal/disk -run '^TestKill$$' -v -count=1 -timeout 1h

SOAK ?= 30m
.PHONY: diagnose-day
diagnose-day: ## Measure the diagnoses on a generated day of traffic; UPDATE=1 writes the table of docs/diagnosis.md.
	$(GO) test -C test ./day -run '^TestDay$$' -v -count=1 -day.full $(if $(UPDATE),-update)

.PHONY: soak
soak: ## Run the load tests at full size, then mixed load with random faults for SOAK (default 30m).
	$(GO) test ./collector -run '^TestCrowdOfConnects$$' -v -count=1 -soak
	$(GO) test ./collector/relay -run '^Test(IdlePairs|SlowPrograms|LongBodies|ShutdownUnderLoad|ReloadUnderLoad)$$' -v -count=1 -timeout 30m -soak
	$(GO) test -C test ./soak -run '^TestSoak$$' -v -count=1 -timeout 0 -soak.duration=$(SOAK)

FAILURES ?= 1000000
.PHONY: readers
readers: ## Send FAILURES (default a million) through a tap that ten readers search, and through one without readers.
	$(GO) test -C test ./soak -run '^TestReaders$$' -v -count=1 -timeout 1h -readers.failures=$(FAILURES)

.PHONY: paint
paint: ## Measure the first paint of the page in Chromium, beside a copy of the page as files.
	$(GO) test -C test -count=1 -tags e2e -run '^TestFirstPaint$$' -v ./e2e -paint.rounds=30

.PHONY: bench
bench: ## Run the benchmarks, with allocations.
	$(GO) test -run '^$$' -bench . -benchmem ./...

.PHONY: bench-peers
bench-peers: ## Compare with nginx, HAProxy and httputil.ReverseProxy, in twelve minutes; ARGS='-rows ...' for less.
	$(GO) run ./bench/peers $(ARGS)

PROFILES := $(BIN)/profiles
.PHONY: profile
profile: ## Write cmd/ksyun-tap/default.pgo, by which the tap is compiled, in two minutes (see docs/performance.md).
	rm -rf $(PROFILES) && mkdir -p $(PROFILES)
	$(GO) run ./bench/peers -only ksyun-tap -rounds 20 -profile $(PROFILES) \
	  -rows '^http/1KiB/64/|^http/1KiB/1/10%|^http/60KiB/64/10%|^(https|intercept)/1KiB/64/10%'
	$(GO) tool pprof -proto -output cmd/ksyun-tap/default.pgo $(PROFILES)/*.pprof

$(LINT):
	GOBIN=$(BIN) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_V)

.PHONY: lint
lint: $(LINT) ## Run the linters.
	GOOS=darwin $(GO) vet ./... # tests, too, compile on other systems
	GOOS=windows $(GO) vet ./...
	$(LINT) run ./...
	cd test && $(LINT) run --build-tags e2e ./...
	cd tools && $(LINT) run ./...

.PHONY: fmt
fmt: $(LINT) ## Format the code.
	$(LINT) fmt ./...
	cd test && $(LINT) fmt ./...
	cd tools && $(LINT) fmt ./...

.PHONY: generate
generate: ## Generate files from the code: reference, rules, dashboards, parts of deploy.
	$(GO) run ./internal/gen .

.PHONY: matrix
matrix: ## Run every verb in every environment, and write docs/reference/environment.md.
	$(GO) test -count=1 -run "^TestEnvironmentMatrix$$" ./cmd/ksyun-tap -update

.PHONY: verify-generate
verify-generate: generate ## Check that the generated files are up to date.
	git diff --exit-code -- docs deploy grafana
	@new=$$(git ls-files --others --exclude-standard docs deploy grafana); test -z "$$new" || { echo "not committed: $$new"; exit 1; }

.PHONY: tidy
tidy: ## Check that go.mod and go.sum are tidy.
	$(GO) mod tidy -diff
	$(GO) mod tidy -C test -diff
	$(GO) mod tidy -C tools -diff

.PHONY: licences
licences: ## Check the licences of the linked modules.
	$(GO) run -C tools ./licences .. >/dev/null

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in the code that is called (needs the vulnerability database).
	$(GO) run golang.org/x/vuln/cmd/govulncheck@$(VULN_V) ./...

.PHONY: outdated
outdated: ## List the direct dependencies that have a newer version.
	@$(GO) list -m -e -u -f '{{if and (not .Indirect) .Update}}{{.Path}} {{.Version}} -> {{.Update.Version}}{{end}}' all

# What archives and images contain besides the binary.
.PHONY: release-inputs
release-inputs:
	$(GO) run -C tools ./licences .. >THIRD_PARTY_LICENSES
	cp /etc/ssl/certs/ca-certificates.crt .

.PHONY: release-notes
release-notes: ## Print the newest version's section of CHANGELOG.md.
	@awk '/^## /{n++; next} n==1' CHANGELOG.md

.PHONY: release
release: $(GORELEASER) $(CYCLONEDX) ## Make and upload the tagged commit's release, as a draft (docs/releasing.md).
	$(GORELEASER) check
	$(MAKE) --silent --no-print-directory release-notes >$(BIN)/notes.md
	PATH=$(BIN):$$PATH $(GORELEASER) release --clean --release-notes=$(BIN)/notes.md $(RELEASE_FLAGS)

.PHONY: snapshot
snapshot: $(GORELEASER) $(CYCLONEDX) ## Make a release in ./dist, unsigned and unpublished.
	PATH=$(BIN):$$PATH $(GORELEASER) release --snapshot --clean --skip=docker,sign

.PHONY: clean
clean: ## Remove build results.
	rm -rf ksyun-tap dist THIRD_PARTY_LICENSES ca-certificates.crt $(BIN)
