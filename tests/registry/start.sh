#!/usr/bin/env bash
# Starts another Confluent-compatible schema registry, for tests: Apicurio Registry with its memory store, on 127.0.0.1 only.
# It is the only one that a package registry serves; Confluent's own is not on Maven Central.
#
# Prints the base URL of its Confluent-compatible API once it answers, and stays until standard input ends or a signal comes.
# The process that starts it holds the other end of that pipe, so the registry cannot outlive it.
set -euo pipefail
version=2.6.13.Final

mend="this needs Java 17 and Maven; install them with: apt-get install -y openjdk-17-jre-headless maven"
command -v java >/dev/null || { echo "no java on the PATH. $mend" >&2; exit 1; }
cache=${XDG_CACHE_HOME:-$HOME/.cache}/fairlead/apicurio-$version
if [[ ! -d $cache/app ]]; then
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock 9
  if [[ ! -d $cache/app ]]; then
    command -v mvn >/dev/null || { echo "no mvn on the PATH. $mend" >&2; exit 1; }
    echo "resolving Apicurio Registry $version from Maven Central into $cache (once)" >&2
    rm -rf "$cache/partial"
    mkdir -p "$cache/partial/app"
    for try in 1 2 3; do
      mvn -B -q dependency:copy -Dartifact="io.apicurio:apicurio-registry-app:$version:tar.gz:all" -DoutputDirectory="$cache/partial" >&2 && break
      [[ $try -lt 3 ]] || { echo "Maven could not resolve Apicurio Registry $version (see above)" >&2; exit 1; }
      sleep 5
    done
    tar -xzf "$cache/partial"/*.tar.gz -C "$cache/partial/app"
    mv "$cache/partial/app" "$cache/app"
    rm -rf "$cache/partial"
  fi
  exec 9>&-
fi

work=$(mktemp -d)
registry=''
end() {
  trap - EXIT INT TERM HUP
  [[ -z $registry ]] || kill -KILL "$registry" 2>/dev/null || true
  rm -rf "$work"
}
trap end EXIT INT TERM HUP

# Port 0: the kernel chooses, the log tells.
: >"$work/log"
setpriv --pdeathsig KILL java -Xmx384m -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port=0 -jar "$cache"/app/*-runner.jar \
  </dev/null >"$work/log" 2>&1 &
registry=$!
for _ in $(seq 1800); do
  url=$(sed -n 's/.*Listening on: \(http:[^ ]*\).*/\1/p' "$work/log")
  [[ -z $url ]] || break
  kill -0 "$registry" 2>/dev/null || break
  sleep 0.1
done
[[ -n $url ]] || { echo "Apicurio Registry did not start; the end of its log:" >&2; tail -n 30 "$work/log" >&2; exit 1; }
echo "$url/apis/ccompat/v7"
while read -r _; do :; done
