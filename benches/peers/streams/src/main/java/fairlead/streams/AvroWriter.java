package fairlead.streams;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.function.BiConsumer;

/** Avro's binary encoding, written field by field into one buffer that grows and is used again. */
final class AvroWriter {
    private byte[] bytes = new byte[1024];
    private int at;

    void clear() {
        at = 0;
    }

    byte[] toBytes() {
        return Arrays.copyOf(bytes, at);
    }

    /** Confluent's: a zero, and the schema's number. */
    void writeEnvelope(int schema) {
        makeRoom(5);
        bytes[at++] = 0;
        for (int shift = 24; shift >= 0; shift -= 8) {
            bytes[at++] = (byte) (schema >>> shift);
        }
    }

    void writeLong(long value) {
        makeRoom(10);
        long raw = (value << 1) ^ (value >> 63);
        while ((raw & ~0x7fL) != 0) {
            bytes[at++] = (byte) (raw | 0x80);
            raw >>>= 7;
        }
        bytes[at++] = (byte) raw;
    }

    void writeDouble(double value) {
        makeRoom(8);
        long raw = Double.doubleToRawLongBits(value);
        for (int shift = 0; shift < 64; shift += 8) {
            bytes[at++] = (byte) (raw >>> shift);
        }
    }

    void writeString(String text) {
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        writeLong(utf8.length);
        makeRoom(utf8.length);
        System.arraycopy(utf8, 0, bytes, at, utf8.length);
        at += utf8.length;
    }

    void writeEnum(Enum<?> symbol) {
        writeLong(symbol.ordinal());
    }

    void writeOptionalString(String text) {
        writeLong(text == null ? 0 : 1);
        if (text != null) {
            writeString(text);
        }
    }

    void writeOptionalLong(Long value) {
        writeLong(value == null ? 0 : 1);
        if (value != null) {
            writeLong(value);
        }
    }

    void writeOptionalDouble(Double value) {
        writeLong(value == null ? 0 : 1);
        if (value != null) {
            writeDouble(value);
        }
    }

    <T> void writeList(List<T> list, BiConsumer<AvroWriter, T> item) {
        if (!list.isEmpty()) {
            writeLong(list.size());
            list.forEach(one -> item.accept(this, one));
        }
        writeLong(0);
    }

    private void makeRoom(int length) {
        if (bytes.length - at < length) {
            bytes = Arrays.copyOf(bytes, Math.max(bytes.length * 2, at + length));
        }
    }
}
