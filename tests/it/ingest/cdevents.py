"""Writes to topics that fairlead only reads, with Confluent's client: cdevents.py <bootstrap> <topic of CloudEvents> <topic of Alertmanager>

CDEvents in both modes of CloudEvents' Kafka binding, slowly enough to be interrupted; in between a transaction that is aborted, one that is
committed, what is of others, a tombstone, and one with a version that is longer than the test's topology takes.
"""

import json
import sys
import time

from confluent_kafka import Producer

BOOTSTRAP, TOPIC, EVENTS = sys.argv[1:4]
COUNT = 400
TYPE = "dev.cdevents.service.deployed.0.2.0"


def cdevent(id, version="v1"):
    content = {"environment": {"id": "production"}, "artifactId": version}
    context = {"specversion": "0.5.0", "id": id, "source": "/argo/prod", "type": TYPE, "timestamp": "2026-11-23T08:59:00Z"}
    return {"context": context, "subject": {"id": f"service-{hash(id) % 7}", "source": "/argo/prod", "content": content}}


def binary(id, version="v1"):
    headers = {"ce_specversion": "1.0", "ce_id": id, "ce_source": "/argo/prod", "ce_type": TYPE, "content-type": "application/json"}
    return {"value": json.dumps(cdevent(id, version)), "headers": list(headers.items())}


def structured(id):
    envelope = {"specversion": "1.0", "id": id, "source": "/argo/prod", "type": TYPE, "data": cdevent(id)}
    return {"value": json.dumps(envelope), "headers": [("content-type", "application/cloudevents+json; charset=UTF-8")]}


def transaction(name, commit):
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "transactional.id": f"{TOPIC}-{name}"})
    producer.init_transactions(30)
    producer.begin_transaction()
    for number in range(20):
        producer.produce(TOPIC, partition=number % 2, **binary(f"{name}-{number}"))
    producer.flush(30)
    producer.commit_transaction(30) if commit else producer.abort_transaction(30)


def alert(labels, **more):
    told = {"fingerprint": "16203708024416470498", "labels": labels, "startsAt": "2026-11-23T08:59:00Z", "endsAt": "2026-11-23T09:03:00Z"}
    return told | more


def event(data):
    return json.dumps({"@timestamp": "2026-11-23T09:00:05Z", "instance": "am-0", "data": data, "clusterPosition": "1"}) + "\n"


def main():
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True})
    labels = {"alertname": "HighErrorRatio", "service": "checkout", "severity": "critical"}
    pairs = {"labels": [{"key": key, "value": value} for key, value in labels.items()]}
    ended = {"endsAt": "2026-11-23T09:00:00Z", "resolved": True}
    for data in [
        {"alertmanagerStartupEvent": {"version": "0.34.0"}},
        {"alertCreated": {"alert": alert(labels)}},
        {"alertResolved": {"alert": {"hash": "7", "details": alert(pairs, **ended)}, "groupInfo": {"groupKey": "{}"}}},
    ]:
        producer.produce(EVENTS, key="am-0", value=event(data))
    for number in range(COUNT):
        if number == COUNT // 2:
            producer.flush(30)
            transaction("aborted", commit=False)
            transaction("committed", commit=True)
            producer.produce(TOPIC, partition=0, key="forgotten", value=None)
            producer.produce(TOPIC, partition=0, value="bytes", headers=[("ce_specversion", "1.0"), ("ce_id", "1"), ("ce_source", "/shop"), ("ce_type", "com.example.ordered")])
            producer.produce(TOPIC, partition=0, **binary("long", "v" * 150))
        write = binary if number % 4 < 2 else structured
        producer.produce(TOPIC, partition=number % 2, **write(f"event-{number}"))
        producer.poll(0.01)
    assert producer.flush(30) == 0


main()
