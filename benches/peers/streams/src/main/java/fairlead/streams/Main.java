package fairlead.streams;

import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

import java.io.IOException;
import java.io.InputStream;
import java.util.Properties;

/**
 * The topology of benches/backlog/topology/app.yaml, or that of benches/ospbench, on Kafka Streams. Arguments are properties, {@code name=value}: those of
 * {@code streams.properties} may be overridden; what begins with {@code peer.} says which of both, on which topics, with
 * which schemas.
 */
public final class Main {
    private static final ByteArrayDeserializer IN = new ByteArrayDeserializer();
    private static final ByteArraySerializer OUT = new ByteArraySerializer();

    private Main() {}

    public static void main(String[] arguments) throws IOException {
        Properties properties = new Properties();
        try (InputStream settings = Main.class.getResourceAsStream("/streams.properties")) {
            properties.load(settings);
        }
        for (String argument : arguments) {
            String[] pair = argument.split("=", 2);
            properties.setProperty(pair[0], pair[1]);
        }
        KafkaStreams streams = new KafkaStreams(topology(properties), properties);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_APPLICATION;
        });
        streams.setStateListener((state, before) -> {
            if (state == KafkaStreams.State.ERROR) {
                Runtime.getRuntime().halt(1); // a benchmark must not wait for what will not come
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static Topology topology(Properties properties) {
        String workload = properties.getProperty("peer.workload");
        return switch (workload) {
            case "oncall" -> oncall(properties);
            case "ospbench" -> ospbench(properties);
            default -> throw new IllegalArgumentException("peer.workload is oncall or ospbench, not " + workload);
        };
    }

    private static Topology oncall(Properties properties) {
        Oncall.Schemas schemas = new Oncall.Schemas(
                schema(properties, "alert"), schema(properties, "deploy"), schema(properties, "incident"));
        return new Topology()
                .addSource("alerts", IN, IN, topic(properties, "alert"))
                .addSource("deploys", IN, IN, topic(properties, "deploy"))
                .addProcessor("oncall", () -> new Oncall(schemas), "alerts", "deploys")
                .addStateStore(store(Oncall.LEVEL, State.serde(Levels.Memory::read)), "oncall")
                .addStateStore(store(Oncall.INCIDENT, State.serde(Incidents.Memory::read)), "oncall")
                .addStateStore(store(Oncall.SUSPECTS, State.serde(Suspects.Memory::read)), "oncall")
                .addStateStore(store(Oncall.TIMERS, Serdes.ByteArray()), "oncall")
                .addSink("incidents", topic(properties, "incident"), OUT, OUT, "oncall");
    }

    private static Topology ospbench(Properties properties) {
        Traffic.Schemas schemas = new Traffic.Schemas(
                schema(properties, "flow"), schema(properties, "speed"), schema(properties, "change"));
        return new Topology()
                .addSource("flows", IN, IN, topic(properties, "flow"))
                .addSource("speeds", IN, IN, topic(properties, "speed"))
                .addProcessor("traffic", () -> new Traffic(schemas), "flows", "speeds")
                .addStateStore(cached(Traffic.WAITING, Serdes.String(), Traffic.observations()), "traffic")
                .addStateStore(cached(Traffic.LANES, Serdes.String(), Traffic.lists()), "traffic")
                .addStateStore(cached(Traffic.CHANGES, Serdes.ByteArray(), State.serde(Changes.Memory::read)), "traffic")
                .addStateStore(store(Traffic.TIMERS, Serdes.ByteArray()), "traffic")
                .addSink("changes", topic(properties, "change"), OUT, OUT, "traffic");
    }

    /** What comes and goes between two commits is then written nowhere. */
    private static <K, V> StoreBuilder<?> cached(String name, Serde<K> keys, Serde<V> values) {
        return Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(name), keys, values).withCachingEnabled();
    }

    private static <V> StoreBuilder<?> store(String name, Serde<V> values) {
        return Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(name), Serdes.ByteArray(), values);
    }

    private static String topic(Properties properties, String fact) {
        return properties.getProperty("peer.topic." + fact);
    }

    private static int schema(Properties properties, String fact) {
        return Integer.parseInt(properties.getProperty("peer.schema." + fact));
    }
}
