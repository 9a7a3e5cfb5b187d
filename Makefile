# What a person does with this repository; `make` alone tells. Everything is built with the one release profile,
# so that RocksDB and librdkafka are compiled once for all of it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check lint bench peers ospbench longhaul clean

help:
	@echo 'make demo           a recorded night: alerts and deploys in, Slack threads out; everything embedded'
	@echo 'make demo KEEP=1    ... and stays up, for your own alerts'
	@echo 'make demo KAFKA=1   ... on a real Apache Kafka, which is downloaded once'
	@echo 'make test           every test, those on a real Apache Kafka included'
	@echo 'make check          format, clippy, licences, repository rules, tests of the pure half: a minute once built'
	@echo 'make bench          a backlog of two million records on a real Apache Kafka: throughput, latency, memory, restore'
	@echo 'make peers          fairlead beside Kafka Streams on the same broker and records; ONLY_EQUALITY=1 proves that both say the same'
	@echo 'make longhaul       half an hour of load, kills, pauses, a broker that dies, a full disk and wrong clocks; then the proof that nothing is lost'
	@echo 'make ospbench       the same with a workload that is not ours: join, tumbling and sliding window of the Open Stream Processing Benchmark'
	@echo 'make clean          removes all that was built; the next build compiles RocksDB again'

demo:
	@.ci/install build $(if $(KAFKA),kafka)
	cargo build --release
ifdef KAFKA
	data=$$(mktemp -d); trap "tests/kafka/stop.sh $$data; rm -rf $$data" EXIT; \
	bootstrap=$$(tests/kafka/start.sh $$data); \
	target/release/fairlead demo $(if $(KEEP),--keep) --kafka $$bootstrap
else
	target/release/fairlead demo $(if $(KEEP),--keep)
endif

test:
	@.ci/install build kafka test check
	cargo test --release

check: lint
	cargo test --release --no-default-features

lint:
	@.ci/install build check
	cargo fmt --check
	cargo clippy --release --all-targets -- -D warnings
	cargo clippy --release --all-targets --no-default-features -- -D warnings
	.ci/deny

bench:
	@.ci/install build kafka
	cargo bench --bench backlog -- $(BENCH)

peers:
	@.ci/install build kafka peers
	cargo bench --bench peers -- $(if $(ONLY_EQUALITY),--only-equality) $(PEERS)

longhaul:
	@.ci/install build kafka
	cargo bench --bench longhaul -- $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(LONGHAUL)

ospbench:
	@.ci/install build kafka peers
	cargo bench --bench peers -- --ospbench $(if $(ONLY_EQUALITY),--only-equality) $(OSPBENCH)

clean:
	cargo clean
