package fairlead.streams;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.function.Consumer;

/** OSPBench's sliding window, rule by rule as benches/ospbench/change.rs. */
final class Changes implements Operator<Changes.Memory, Change> {
    private static final long SHORT_TERM_MS = Traffic.INTERVAL_MS;
    private static final long LONG_TERM_MS = 2 * Traffic.INTERVAL_MS;

    /** What later aggregates need of one. */
    record Earlier(long timestamp, int flow, double speed) {
        static Earlier read(AvroReader in) {
            return new Earlier(in.readLong(), in.readInt(), in.readDouble());
        }

        void write(AvroWriter out) {
            out.writeLong(timestamp);
            out.writeLong(flow);
            out.writeDouble(speed);
        }
    }

    static final class Memory extends State {
        final List<Earlier> earlier;
        final List<Aggregate> waiting;

        Memory(List<Earlier> earlier, List<Aggregate> waiting) {
            this.earlier = earlier;
            this.waiting = waiting;
        }

        static Memory read(AvroReader in) {
            return new Memory(in.readList(Earlier::read), in.readList(Aggregate::read));
        }

        @Override
        boolean isEmpty() {
            return earlier.isEmpty() && waiting.isEmpty();
        }

        @Override
        void write(AvroWriter out) {
            out.writeList(earlier, (writer, one) -> one.write(writer));
            out.writeList(waiting, (writer, one) -> one.write(writer));
        }

        Earlier at(long timestamp) {
            for (Earlier one : earlier) {
                if (one.timestamp == timestamp) {
                    return one;
                }
            }
            return null;
        }

        /** When the last of the intervals that it misses closes. */
        long waitsUntil(Aggregate aggregate) {
            long timestamp = aggregate.timestamp();
            if (at(timestamp - SHORT_TERM_MS) == null) {
                return Traffic.closesAt(timestamp - SHORT_TERM_MS);
            }
            return at(timestamp - LONG_TERM_MS) == null ? Traffic.closesAt(timestamp - LONG_TERM_MS) : Long.MIN_VALUE;
        }
    }

    void decide(Memory memory, Aggregate aggregate, long at, Consumer<Change> tell) {
        memory.changed = true;
        forget(memory, at);
        memory.earlier.add(new Earlier(aggregate.timestamp(), aggregate.flow(), aggregate.speed()));
        tellUntil(memory, Long.MIN_VALUE, tell);
        if (memory.waitsUntil(aggregate) == Long.MIN_VALUE) {
            tell.accept(change(memory, aggregate));
        } else {
            memory.waiting.add(aggregate);
        }
    }

    @Override
    public long deadline(Memory memory) {
        if (memory.earlier.isEmpty()) {
            return State.NEVER;
        }
        long newest = Long.MIN_VALUE;
        for (Earlier one : memory.earlier) {
            newest = Math.max(newest, one.timestamp);
        }
        long first = Traffic.closesAt(newest + LONG_TERM_MS);
        for (Aggregate aggregate : memory.waiting) {
            first = Math.min(first, memory.waitsUntil(aggregate));
        }
        return first;
    }

    @Override
    public void due(Memory memory, long at, Consumer<Change> tell) {
        tellUntil(memory, at, tell);
        forget(memory, at);
    }

    private static void tellUntil(Memory memory, long until, Consumer<Change> tell) {
        for (Iterator<Aggregate> all = memory.waiting.iterator(); all.hasNext(); ) {
            Aggregate aggregate = all.next();
            if (memory.waitsUntil(aggregate) <= until) {
                all.remove();
                tell.accept(change(memory, aggregate));
            }
        }
    }

    private static void forget(Memory memory, long at) {
        memory.earlier.removeIf(one -> Traffic.closesAt(one.timestamp + LONG_TERM_MS) <= at);
    }

    private static Change change(Memory memory, Aggregate now) {
        return new Change(now, against(memory, now, SHORT_TERM_MS), against(memory, now, LONG_TERM_MS));
    }

    private static Change.Relative against(Memory memory, Aggregate now, long term) {
        Earlier then = memory.at(now.timestamp() - term);
        return then == null ? null : Change.Relative.of(now, then);
    }
}
