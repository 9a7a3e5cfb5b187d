"""A consumer of fairlead's incidents with Confluent's Avro deserializer: incidents.py <bootstrap> <registry url> <alerts> <deploys> <incidents>

It was written when the incidents' schema was what the registry says at its start, and stays with that while the schema gets a field more.
Prints one line for each thing it tried, with what came of it; tests/it/consumers.rs compares them.
"""

import json
import sys
import time

from confluent_kafka import Consumer, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

BOOTSTRAP, REGISTRY, ALERTS, DEPLOYS, INCIDENTS = sys.argv[1:6]
PATIENCE = 30


def tell(what, *outcome):
    print(f"{what}:", *outcome, flush=True)


def next_of(reader, deserializer, service):
    """The next incident of a service, and its bytes."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        message = reader.poll(0.1)
        if message is None:
            continue
        assert not message.error(), message.error()
        value = deserializer(message.value(), SerializationContext(message.topic(), MessageField.VALUE))
        if value["service"] == service:
            return value, message.value()
    sys.exit(f"no incident of {service} came")


def main():
    registry = SchemaRegistryClient({"url": REGISTRY})
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True})

    def send(topic, value, schema=None, **settings):
        settings = settings or {"auto.register.schemas": False, "use.latest.version": True}
        serializer = AvroSerializer(registry, schema, conf=settings)
        producer.produce(topic, key=value["service"], value=serializer(value, SerializationContext(topic, MessageField.VALUE)))
        assert producer.flush(PATIENCE) == 0

    settings = {"bootstrap.servers": BOOTSTRAP, "group.id": f"{INCIDENTS}.python", "auto.offset.reset": "earliest", "isolation.level": "read_committed"}
    reader = Consumer(settings)
    reader.subscribe([INCIDENTS])
    old = registry.get_latest_version(f"{INCIDENTS}-value").schema.schema_str
    deserializer = AvroDeserializer(registry, old)

    now = int(time.time() * 1000)
    deploy = {"id": "deploy-7", "source": "python", "service": "checkout", "environment": "production", "kind": "deploy", "outcome": "succeeded"}
    send(DEPLOYS, deploy | {"version": "7", "started_at_ms": now - 60_000, "finished_at_ms": now - 50_000})
    alert = {"source": "python", "fingerprint": "f-1", "starts_at_ms": now, "status": "firing", "service": "checkout"}
    send(ALERTS, alert | {"name": "HighErrorRatio", "environment": "production"})
    incident, encoded = next_of(reader, deserializer, "checkout")
    suspects = [suspect["deploy_id"] for suspect in incident["suspects"]]
    tell("incident of", incident["service"], incident["state"], incident["alerts"][0]["name"], "suspects", suspects)

    evolved = json.loads(old)
    evolved["fields"].append({"name": "told_by", "type": "string", "default": "nobody"})
    evolved = json.dumps(evolved)
    send(INCIDENTS, incident | {"service": "evolved", "told_by": "python"}, evolved, **{"auto.register.schemas": True})
    later, _ = next_of(reader, deserializer, "evolved")
    tell("with a field more, to the old reader", later["service"], "told_by" in later)
    newer = AvroDeserializer(registry, evolved)(encoded, SerializationContext(INCIDENTS, MessageField.VALUE))
    tell("the old one, to a new reader", newer["service"], newer["told_by"])

    # Under the running fairlead too, which was built with the old schema and goes on writing it.
    send(ALERTS, alert | {"name": "Latency", "fingerprint": "f-2", "environment": "production"})
    again, _ = next_of(reader, deserializer, "checkout")
    tell("fairlead goes on", again["service"], [one["name"] for one in again["alerts"]])
    reader.close()


main()
