#!/bin/sh
# Writes corpus.tsv anew: the same seed gives the same pairs, the verdicts are those of the Avro in pom.xml.
# Needs Java 17 and Maven.
set -eu
cd "$(dirname "$0")"
classpath=$(mktemp)
trap 'rm -f "$classpath"' EXIT
mvn -q -B dependency:build-classpath -Dmdep.outputFile="$classpath" >/dev/null
java -cp "$(cat "$classpath")" Corpus.java > corpus.tsv.new
mv corpus.tsv.new corpus.tsv
cut -f1 corpus.tsv | sort | uniq -c
