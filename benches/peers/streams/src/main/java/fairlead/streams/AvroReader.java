package fairlead.streams;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** Avro's binary encoding, read field by field in the order of the writer's schema: no reflection, no generic records. */
final class AvroReader {
    private final byte[] bytes;
    private int at;

    AvroReader(byte[] bytes, int from) {
        this.bytes = bytes;
        this.at = from;
    }

    long readLong() {
        long raw = 0;
        int shift = 0;
        byte next;
        do {
            next = bytes[at++];
            raw |= (long) (next & 0x7f) << shift;
            shift += 7;
        } while (next < 0);
        return (raw >>> 1) ^ -(raw & 1);
    }

    int readInt() {
        return (int) readLong();
    }

    double readDouble() {
        long raw = 0;
        for (int shift = 0; shift < 64; shift += 8) {
            raw |= (bytes[at++] & 0xffL) << shift;
        }
        return Double.longBitsToDouble(raw);
    }

    String readString() {
        int length = readInt();
        String text = new String(bytes, at, length, StandardCharsets.UTF_8);
        at += length;
        return text;
    }

    void skipString() {
        int length = readInt();
        at += length;
    }

    <T extends Enum<T>> T readEnum(T[] values) {
        return values[readInt()];
    }

    /** Of a union whose first branch is null. */
    boolean isPresent() {
        return readLong() != 0;
    }

    String readOptionalString() {
        return isPresent() ? readString() : null;
    }

    Long readOptionalLong() {
        return isPresent() ? (Long) readLong() : null;
    }

    Double readOptionalDouble() {
        return isPresent() ? (Double) readDouble() : null;
    }

    <T> List<T> readList(Function<AvroReader, T> item) {
        List<T> list = new ArrayList<>(4);
        for (long count = readCount(); count != 0; count = readCount()) {
            for (; count > 0; count--) {
                list.add(item.apply(this));
            }
        }
        return list;
    }

    Labels readLabels() {
        Labels labels = new Labels();
        for (long count = readCount(); count != 0; count = readCount()) {
            for (; count > 0; count--) {
                labels.add(readString(), readString());
            }
        }
        return labels;
    }

    /** Of the next block of an array or map; a negative one is followed by the block's length in bytes. */
    private long readCount() {
        long count = readLong();
        if (count < 0) {
            readLong();
        }
        return Math.abs(count);
    }
}
