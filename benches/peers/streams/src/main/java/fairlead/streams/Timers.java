package fairlead.streams;

import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.TreeSet;

/**
 * Moments at which keys want to be woken, in order of time, stage and key.
 *
 * <p>A Streams store has no timers, so they lie in one, under keys that sort by time. What goes off within the next minute is held in
 * memory as well: a record that finds nothing due costs a comparison, and a range is opened once a minute of event time.
 */
final class Timers {
    private static final long AHEAD_MS = 60_000;
    private static final byte[] NOTHING = new byte[0];

    private final KeyValueStore<byte[], byte[]> store;
    private final TreeSet<byte[]> head = new TreeSet<>(Arrays::compareUnsigned);
    /** All timers before this are in the head. */
    private long horizon = Long.MIN_VALUE;

    record Timer(long at, int stage, byte[] key) {}

    Timers(KeyValueStore<byte[], byte[]> store) {
        this.store = store;
    }

    void add(long at, int stage, byte[] key) {
        byte[] entry = start(at, 9 + key.length).put((byte) stage).put(key).array();
        store.put(entry, NOTHING);
        if (at < horizon) {
            head.add(entry);
        }
    }

    /** The first that is due, which then is none any more; null if there is none. */
    Timer poll(long until) {
        if (until >= horizon) {
            look(until + AHEAD_MS);
        }
        if (head.isEmpty()) {
            return null;
        }
        ByteBuffer first = ByteBuffer.wrap(head.first());
        long at = first.getLong() ^ Long.MIN_VALUE;
        if (at > until) {
            return null;
        }
        store.delete(head.pollFirst());
        int stage = first.get();
        byte[] key = new byte[first.remaining()];
        first.get(key);
        return new Timer(at, stage, key);
    }

    private void look(long to) {
        try (KeyValueIterator<byte[], byte[]> all = store.range(start(horizon, 8).array(), start(to, 8).array())) {
            while (all.hasNext()) {
                KeyValue<byte[], byte[]> next = all.next();
                head.add(next.key);
            }
        }
        horizon = to;
    }

    /** With the sign turned, so that bytes sort as numbers do. */
    private static ByteBuffer start(long at, int length) {
        return ByteBuffer.allocate(length).putLong(at ^ Long.MIN_VALUE);
    }
}
