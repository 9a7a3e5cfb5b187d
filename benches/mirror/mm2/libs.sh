#!/usr/bin/env bash
# Prints the folder that holds MirrorMaker 2's jars, after resolving them from Maven Central if it is not there yet.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

cache=${XDG_CACHE_HOME:-$HOME/.cache}/fairlead/mirror-maker-$(sha256sum "$here/pom.xml" | cut -c1-8)
if [[ ! -d $cache ]]; then
  command -v mvn >/dev/null || { echo "no mvn on the PATH; install it with: apt-get install -y openjdk-17-jre-headless maven" >&2; exit 1; }
  for try in 1 2 3; do
    mvn -B -q -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$cache.partial" >&2 && break
    [[ $try -lt 3 ]] || { echo "Maven could not resolve MirrorMaker 2 (see above)" >&2; exit 1; }
    sleep 5
  done
  mv "$cache.partial" "$cache"
fi
echo "$cache"
