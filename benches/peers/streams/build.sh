#!/usr/bin/env bash
# Compiles the Kafka Streams application with Maven, under target/, and prints the class path to run it with.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

mend="the comparison needs a Java 17 that compiles, and Maven; install them with: apt-get install -y openjdk-17-jdk-headless maven"
command -v javac >/dev/null && command -v mvn >/dev/null || { echo "no javac or no mvn on the PATH. $mend" >&2; exit 1; }
# Maven Central now and then breaks a connection: what has arrived stays in Maven's own cache, so another try goes on.
for try in 1 2 3; do
  mvn -B -q -f "$here/pom.xml" compile dependency:copy-dependencies -DincludeScope=runtime \
    '-DoutputDirectory=${project.build.directory}/libs' >&2 && break
  [[ $try -lt 3 ]] || { echo "Maven could not build the Kafka Streams application (see above)" >&2; exit 1; }
  sleep 5
done
built=$(cd "$here/../../../target/peers-streams" && pwd)
echo "$built/classes:$built/libs/*"
