// Java's own client and Avro against a broker, a registry and a running fairlead:
// JavaClient.java <bootstrap> <registry url> <alerts topic> <deploys topic> <incidents topic>
//
// Prints one line for each thing it tried, with what came of it; tests/it/conformance/java.rs compares them. What waits has a deadline.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.generic.GenericData;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class JavaClient {
    static final Duration PATIENCE = Duration.ofSeconds(40);
    static final Duration SLICE = Duration.ofMillis(100);
    static final String RUN = "java-" + UUID.randomUUID();

    final String bootstrap;
    final Registry registry;
    final Admin admin;

    public static void main(String[] args) throws Exception {
        var client = new JavaClient(args[0], new Registry(args[1]));
        client.administers();
        client.producesInOrder();
        client.commitsAndAborts();
        client.sharesCooperatively();
        client.tellsFairleadAndReadsItsIncidents(args[2], args[3], args[4]);
        client.admin.close(PATIENCE);
    }

    JavaClient(String bootstrap, Registry registry) {
        this.bootstrap = bootstrap;
        this.registry = registry;
        this.admin = Admin.create(Map.of("bootstrap.servers", bootstrap));
    }

    void administers() throws Exception {
        var topic = topic("admin", 2);
        try {
            admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1))).all().get();
        } catch (ExecutionException error) {
            tell("a topic created twice", error.getCause().getClass().getSimpleName());
        }
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        var change = new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all().get();
        until("the new retention is told", () -> "7200000".equals(config(resource, "retention.ms")));
        tell("its retention", config(resource, "retention.ms"));

        var partition = new TopicPartition(topic, 1);
        try (var producer = producer(Map.of())) {
            for (int number = 0; number < 10; number++) {
                producer.send(record(topic, 1, "k", "v" + number));
            }
        }
        admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(4))).all().get();
        tell("its offsets", offset(partition, OffsetSpec.earliest()), "to", offset(partition, OffsetSpec.latest()));
    }

    void producesInOrder() throws Exception {
        var topic = topic("order", 3);
        try (var producer = producer(Map.of("compression.type", "zstd"))) {
            for (int number = 0; number < 3000; number++) {
                producer.send(new ProducerRecord<>(topic, bytes("key-" + number % 7), bytes("" + number)));
            }
        }
        Map<String, List<Integer>> read = new HashMap<>();
        for (var record : read(topic, 3, 3000, "read_uncommitted")) {
            read.computeIfAbsent(text(record.key()), key -> new ArrayList<>()).add(Integer.valueOf(text(record.value())));
        }
        var inOrder = read.values().stream().allMatch(values -> values.stream().sorted().toList().equals(values));
        tell("idempotent", read.size(), "keys, each in order:", inOrder);
    }

    void commitsAndAborts() throws Exception {
        var topic = topic("transactions", 1);
        var partition = new TopicPartition(topic, 0);
        var group = RUN + ".transactions";
        var id = Map.<String, Object>of("transactional.id", RUN + ".id");
        var producer = producer(id);
        producer.initTransactions();
        for (var value : List.of("committed", "aborted", "committed too")) {
            producer.beginTransaction();
            producer.send(record(topic, 0, "k", value));
            try (var member = consumer(group, Map.of())) {
                var offset = new OffsetAndMetadata(value.equals("aborted") ? 99 : value.length());
                producer.sendOffsetsToTransaction(Map.of(partition, offset), member.groupMetadata());
            }
            if (value.equals("aborted")) {
                producer.abortTransaction();
            } else {
                producer.commitTransaction();
            }
        }
        tell("read committed", values(read(topic, 1, 2, "read_committed")));
        tell("read uncommitted", values(read(topic, 1, 3, "read_uncommitted")));
        try (var member = consumer(group, Map.of())) {
            tell("offset in the transaction", member.committed(Set.of(partition)).get(partition).offset());
        }
        try (var successor = producer(id)) {
            successor.initTransactions();
            try {
                producer.beginTransaction();
                producer.send(record(topic, 0, "k", "a zombie's"));
                producer.commitTransaction();
                tell("a zombie", "committed");
            } catch (ProducerFencedException | InvalidProducerEpochException error) {
                // By the coordinator, or by the partition's leader where that is asked first.
                tell("a zombie", "fenced");
            }
        }
        producer.close(Duration.ZERO);
    }

    void sharesCooperatively() throws Exception {
        var topic = topic("group", 4);
        var settings = Map.<String, Object>of(
                "partition.assignment.strategy", CooperativeStickyAssignor.class.getName(),
                "session.timeout.ms", "6000", "heartbeat.interval.ms", "500");
        var seen = new TreeSet<String>();
        try (var producer = producer(Map.of()); var first = consumer(RUN + ".group", settings)) {
            first.subscribe(List.of(topic));
            until("one has all", () -> take(first, seen).assignment().size() == 4);
            try (var second = consumer(RUN + ".group", settings)) {
                second.subscribe(List.of(topic));
                until("both have two", () -> {
                    take(first, seen);
                    return take(second, seen).assignment().size() == 2 && first.assignment().size() == 2;
                });
                for (int number = 0; number < 40; number++) {
                    producer.send(record(topic, number % 4, "k", "" + number));
                }
                producer.flush();
                until("both read", () -> {
                    take(first, seen);
                    take(second, seen);
                    return seen.size() == 40;
                });
                second.commitSync();
            }
            until("one has all again", () -> take(first, seen).assignment().size() == 4);
            first.commitSync();
        }
        var partitions = IntStream.range(0, 4).mapToObj(number -> new TopicPartition(topic, number)).collect(Collectors.toSet());
        try (var later = consumer(RUN + ".group", settings)) {
            var committed = later.committed(partitions).values().stream().mapToLong(OffsetAndMetadata::offset).sum();
            tell("cooperative-sticky", "read", seen.size(), "committed", committed);
        }
    }

    /** An alert and a deploy in Java's Avro, the incident with its suspects in fairlead's, and a field more while this reader runs. */
    void tellsFairleadAndReadsItsIncidents(String alerts, String deploys, String incidents) throws Exception {
        long now = System.currentTimeMillis();
        try (var producer = producer(Map.of()); var reader = consumer(RUN + ".incidents", Map.of("isolation.level", "read_committed"))) {
            reader.subscribe(List.of(incidents));
            var deploy = registry.latest(deploys + "-value");
            producer.send(new ProducerRecord<>(deploys, bytes("checkout"), deploy.encode(new GenericRecordBuilder(deploy.schema)
                    .set("id", "deploy-7").set("source", "java").set("service", "checkout").set("environment", "production")
                    .set("kind", symbol(deploy.schema, "kind", "deploy")).set("outcome", symbol(deploy.schema, "outcome", "succeeded"))
                    .set("version", "7").set("started_at_ms", now - 60_000).set("finished_at_ms", now - 50_000).build()))).get();
            var alert = registry.latest(alerts + "-value");
            producer.send(new ProducerRecord<>(alerts, bytes("checkout"), alert.encode(new GenericRecordBuilder(alert.schema)
                    .set("source", "java").set("fingerprint", "f-1").set("starts_at_ms", now)
                    .set("status", symbol(alert.schema, "status", "firing")).set("service", "checkout")
                    .set("name", "HighErrorRatio").set("environment", "production").build()))).get();

            // The reader was written when this was the schema: it stays with it.
            var old = registry.latest(incidents + "-value");
            var incident = next(reader, old.schema, "checkout");
            var suspects = (List<?>) incident.get("suspects");
            var suspect = suspects.stream().map(one -> ((GenericRecord) one).get("deploy_id")).toList();
            tell("incident of", incident.get("service"), incident.get("state"), "suspects", suspect);

            var evolved = registry.evolve(incidents + "-value", old.schema);
            var copy = new GenericRecordBuilder(evolved.schema);
            old.schema.getFields().forEach(field -> copy.set(field.name(), incident.get(field.name())));
            var record = copy.set("service", "evolved").set("told_by", "java").build();
            producer.send(new ProducerRecord<>(incidents, bytes("evolved"), evolved.encode(record))).get();
            var later = next(reader, old.schema, "evolved");
            tell("with a field more, to the old reader", later.get("service"), later.getSchema().getField("told_by"));
            var backwards = Written.decode(old.encode(incident), evolved.schema, old.schema);
            tell("the old one, to a new reader", backwards.get("service"), backwards.get("told_by"));
        }
    }

    /** The next record of this service; records of others, and what has no value, are passed over. */
    GenericRecord next(KafkaConsumer<byte[], byte[]> reader, Schema schema, String service) {
        var found = new ArrayList<GenericRecord>();
        until("a record of " + service, () -> {
            for (var record : reader.poll(SLICE)) {
                if (record.value() != null) {
                    var decoded = registry.decode(record.value(), schema);
                    if (service.equals(decoded.get("service").toString())) {
                        found.add(decoded);
                    }
                }
            }
            return !found.isEmpty();
        });
        return found.get(0);
    }

    static Object symbol(Schema record, String field, String symbol) {
        return new GenericData.EnumSymbol(record.getField(field).schema(), symbol);
    }

    String topic(String name, int partitions) throws Exception {
        var topic = RUN + "." + name;
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1))).all().get();
        return topic;
    }

    String config(ConfigResource resource, String name) {
        try {
            return admin.describeConfigs(List.of(resource)).all().get().get(resource).get(name).value();
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }

    long offset(TopicPartition partition, OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get().offset();
    }

    KafkaProducer<byte[], byte[]> producer(Map<String, Object> more) {
        var settings = new HashMap<String, Object>(Map.of("bootstrap.servers", bootstrap, "enable.idempotence", "true", "acks", "all"));
        settings.putAll(more);
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    KafkaConsumer<byte[], byte[]> consumer(String group, Map<String, Object> more) {
        var settings = new HashMap<String, Object>(Map.of(
                "bootstrap.servers", bootstrap, "group.id", group, "auto.offset.reset", "earliest", "enable.auto.commit", "false"));
        settings.putAll(more);
        return new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** All there is, of a topic that `count` readable records are on. */
    List<ConsumerRecord<byte[], byte[]>> read(String topic, int partitions, int count, String isolation) {
        var records = new ArrayList<ConsumerRecord<byte[], byte[]>>();
        try (var reader = consumer(RUN + ".reader", Map.of("isolation.level", isolation))) {
            var all = IntStream.range(0, partitions).mapToObj(number -> new TopicPartition(topic, number)).toList();
            reader.assign(all);
            reader.seekToBeginning(all);
            var ends = reader.endOffsets(all);
            until(count + " records of " + topic, () -> {
                reader.poll(SLICE).forEach(records::add);
                return all.stream().allMatch(partition -> reader.position(partition) >= ends.get(partition));
            });
        }
        return records;
    }

    static KafkaConsumer<byte[], byte[]> take(KafkaConsumer<byte[], byte[]> member, Set<String> seen) {
        member.poll(SLICE).forEach(record -> {
            if (!seen.add(text(record.value()))) {
                tell("twice", text(record.value()));
            }
        });
        return member;
    }

    static List<String> values(List<ConsumerRecord<byte[], byte[]>> records) {
        return records.stream().map(record -> text(record.value())).toList();
    }

    static ProducerRecord<byte[], byte[]> record(String topic, int partition, String key, String value) {
        return new ProducerRecord<>(topic, partition, bytes(key), bytes(value));
    }

    static void until(String what, BooleanSupplier done) {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (!done.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                System.err.println("waited in vain until: " + what);
                System.exit(1);
            }
        }
    }

    static void tell(Object what, Object... outcome) {
        System.out.println(what + ": " + Arrays.stream(outcome).map(String::valueOf).collect(Collectors.joining(" ")));
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    /** A schema and its id: what stands before every value. */
    record Written(int id, Schema schema) {
        byte[] encode(GenericRecord record) throws Exception {
            var out = new ByteArrayOutputStream();
            out.write(ByteBuffer.allocate(5).put((byte) 0).putInt(id).array());
            var encoder = EncoderFactory.get().binaryEncoder(out, null);
            new GenericDatumWriter<GenericRecord>(schema).write(record, encoder);
            encoder.flush();
            return out.toByteArray();
        }

        static GenericRecord decode(byte[] value, Schema reader, Schema writer) throws Exception {
            var decoder = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, null);
            return new GenericDatumReader<GenericRecord>(writer, reader).read(null, decoder);
        }
    }

    /** The calls of Confluent's serializers, by hand: their jars are not on Maven Central. */
    record Registry(String url, HttpClient http, ObjectMapper json, Map<Integer, Schema> known) {
        Registry(String url) {
            this(url, HttpClient.newHttpClient(), new ObjectMapper(), new HashMap<>());
        }

        Written latest(String subject) throws Exception {
            var told = ask(HttpRequest.newBuilder(URI.create(url + "/subjects/" + subject + "/versions/latest")).build());
            return new Written(told.get("id").asInt(), new Schema.Parser().parse(told.get("schema").asText()));
        }

        /** A version with one field more, which has a default. */
        Written evolve(String subject, Schema schema) throws Exception {
            var evolved = json.readTree(schema.toString());
            var field = json.createObjectNode().put("name", "told_by").put("type", "string").put("default", "nobody");
            ((ArrayNode) evolved.get("fields")).add(field);
            var body = json.createObjectNode().put("schema", evolved.toString()).put("schemaType", "AVRO").toString();
            var told = ask(HttpRequest.newBuilder(URI.create(url + "/subjects/" + subject + "/versions"))
                    .header("content-type", "application/vnd.schemaregistry.v1+json")
                    .POST(HttpRequest.BodyPublishers.ofString(body)).build());
            return new Written(told.get("id").asInt(), new Schema.Parser().parse(evolved.toString()));
        }

        GenericRecord decode(byte[] value, Schema reader) {
            try {
                int id = ByteBuffer.wrap(value).getInt(1);
                if (!known.containsKey(id)) {
                    var told = ask(HttpRequest.newBuilder(URI.create(url + "/schemas/ids/" + id)).build());
                    known.put(id, new Schema.Parser().parse(told.get("schema").asText()));
                }
                return Written.decode(value, reader, known.get(id));
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        }

        JsonNode ask(HttpRequest request) throws Exception {
            var answer = http.send(request, HttpResponse.BodyHandlers.ofString());
            if (answer.statusCode() != 200) {
                throw new IllegalStateException(request.uri() + ": " + answer.statusCode() + " " + answer.body());
            }
            return json.readTree(answer.body());
        }
    }
}
