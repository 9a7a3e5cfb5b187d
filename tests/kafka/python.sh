#!/usr/bin/env bash
# Prints a Python that has Confluent's client (.ci/confluent-kafka.txt), after making a virtual environment for it under target/ once.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

# Changed requirements are another folder, so that an old environment is never mistaken for the new one.
home=$PWD/target/confluent-kafka-$(sha256sum .ci/confluent-kafka.txt | cut -c1-8)
if [[ ! -e $home/complete ]]; then
  mkdir -p target
  exec 9>"$home.lock"
  flock 9
  if [[ ! -e $home/complete ]]; then
    python3 -c 'import ensurepip, venv' || { echo "install Python's venv: apt-get install -y python3-venv" >&2; exit 1; }
    rm -rf "$home"
    python3 -m venv "$home"
    "$home/bin/pip" install -q --disable-pip-version-check --only-binary=:all: --require-hashes -r .ci/confluent-kafka.txt >&2
    touch "$home/complete"
  fi
fi
echo "$home/bin/python"
