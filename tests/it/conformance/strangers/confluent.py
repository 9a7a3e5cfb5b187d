"""Confluent's Python client against a broker and a registry: confluent.py <bootstrap> <registry url>

Prints one line for each thing it tried, with what came of it; tests/it/conformance/strangers.rs compares them. What waits has a deadline.
"""

import sys
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic
from confluent_kafka.schema_registry import SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

BOOTSTRAP, REGISTRY = sys.argv[1:3]
PATIENCE = 30


def tell(what, *outcome):
    print(f"{what}:", *outcome, flush=True)


def until(what, done):
    deadline = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > deadline:
            sys.exit(f"waited in vain until {what}")


def consumer(group, **more):
    settings = {"bootstrap.servers": BOOTSTRAP, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    return Consumer(settings | {name.replace("_", "."): value for name, value in more.items()})


def read(group, topic, count, **more):
    """The values of the first `count` records, and whether anything came after them."""
    reader, values = consumer(group, enable_partition_eof=True, **more), []
    ends = []
    reader.subscribe([topic])

    def poll():
        message = reader.poll(0.1)
        if message is None:
            return False
        if message.error():
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            ends.append(message.partition())
        else:
            values.append(message.value().decode())
        return len(values) >= count and len(ends) > 0

    until(f"{count} records of {topic} are read", poll)
    reader.commit(asynchronous=False)
    reader.close()
    return values


def administer():
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    created = admin.create_topics([NewTopic("py-plain", 1), NewTopic("py-txn", 1), NewTopic("py-shared", 4), NewTopic("py-avro", 1)])
    for future in created.values():
        future.result(PATIENCE)
    again = admin.create_topics([NewTopic("py-plain", 1)])["py-plain"]
    try:
        again.result(PATIENCE)
    except KafkaException as refused:
        tell("a topic created twice", refused.args[0].name())
    described = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, "py-plain")])
    configs = list(described.values())[0].result(PATIENCE)
    tell("its retention", configs["retention.ms"].value, configs["retention.ms"].is_default)
    tell("the cluster", len(admin.describe_cluster().result(PATIENCE).nodes), "node")


def idempotent():
    reports = []
    producer = Producer({"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True, "compression.type": "zstd"})
    for number in range(1000):
        producer.produce("py-plain", str(number), key=f"k{number % 7}", headers={"n": str(number)}, callback=lambda error, message: reports.append((error, message.offset())))
        producer.poll(0)
    assert producer.flush(PATIENCE) == 0
    tell("idempotent", sorted(reports, key=lambda report: report[1]) == [(None, offset) for offset in range(1000)])
    tell("read back in order", read("py-plain", "py-plain", 1000) == [str(number) for number in range(1000)])


def transactional():
    settings = {"bootstrap.servers": BOOTSTRAP, "transactional.id": "py"}
    producer = Producer(settings)
    producer.init_transactions(PATIENCE)
    for outcome in ["committed", "aborted", "committed too"]:
        producer.begin_transaction()
        producer.produce("py-txn", outcome)
        producer.flush(PATIENCE)
        producer.abort_transaction(PATIENCE) if outcome == "aborted" else producer.commit_transaction(PATIENCE)
    tell("read committed", read("py-committed", "py-txn", 2))
    tell("read uncommitted", read("py-uncommitted", "py-txn", 3, isolation_level="read_uncommitted"))

    # Consume, transform, produce: the group's offsets go with the transaction.
    reader = consumer("py-transform")
    reader.subscribe(["py-txn"])
    taken = []
    until("both committed records are taken", lambda: [taken.append(m.value()) for m in reader.consume(10, 0.2)] and len(taken) == 2)
    producer.begin_transaction()
    producer.produce("py-txn", "transformed")
    producer.send_offsets_to_transaction(reader.position(reader.assignment()), reader.consumer_group_metadata(), PATIENCE)
    producer.commit_transaction(PATIENCE)
    tell("offset in the transaction", reader.committed([TopicPartition("py-txn", 0)], PATIENCE)[0].offset)
    reader.close()

    Producer(settings).init_transactions(PATIENCE)
    try:
        producer.begin_transaction()
        producer.produce("py-txn", "a zombie's")
        producer.commit_transaction(PATIENCE)
    except KafkaException as refused:
        tell("a zombie", refused.args[0].name(), "fatal" if refused.args[0].fatal() else "not fatal")


def shared(strategy):
    """Two members split four partitions; when one leaves, the other has all; every record is read once."""
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    group = f"py-{strategy}"
    members = [consumer(group, partition_assignment_strategy=strategy) for _ in range(2)]
    values = []

    def poll():
        for member in members:
            values.extend(message.value().decode() for message in member.consume(10, 0.05) if not message.error())

    def split():
        poll()
        return [len(member.assignment()) for member in members] == [4 // len(members)] * len(members)

    for member in members:
        member.subscribe(["py-shared"])
    until(f"{strategy} has split the partitions", split)
    partitions = sorted(part.partition for member in members for part in member.assignment())
    members.pop().close()
    until(f"{strategy} has given all to who stayed", split)
    for number in range(8):
        producer.produce("py-shared", f"{strategy} {number}", partition=number % 4)
    assert producer.flush(PATIENCE) == 0

    def all_read():
        poll()
        return len([value for value in values if value.startswith(strategy)]) >= 8

    until(f"{strategy} has read all", all_read)
    members[0].close()
    once = sorted(value for value in values if value.startswith(strategy)) == [f"{strategy} {number}" for number in range(8)]
    return f"{strategy} split {partitions}, then one had 4, each record once: {once}"


def avro():
    registry = SchemaRegistryClient({"url": REGISTRY})
    schema = '{"type":"record","name":"Alert","fields":[{"name":"service","type":"string"},{"name":"value","type":"double"}]}'
    serialize, deserialize = AvroSerializer(registry, schema), AvroDeserializer(SchemaRegistryClient({"url": REGISTRY}))
    context = SerializationContext("py-avro", MessageField.VALUE)
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    producer.produce("py-avro", serialize({"service": "checkout", "value": 0.5}, context))
    assert producer.flush(PATIENCE) == 0
    reader = consumer("py-avro")
    reader.subscribe(["py-avro"])
    got = []
    until("the Avro record is read", lambda: got.extend(reader.consume(1, 0.2)) or got)
    reader.close()
    tell("avro", got[0].value()[:5].hex(), deserialize(got[0].value(), context))
    latest = registry.get_latest_version("py-avro-value")
    tell("its subject", registry.get_subjects(), latest.version, latest.schema_id)
    wrong = schema.replace('"double"', '"string"')
    try:
        AvroSerializer(registry, wrong)({"service": "checkout", "value": "x"}, context)
    except SchemaRegistryError as refused:
        tell("an incompatible schema", refused.http_status_code, refused.error_code)


administer()
# Groups take their time: they settle while the rest goes on.
groups = {}
threads = [threading.Thread(target=lambda name=name: groups.update({name: shared(name)})) for name in ["range", "cooperative-sticky"]]
for thread in threads:
    thread.start()
idempotent()
transactional()
avro()
for thread in threads:
    thread.join(PATIENCE)
for name in sorted(groups):
    tell("group", groups[name])
