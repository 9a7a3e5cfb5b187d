package fairlead.streams;

import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

import java.util.function.Function;

/**
 * What an operator remembers of one key; encoded as its schema in schemas/state/ says, with the timer in front.
 * Operators change it in place and say so.
 */
abstract class State {
    static final long NEVER = Long.MAX_VALUE;

    /** When the timer that stands for this key goes off: never later than its deadline. */
    long timerAt = NEVER;
    /** Since it was read. */
    boolean changed;

    abstract boolean isEmpty();

    abstract void write(AvroWriter out);

    static <S extends State> Serde<S> serde(Function<AvroReader, S> read) {
        // One serde serves the tasks of all threads.
        ThreadLocal<AvroWriter> writers = ThreadLocal.withInitial(AvroWriter::new);
        return Serdes.serdeFrom(
                (topic, state) -> {
                    if (state == null) {
                        return null;
                    }
                    AvroWriter out = writers.get();
                    out.clear();
                    out.writeLong(state.timerAt);
                    state.write(out);
                    return out.toBytes();
                },
                (topic, bytes) -> {
                    if (bytes == null) {
                        return null;
                    }
                    AvroReader in = new AvroReader(bytes, 0);
                    long timerAt = in.readLong();
                    S state = read.apply(in);
                    state.timerAt = timerAt;
                    return state;
                });
    }
}
