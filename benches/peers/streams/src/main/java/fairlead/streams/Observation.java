package fairlead.streams;

/** benches/ospbench/schemas: a flow or a speed, and when it was published. What only the other of them has is 0. */
record Observation(
        String measurementId, String lane, long timestamp, double latitude, double longitude, int flow, int period, double speed,
        int accuracy, int numLanes, long at) {

    /** Java evaluates arguments from left to right: in the order of the schema. */
    static Observation readFlow(AvroReader in, long at) {
        return new Observation(
                in.readString(), in.readString(), in.readLong(), in.readDouble(), in.readDouble(), in.readInt(), in.readInt(), 0,
                in.readInt(), in.readInt(), at);
    }

    static Observation readSpeed(AvroReader in, long at) {
        return new Observation(
                in.readString(), in.readString(), in.readLong(), in.readDouble(), in.readDouble(), 0, 0, in.readDouble(),
                in.readInt(), in.readInt(), at);
    }

    /** As it waits for its partner. */
    static Observation read(AvroReader in) {
        return new Observation(
                in.readString(), in.readString(), in.readLong(), in.readDouble(), in.readDouble(), in.readInt(), in.readInt(),
                in.readDouble(), in.readInt(), in.readInt(), in.readLong());
    }

    void write(AvroWriter out) {
        out.writeString(measurementId);
        out.writeString(lane);
        out.writeLong(timestamp);
        out.writeDouble(latitude);
        out.writeDouble(longitude);
        out.writeLong(flow);
        out.writeLong(period);
        out.writeDouble(speed);
        out.writeLong(accuracy);
        out.writeLong(numLanes);
        out.writeLong(at);
    }
}
