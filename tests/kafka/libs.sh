#!/usr/bin/env bash
# Prints the folder that holds Apache Kafka's jars, after resolving them from Maven Central if it is not there yet.
# Many may call at once: one resolves, the others wait for it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

mend="fairlead's tests need Java 17 and Maven; install them with: apt-get install -y openjdk-17-jre-headless maven"
java=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p') || true
[[ ${java:-0} -ge 17 ]] || { echo "no Java 17 or newer on the PATH. $mend" >&2; exit 1; }

version=$(sed -n 's:.*<kafka.version>\(.*\)</kafka.version>.*:\1:p' "$here/pom.xml")
# A changed pom.xml is another folder, so that an old cache is never mistaken for the new one.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/fairlead/kafka-$version-$(sha256sum "$here/pom.xml" | cut -c1-8)
if [[ ! -d $cache/libs ]]; then
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock 9
  if [[ ! -d $cache/libs ]]; then
    command -v mvn >/dev/null || { echo "no mvn on the PATH. $mend" >&2; exit 1; }
    echo "resolving Apache Kafka $version from Maven Central into $cache (once)" >&2
    rm -rf "$cache/partial"
    # Maven Central now and then breaks a connection: what has arrived stays in Maven's own cache, so another try goes on.
    for try in 1 2 3; do
      mvn -B -q -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$cache/partial" >&2 && break
      [[ $try -lt 3 ]] || { echo "Maven could not resolve Apache Kafka $version (see above)" >&2; exit 1; }
      sleep 5
    done
    mv "$cache/partial" "$cache/libs"
  fi
fi
echo "$cache/libs"
