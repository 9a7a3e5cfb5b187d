#!/usr/bin/env bash
# Starts a real Apache Kafka: one node that is broker and controller (KRaft), on 127.0.0.1 only, for tests and for trying.
#
#   start.sh <data-dir> [--port N] [--secure] [--set key=value]... [--attached] [--scratch]
#
#   --port N         the plaintext listener's port. Default: the one this data directory had before, else a free one.
#   --secure         adds a SASL_SSL listener (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER with unsecured tokens) whose
#                    certificate is signed by <data-dir>/tls/ca.pem, and an authorizer that denies what no ACL allows, and logs
#                    what it decides.
#                    The plaintext listener is the administrator's: its anonymous user is a super user.
#   --set key=value  a further broker property, or another value for one below.
#   --attached       stay until standard input ends or a signal comes, then stop the broker. A test process holds the other end of
#                    that pipe, so the broker cannot outlive it, however it dies.
#   --scratch        with --attached: kill the broker rather than stop it, and remove the data directory.
#
# Prints the bootstrap address (with --secure the SASL_SSL one on a second line) once the broker serves requests.
# Without --attached it then returns; stop.sh <data-dir> stops the broker. Started again on the same directory, it finds its data.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

usage() { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
data='' port=0 secure='' attached='' scratch='' extra=()
while [[ $# -gt 0 ]]; do
  case $1 in
    --port) port=${2:?}; shift ;;
    --set) extra+=("${2:?}"); shift ;;
    --secure) secure=yes ;;
    --attached) attached=yes ;;
    --scratch) scratch=yes ;;
    -*) usage ;;
    *) [[ -z $data ]] || usage; data=$1 ;;
  esac
  shift
done
[[ -n $data ]] || usage
mkdir -p "$data"
data=$(cd "$data" && pwd)

pid=$(cat "$data/broker.pid" 2>/dev/null || true)
if [[ -n $pid ]] && kill -0 "$pid" 2>/dev/null; then
  echo "a broker (process $pid) already runs on $data; stop it with: tests/kafka/stop.sh $data" >&2
  exit 1
fi
libs=$("$here/libs.sh")

# A free port below the range from which the kernel takes ports for outgoing connections, so that nobody gets it by accident
# between two starts. Two scripts may still draw the same one: the loser's broker says so and start() draws again.
free_port() {
  local try
  for try in $(seq 100); do
    try=$((12000 + (RANDOM * 32768 + RANDOM) % 18000))
    (exec 3<>"/dev/tcp/127.0.0.1/$try") 2>/dev/null || { echo "$try"; return; }
  done
  echo "no free port found" >&2
  return 1
}

# A certificate authority and a certificate for 127.0.0.1, as PEM.
make_certificates() {
  local tls=$data/tls
  mkdir -p "$tls"
  openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj '/CN=fairlead test CA' -keyout "$tls/ca.key" -out "$tls/ca.pem"
  openssl req -newkey rsa:2048 -nodes -subj '/CN=127.0.0.1' -keyout "$tls/broker.key" -out "$tls/broker.csr"
  openssl x509 -req -in "$tls/broker.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 30 -out "$tls/broker.pem" \
    -extfile <(echo 'subjectAltName=IP:127.0.0.1,DNS:localhost')
  cat "$tls/broker.key" "$tls/broker.pem" "$tls/ca.pem" >"$tls/keystore.pem"
}

secure_properties() {
  local plain='org.apache.kafka.common.security.plain.PlainLoginModule required'
  local user; for user in "${users[@]}"; do plain+=" user_$user=\"$user-secret\""; done
  cat <<END
ssl.keystore.type=PEM
ssl.keystore.location=$data/tls/keystore.pem
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl_ssl.plain.sasl.jaas.config=$plain;
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
# Who logged in by a token must log in anew before it expires, or is cut off.
listener.name.sasl_ssl.oauthbearer.connections.max.reauth.ms=3600000
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
END
}

write_properties() {
  local listeners="PLAINTEXT://127.0.0.1:$plaintext"
  [[ -z $secure ]] || listeners+=",SASL_SSL://127.0.0.1:$sasl"
  cat <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=$listeners,CONTROLLER://127.0.0.1:$controller
advertised.listeners=$listeners
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=$data/log
auto.create.topics.enable=false

# One node: internal topics have one replica, and few partitions, so that the first use of each is quick.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1

# A test waits for these: no pause before a group's first assignment, short sessions allowed, housekeeping every second
# rather than every ten seconds to five minutes. How a transaction or a group behaves is not changed by them.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.max.timeout.ms=900000
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
log.initial.task.delay.ms=1000
log.retention.check.interval.ms=1000
log.cleaner.backoff.ms=1000
log.segment.delete.delay.ms=1000

# Small: several brokers may run beside a build.
num.network.threads=2
num.io.threads=4
background.threads=2
log.cleaner.dedupe.buffer.size=8388608
END
  [[ -z $secure ]] || secure_properties
  [[ ${#extra[@]} -eq 0 ]] || printf '%s\n' "${extra[@]}"
}

format() {
  local scram=() user
  if [[ -n $secure ]]; then
    make_certificates >"$data/tls.log" 2>&1 || { cat "$data/tls.log" >&2; exit 1; }
    for user in "${users[@]}"; do
      scram+=(--add-scram "SCRAM-SHA-256=[name=$user,password=$user-secret]" --add-scram "SCRAM-SHA-512=[name=$user,password=$user-secret]")
    done
  fi
  write_properties >"$data/server.properties"
  "$here/tool.sh" kafka-storage format --config "$data/server.properties" --cluster-id "$(head -c 16 /dev/urandom | base64 | tr '+/' 'AA' | cut -c1-22)" \
    "${scram[@]}" >"$data/format.log" 2>&1 || { cat "$data/format.log" >&2; exit 1; }
}

# The process dies with this script when attached (the kernel sees to it), else it is on its own.
launch() {
  local keep=(setsid)
  [[ -z $attached ]] || keep=(setpriv --pdeathsig KILL)
  [[ ! -e $data/broker.log ]] || mv -f "$data/broker.log" "$data/broker.log.before"
  # shellcheck disable=SC2086  # several options in one variable
  "${keep[@]}" java ${KAFKA_HEAP_OPTS:--Xms256m -Xmx768m} -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -Djava.awt.headless=true -Dlevel=INFO ${secure:+-Dauthorizer=DEBUG} \
    -Dlog4j2.configurationFile="$here/log4j2.properties" -cp "$libs/*" kafka.Kafka "$data/server.properties" \
    </dev/null >/dev/null 2>"$data/broker.log" &
  broker=$!
  echo "$broker" >"$data/broker.pid"
}

# True when the broker serves requests; false when it ended before that.
ready() {
  local waited=0
  until grep -qs 'Kafka Server started' "$data/broker.log"; do
    kill -0 "$broker" 2>/dev/null || return 1
    [[ $((waited += 1)) -lt 1200 ]] || { kill -KILL "$broker"; echo "the broker was not ready after two minutes" >>"$data/broker.log"; return 1; }
    sleep 0.1
  done
}

start() {
  local try
  for try in 1 2 3 4 5; do
    if [[ -e $data/ports ]]; then
      read -r plaintext controller sasl <"$data/ports"
      [[ $port == 0 ]] || plaintext=$port
    else
      plaintext=$port
      [[ $port != 0 ]] || plaintext=$(free_port)
      controller=$(free_port) sasl=$(free_port)
    fi
    [[ -e $data/log/meta.properties ]] || format
    write_properties >"$data/server.properties"
    launch
    if ready; then
      echo "$plaintext $controller $sasl" >"$data/ports"
      return
    fi
    grep -q 'Address already in use' "$data/broker.log" || break
  done
  rm -f "$data/broker.pid"
  echo "Apache Kafka did not start; the end of its log:" >&2
  tail -n 30 "$data/broker.log" >&2
  exit 1
}

end() {
  local status=$?
  trap - EXIT INT TERM HUP
  if [[ -n $scratch ]]; then
    kill -KILL "$broker" 2>/dev/null || true
    wait "$broker" 2>/dev/null || true
    rm -rf "$data"
  else
    "$here/stop.sh" "$data"
  fi
  exit "$status"
}

users=(fairlead stranger)
broker=''
if [[ -n $attached ]]; then
  trap end EXIT INT TERM HUP
fi
start
echo "127.0.0.1:$plaintext"
[[ -z $secure ]] || echo "127.0.0.1:$sasl"
if [[ -n $attached ]]; then
  while read -r _; do :; done # until standard input ends
fi
