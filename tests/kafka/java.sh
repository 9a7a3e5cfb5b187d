#!/usr/bin/env bash
# Runs a Java program of one file with the jars the tests use: java.sh <file.java> <arguments>
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

command -v javac >/dev/null || { echo "no Java compiler; install one: apt-get install -y openjdk-17-jdk-headless" >&2; exit 1; }
libs=$("$here/libs.sh")
exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$libs/*" "$@"
