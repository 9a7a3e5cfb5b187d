package fairlead.streams;

/** Flow and speed of a lane, joined. */
record LaneReading(
        String lane, long timestamp, double latitude, double longitude, int flow, int period, int flowAccuracy, double speed,
        int speedAccuracy, int numLanes, long publishedAt) {

    static LaneReading of(Observation flow, Observation speed) {
        return new LaneReading(
                flow.lane(), flow.timestamp(), flow.latitude(), flow.longitude(), flow.flow(), flow.period(), flow.accuracy(),
                speed.speed(), speed.accuracy(), flow.numLanes() == speed.numLanes() ? flow.numLanes() : -1,
                Math.max(flow.at(), speed.at()));
    }

    static LaneReading read(AvroReader in) {
        return new LaneReading(
                in.readString(), in.readLong(), in.readDouble(), in.readDouble(), in.readInt(), in.readInt(), in.readInt(),
                in.readDouble(), in.readInt(), in.readInt(), in.readLong());
    }

    void write(AvroWriter out) {
        out.writeString(lane);
        out.writeLong(timestamp);
        out.writeDouble(latitude);
        out.writeDouble(longitude);
        out.writeLong(flow);
        out.writeLong(period);
        out.writeLong(flowAccuracy);
        out.writeDouble(speed);
        out.writeLong(speedAccuracy);
        out.writeLong(numLanes);
        out.writeLong(publishedAt);
    }
}
