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
 * The topology of benches/backlog/topology/app.yaml on Kafka Streams. Arguments are properties, {@code name=value}: those of
 * {@code streams.properties} may be overridden; what begins with {@code peer.} says which topics and schemas.
 */
public final class Main {
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
        Oncall.Schemas schemas = new Oncall.Schemas(
                number(properties, "peer.schema.alert"), number(properties, "peer.schema.deploy"),
                number(properties, "peer.schema.incident"));
        ByteArrayDeserializer in = new ByteArrayDeserializer();
        ByteArraySerializer out = new ByteArraySerializer();
        return new Topology()
                .addSource("alerts", in, in, properties.getProperty("peer.alerts"))
                .addSource("deploys", in, in, properties.getProperty("peer.deploys"))
                .addProcessor("oncall", () -> new Oncall(schemas), "alerts", "deploys")
                .addStateStore(store(Oncall.LEVEL, State.serde(Levels.Memory::read)), "oncall")
                .addStateStore(store(Oncall.INCIDENT, State.serde(Incidents.Memory::read)), "oncall")
                .addStateStore(store(Oncall.SUSPECTS, State.serde(Suspects.Memory::read)), "oncall")
                .addStateStore(store(Oncall.TIMERS, Serdes.ByteArray()), "oncall")
                .addSink("incidents", properties.getProperty("peer.incidents"), out, out, "oncall");
    }

    private static <V> StoreBuilder<?> store(String name, Serde<V> values) {
        return Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore(name), Serdes.ByteArray(), values);
    }

    private static int number(Properties properties, String name) {
        return Integer.parseInt(properties.getProperty(name));
    }
}
