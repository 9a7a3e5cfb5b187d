package fairlead.streams;

import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.BiConsumer;
import java.util.function.Function;
import java.util.function.ToLongFunction;

/**
 * OSPBench's join, tumbling and sliding window, as benches/ospbench/ defines them, on Kafka Streams. As in OSPBench's own, lanes are
 * gathered in a key-value store until all are there, and what was not completed is cleared out every ten seconds of stream time. Other
 * than there, all observations of a measurement point are in one partition already, so that no stage needs another topic; and what
 * waits in the sliding window is woken by its deadline, as in ours.
 */
final class Traffic implements Processor<byte[], byte[], byte[], byte[]> {
    static final String WAITING = "waiting";
    static final String LANES = "lanes";
    static final String CHANGES = "changes";
    static final String TIMERS = "timers";

    static final long INTERVAL_MS = 1_000;
    private static final long GRACE_MS = 5_000;
    private static final Duration CLEARED_EVERY = Duration.ofSeconds(10);
    private static final int ENVELOPE_BYTES = 5;

    /** Schema numbers of what is read and written. */
    record Schemas(int flow, int speed, int change) {}

    private final Schemas schemas;
    private final Changes changes = new Changes();
    private final AvroWriter out = new AvroWriter();
    private ProcessorContext<byte[], byte[]> context;
    /** By measurement point, lane, interval and kind. */
    private KeyValueStore<String, Observation> waiting;
    /** By measurement point and interval. */
    private KeyValueStore<String, List<LaneReading>> lanes;
    private Stage<Changes.Memory, Change> stage;
    private Timers timers;

    Traffic(Schemas schemas) {
        this.schemas = schemas;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        waiting = context.getStateStore(WAITING);
        lanes = context.getStateStore(LANES);
        timers = new Timers(context.getStateStore(TIMERS));
        stage = new Stage<>(
                0, changes, () -> new Changes.Memory(new ArrayList<>(8), new ArrayList<>(2)), context.getStateStore(CHANGES),
                timers);
        context.schedule(CLEARED_EVERY, PunctuationType.STREAM_TIME, now -> {
            clear(waiting, Observation::timestamp, now);
            clear(lanes, list -> list.get(0).timestamp(), now);
        });
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        fireUntil(record.timestamp());
        int schema = ByteBuffer.wrap(record.value()).getInt(1);
        AvroReader in = new AvroReader(record.value(), ENVELOPE_BYTES);
        boolean isFlow = schema == schemas.flow;
        if (!isFlow && schema != schemas.speed) {
            throw new IllegalArgumentException("schema " + schema + " is neither a flow's nor a speed's");
        }
        Observation told =
                isFlow ? Observation.readFlow(in, record.timestamp()) : Observation.readSpeed(in, record.timestamp());
        if (isClosed(told.timestamp(), told.at())) {
            return;
        }
        String lane = told.measurementId() + '/' + told.lane() + '/' + told.timestamp() + '/';
        String partnerKey = lane + (isFlow ? "speed" : "flow");
        Observation partner = waiting.get(partnerKey);
        if (partner == null || Math.abs(partner.at() - told.at()) > INTERVAL_MS) {
            waiting.put(lane + (isFlow ? "flow" : "speed"), told);
            return;
        }
        waiting.delete(partnerKey);
        gather(record, told.measurementId(), isFlow ? LaneReading.of(told, partner) : LaneReading.of(partner, told));
    }

    private void gather(Record<byte[], byte[]> record, String measurementId, LaneReading reading) {
        if (reading.numLanes() == 1) {
            compare(record, Aggregate.of(measurementId, List.of(reading)));
            return;
        }
        String key = measurementId + '/' + reading.timestamp();
        List<LaneReading> known = lanes.get(key);
        List<LaneReading> all = known == null ? new ArrayList<>(4) : known;
        all.add(reading);
        if (all.stream().allMatch(lane -> lane.numLanes() == all.size())) {
            lanes.delete(key);
            all.sort(Comparator.comparing(LaneReading::lane));
            compare(record, Aggregate.of(measurementId, all));
        } else {
            lanes.put(key, all);
        }
    }

    private void compare(Record<byte[], byte[]> record, Aggregate aggregate) {
        byte[] key = record.key();
        long at = record.timestamp();
        Changes.Memory memory = stage.load(key);
        changes.decide(memory, aggregate, at, change -> forward(key, change, at));
        stage.save(key, memory);
    }

    /** Each with its own time. */
    private void fireUntil(long until) {
        for (Timers.Timer timer = timers.poll(until); timer != null; timer = timers.poll(until)) {
            byte[] key = timer.key();
            long at = timer.at();
            stage.goOff(key, at, change -> forward(key, change, at));
        }
    }

    private void forward(byte[] key, Change change, long at) {
        out.clear();
        out.writeEnvelope(schemas.change);
        change.write(out);
        context.forward(new Record<>(key, out.toBytes(), at));
    }

    private static boolean isClosed(long timestamp, long at) {
        return at >= closesAt(timestamp);
    }

    static long closesAt(long timestamp) {
        return timestamp + INTERVAL_MS + GRACE_MS;
    }

    private static <V> void clear(KeyValueStore<String, V> store, ToLongFunction<V> timestamp, long now) {
        try (KeyValueIterator<String, V> all = store.all()) {
            while (all.hasNext()) {
                KeyValue<String, V> entry = all.next();
                if (isClosed(timestamp.applyAsLong(entry.value), now)) {
                    store.delete(entry.key);
                }
            }
        }
    }

    static Serde<Observation> observations() {
        return serde(Observation::read, (out, observation) -> observation.write(out));
    }

    static Serde<List<LaneReading>> lists() {
        return serde(
                in -> in.readList(LaneReading::read),
                (out, list) -> out.writeList(list, (writer, lane) -> lane.write(writer)));
    }

    private static <V> Serde<V> serde(Function<AvroReader, V> read, BiConsumer<AvroWriter, V> write) {
        // One serde serves the tasks of all threads.
        ThreadLocal<AvroWriter> writers = ThreadLocal.withInitial(AvroWriter::new);
        return Serdes.serdeFrom(
                (topic, value) -> {
                    if (value == null) {
                        return null;
                    }
                    AvroWriter out = writers.get();
                    out.clear();
                    write.accept(out, value);
                    return out.toBytes();
                },
                (topic, bytes) -> bytes == null ? null : read.apply(new AvroReader(bytes, 0)));
    }
}
