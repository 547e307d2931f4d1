# Sandmeter's commands: make help
GO ?= go
ARGS ?=

# -buildvcs=false: with version stamps, the build fails where git refuses a checkout that another user
# owns, as in a container. In that case there is no version. --abbrev: by default, the length depends
# on how many objects the repository has, and the version is in the program.
VERSION ?= $(shell git describe --tags --always --dirty --abbrev=12 2>/dev/null)
BUILD := CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath
TEST  := $(GO) test -json -buildvcs=false -timeout 25m
SHOW  := $(CURDIR)/bin/gotestsum --raw-command
show   = $(SHOW) --format standard-quiet --hide-summary skipped --jsonfile $(CURDIR)/bin/tests-$(1).json --

# The modules of this repository; those in tools/ pin programs and have no code, except for the programs of
# a release of gVisor that its module lacks.
MODULES := . charts e2e mixin packaging tools tools/helm tools/prometheus tools/runsc-older
CODE    := . packaging mixin charts e2e

# The programs of a release of gVisor. Without those in gvisor-bin, runsc would run sandboxes itself, which
# releases no longer do. checkpointgofer, which saves checkpoints to cloud storage, is left out: the module
# has no source code of it.
RUNSC := bin/runsc $(addprefix bin/gvisor-bin/,gvisor_sentry gvisor-sentry-prewarmer runsc-metric-server)

export SANDLAB_RUNSC ?= $(CURDIR)/bin/runsc

# The programs of a Kubernetes node, which take long to build, are kept outside of the checkout.
KUBERNETES_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sandmeter/kubernetes
KUBERNETES_PINS := tools/kubernetes/go.mod tools/kubernetes/go.sum tools/containerd/go.mod tools/containerd/go.sum
KUBERNETES_VERSION := $(shell sed -n 's,^require k8s.io/kubernetes ,,p' tools/kubernetes/go.mod)
KUBERNETES := $(KUBERNETES_CACHE)/$(KUBERNETES_VERSION)-$(shell cat $(KUBERNETES_PINS) | sha256sum | cut -c 1-12)
export SANDMETER_CONTAINERD ?= $(KUBERNETES)

# So are the disks of virtual machines.
VM_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sandmeter/vm
VM := $(VM_CACHE)/$(shell sha256sum e2e/vm/image.sh | cut -c 1-12)

.PHONY: help build run peers test test-modules test-e2e vm-few test-vm-few kubernetes test-kubernetes vm test-vm fuzz mutants bench bench-node bench-churn lint package image chart release checksums FORCE

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-22s %s\n", $$1, $$2}'

build: bin/sandmeter bin/sandlab $(RUNSC) ## build bin/sandmeter, bin/sandlab, and bin/runsc with bin/gvisor-bin, as in a release of gVisor, from the version pinned in tools/go.mod

run: build ## show real sandboxes and their metrics: make run ARGS="--for 20s"
	@bin/sandlab demo $(ARGS)

peers: bin/prometheus bin/promtool bin/debian/prometheus bin/debian/victoria-metrics bin/debian/vmagent bin/debian/qemu-aarch64-static ## build or download the programs that scrape the server in tests, and an emulator for arm64

test: build peers bin/older/runsc bin/gotestsum bin/cyclonedx-gomod bin/helm ## run all tests; SANDMETER_REQUIRE_RUNSC=1 makes skipped tests of real sandboxes and peers fail
	@rm -f bin/tests-*.json
	$(call show,core) $(TEST) -race ./...
	@# -count=1: these tests build the program themselves, and Go's cache of test results does not see its changes. Only
	@# e2e has concurrency of its own; -race would make the compression of packages ten times slower.
	@# The tests of e2e wait most of the time, so those of the other modules run at the same time.
	@$(MAKE) --no-print-directory -j 3 test-modules test-e2e $(BESIDE)
	@$(SHOW) --format none --hide-summary failed,errors -- cat bin/tests-*.json # lists the skipped tests of all runs

# Parts of test, which builds what they need. CI adds one with BESIDE=test-vm-few.
test-modules:
	cd packaging && $(call show,packaging) $(TEST) -count=1 ./...
	cd mixin && $(call show,mixin) $(TEST) -count=1 ./...
	cd charts && $(call show,charts) $(TEST) -count=1 ./...

test-e2e:
	cd e2e && $(call show,e2e) $(TEST) -race -count=1 -parallel 1 ./...

# One virtual machine, and one end of each kind.
vm-few: $(VM)/bookworm

test-vm-few: vm-few
	cd e2e && SANDMETER_VM=$(VM) $(call show,vm) $(TEST) -count=1 ./vm -few

kubernetes: ## build the programs of a Kubernetes node into a cache, which takes about 40 minutes on two cores; needs Debian
kubernetes: $(addprefix $(KUBERNETES)/,debian containerd ctr containerd-shim-runc-v2 kubelet kube-apiserver kube-controller-manager kube-scheduler kubectl)

test-kubernetes: kubernetes build image bin/containerd-shim-runsc-v1 bin/helm bin/gotestsum ## test the image and the chart on a real Kubernetes node; needs root, and builds the node first
	@rm -rf bin/chart && mkdir -p bin/chart && cd charts && $(GO) run -buildvcs=false ./pack -version '$(VERSION)' -out ../bin/chart sandmeter >/dev/null
	cd e2e && SANDMETER_KUBERNETES=$(KUBERNETES) SANDMETER_IMAGE=$(CURDIR)/dist/sandmeter-$(VERSION)-$$($(GO) env GOARCH).oci.tar \
		$(SHOW) --format testname -- $(GO) test -json -buildvcs=false -timeout 30m -count=1 ./kubernetes $(ARGS)

vm: ## build the disks of virtual machines with Debian 11, 12 and 13 into a cache; needs root, Debian, and mmdebstrap
vm: $(addprefix $(VM)/,bookworm trixie bullseye)

$(VM)/%:
	@echo "Building a virtual machine with Debian $*, which takes some minutes."
	@mkdir -p $(@D) && e2e/vm/image.sh $* $@.new && mv $@.new $@

test-vm: vm build bin/cyclonedx-gomod bin/containerd-shim-runsc-v1 bin/gotestsum ## test the .deb in these machines, with systemd and cgroup v2; takes most of an hour, needs root and QEMU
	cd e2e && SANDMETER_VM=$(VM) $(SHOW) --format testname -- $(GO) test -json -buildvcs=false -timeout 5h -count=1 ./vm $(ARGS)

fuzz: ## run every fuzz target for FUZZTIME (10s)
	@GO=$(GO) .ci/fuzz

mutants: ## break one rule of the server at a time, and check that tests fail; needs an idle machine
	@$(GO) run -buildvcs=false ./mutants $(ARGS)

bench: bin/sandmeter bin/sandlab ## measure the cost of a scrape against the floor; takes some minutes
	@$(GO) run -buildvcs=false ./bench $(ARGS)

bench-node: build ## measure what a scrape costs 50 real sandboxes; needs root
	@$(GO) run -buildvcs=false ./bench node $(ARGS)

bench-churn: bin/sandmeter bin/sandlab ## measure what the server holds while sandboxes come and go, for ten minutes; needs root
	@$(GO) run -buildvcs=false ./bench churn $(ARGS)

# What users download is written here.
DIST ?= dist

package: bin/cyclonedx-gomod ## build .deb, .rpm, and tarballs for amd64 and arm64 in dist/, the same bytes each time
	@cd packaging && $(GO) run -buildvcs=false ./build -version '$(VERSION)' -out '$(abspath $(DIST))'

lint: bin/staticcheck ## check formatting, vet, staticcheck, and that module files are tidy and unchanged
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt -w these files:" $$unformatted; exit 1; }
	@set -e; for dir in $(MODULES); do (cd $$dir; set -x; $(GO) mod tidy -diff; $(GO) mod verify); done
	@set -e; for dir in $(CODE); do (cd $$dir; set -x; $(GO) vet ./...; $(CURDIR)/bin/staticcheck ./...); done
	@# With the flags of the build, whose results it uses. staticcheck would check all packages of gVisor.
	cd tools && CGO_ENABLED=0 $(GO) vet -trimpath ./...
	GOOS=darwin $(GO) vet ./metricclient ./config

# IMAGE is the repository of the image, with a registry if it is to be pushed to one. The time of the
# commit is that of everything in the image, so that a commit has the same image everywhere.
IMAGE ?= sandmeter
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null)
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

image: bin/image/amd64 bin/image/arm64 ## write OCI images for amd64 and arm64 to dist/, the same bytes each time
	@cd packaging && $(GO) run -buildvcs=false ./image -name '$(IMAGE)' -version '$(VERSION)' -revision '$(REVISION)' \
		-created '$(SOURCE_DATE_EPOCH)' -license ../LICENSE -dir '$(abspath $(DIST))' amd64=../bin/image/amd64 arm64=../bin/image/arm64

chart: ## write the Helm chart to dist/, with this version and that of the image
	@cd charts && $(GO) run -buildvcs=false ./pack -version '$(VERSION)' -out '$(abspath $(DIST))' sandmeter

release: ## write packages, images, the chart, and SHA256SUMS of all to dist/; removes those of earlier versions
	@rm -f '$(abspath $(DIST))'/sandmeter[-_]*
	@$(MAKE) --no-print-directory package image chart
	@$(MAKE) --no-print-directory checksums

# Of all versions in dist/, in an order that no locale changes.
checksums:
	@cd '$(DIST)' && export LC_ALL=C && sha256sum sandmeter[-_]* >SHA256SUMS

# Packages have the same program, which depends on no setting of Go.
bin/image/%: FORCE
	@mkdir -p $@ && cd packaging && $(GO) run -buildvcs=false ./compile -version '$(VERSION)' -arch $* -dir ../$@

# Always run: Go's build cache decides what to rebuild.
bin/sandmeter: FORCE
	@$(BUILD) -ldflags '-X main.version=$(VERSION)' -o $@ ./cmd/sandmeter

bin/sandlab: FORCE
	@$(BUILD) -o $@ ./cmd/sandlab

bin/runsc: tools/go.mod tools/go.sum
	@echo "Building runsc from the version pinned in tools/go.mod. The first build takes one to two minutes."
	@cd tools && $(BUILD) -o ../$@ gvisor.dev/gvisor/runsc
	@touch $@

bin/gvisor-bin/gvisor%: tools/gvisor-bin/gvisor%/main.go tools/go.mod tools/go.sum
	@echo "Building $(@F) from the version pinned in tools/go.mod."
	@cd tools && $(BUILD) -o ../$@ ./gvisor-bin/$(@F)
	@touch $@

# A regular file, as in a release.
bin/gvisor-bin/runsc-metric-server: bin/sandmeter
	@mkdir -p $(@D) && ln -f $< $@

# Without the service discovery of clouds, which no test uses and most of the dependencies belong to.
bin/prometheus bin/promtool: tools/prometheus/go.mod tools/prometheus/go.sum
	@echo "Building $(@F) from the version pinned in tools/prometheus/go.mod. The first build takes some minutes."
	@cd tools/prometheus && $(BUILD) -tags remove_all_sd -o ../../$@ github.com/prometheus/prometheus/cmd/$(@F)
	@touch $@

# tools/kubernetes and tools/containerd are not among MODULES: to check that they are tidy takes
# gigabytes of modules, those of the tests of all dependencies.
$(KUBERNETES)/kube%:
	@echo "Building $(@F) $(KUBERNETES_VERSION). The first program takes up to half an hour, the others a few minutes each."
	@cd tools/kubernetes && $(BUILD) -ldflags '-X k8s.io/component-base/version.gitVersion=$(KUBERNETES_VERSION)' -o $@.new k8s.io/kubernetes/cmd/$(@F) && mv $@.new $@

$(KUBERNETES)/containerd $(KUBERNETES)/ctr $(KUBERNETES)/containerd-shim-runc-v2:
	@echo "Building $(@F) from the version pinned in tools/containerd/go.mod."
	@cd tools/containerd && $(BUILD) -tags no_btrfs,no_zfs,no_devmapper -o $@.new github.com/containerd/containerd/v2/cmd/$(@F) && mv $@.new $@

# These packages are not installed: that of etcd would start a service.
$(KUBERNETES)/debian:
	@echo "Downloading the Debian packages etcd-server, runc, and containernetworking-plugins."
	@rm -rf $@.new && mkdir -p $@.new
	@cd $@.new && apt-get -qq -o APT::Sandbox::User=root download etcd-server runc containernetworking-plugins && \
		for package in *.deb; do dpkg-deb -x $$package . && rm $$package || exit 1; done
	@mv $@.new $@

# The shim sets its OOM score to -999, which only CAP_SYS_RESOURCE permits. The tests do not need a
# shim that outlives others, so theirs is built with 0, on every machine, and is otherwise as pinned.
bin/containerd-shim-runsc-v1: tools/go.mod tools/go.sum
	@echo "Building the shim of runsc from the version pinned in tools/go.mod. The first build takes one to two minutes."
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
		cp tools/go.mod tools/go.sum $$dir; cd tools; $(GO) mod download gvisor.dev/gvisor; \
		cp -r "$$($(GO) list -m -f '{{.Dir}}' gvisor.dev/gvisor)" $$dir/gvisor; chmod -R u+w $$dir/gvisor; cd $$dir; \
		sed -i 's/oomScoreMax = -999$$/oomScoreMax = 0/' gvisor/pkg/shim/v1/manager.go; grep -q 'oomScoreMax = 0$$' gvisor/pkg/shim/v1/manager.go; \
		$(GO) mod edit -replace gvisor.dev/gvisor=./gvisor; $(BUILD) -o $(CURDIR)/$@ gvisor.dev/gvisor/shim
	@touch $@

# Programs of Debian packages, which are not installed, because that would start services. Where a
# package is unavailable, the tests with its program are skipped.
PACKAGE = $*
bin/debian/vmagent: PACKAGE = victoria-metrics
bin/debian/qemu-aarch64-static: PACKAGE = qemu-user-static
bin/debian/%:
	@echo "Downloading the Debian package $(PACKAGE)."
	@rm -rf $@.new && mkdir -p $@.new
	@(cd $@.new && apt-get -qq -o APT::Sandbox::User=root download $(PACKAGE) && dpkg-deb -x $(PACKAGE)_*.deb . && mv usr/bin/$* ../$*) || \
		echo "The package $(PACKAGE) is unavailable: tests with it are skipped. On Debian, run apt-get update."
	@rm -rf $@.new

# The release with which e2e tests that one server serves sandboxes of two releases. It is one program, and
# in a directory of its own, because the programs in bin/gvisor-bin are not its.
bin/older/runsc: tools/runsc-older/go.mod tools/runsc-older/go.sum
	@echo "Building an older runsc from the version pinned in tools/runsc-older/go.mod. The first build takes one to two minutes."
	@cd tools/runsc-older && $(BUILD) -o ../../$@ gvisor.dev/gvisor/runsc
	@touch $@

# No other target needs it: the first build takes five minutes of CPU, and 1 GB of modules.
bin/otelcol: e2e/testdata/otelcol.yaml
	@echo "Building an OpenTelemetry collector from the versions in e2e/testdata/otelcol.yaml. The first build takes some minutes."
	@CGO_ENABLED=0 $(GO) run go.opentelemetry.io/collector/cmd/builder@v0.165.0 --config=$<
	@mv bin/otelcol.build/otelcol $@ && rm -rf bin/otelcol.build

# helm renders for the release of Kubernetes that its API types are of, as in helm's own builds.
bin/helm: tools/helm/go.mod tools/helm/go.sum
	@echo "Building helm from the version pinned in tools/helm/go.mod. The first build takes some minutes."
	@cd tools/helm && version=$$($(GO) list -m -f '{{.Version}}' helm.sh/helm/v3) && \
		minor=$$($(GO) list -m -f '{{.Version}}' k8s.io/api | cut -d. -f2) && \
		$(BUILD) -o ../../$@ -ldflags "-X helm.sh/helm/v3/internal/version.version=$$version \
		-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=$$minor \
		-X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1 -X helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=$$minor" \
		helm.sh/helm/v3/cmd/helm
	@touch $@

bin/gotestsum: tools/go.mod tools/go.sum
	@echo "Building gotestsum from the version pinned in tools/go.mod."
	@cd tools && $(BUILD) -o ../$@ gotest.tools/gotestsum
	@touch $@

bin/staticcheck: tools/go.mod tools/go.sum
	@echo "Building staticcheck from the version pinned in tools/go.mod."
	@cd tools && $(BUILD) -o ../$@ honnef.co/go/tools/cmd/staticcheck
	@touch $@

bin/cyclonedx-gomod: packaging/go.mod packaging/go.sum
	@echo "Building cyclonedx-gomod from the version pinned in packaging/go.mod."
	@cd packaging && $(BUILD) -o ../$@ github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
	@touch $@
