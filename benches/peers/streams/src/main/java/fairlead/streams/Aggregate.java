package fairlead.streams;

import java.util.List;
import java.util.function.ToIntFunction;

/** All lanes of a measurement point and interval. */
record Aggregate(
        String measurementId, List<String> lanes, long timestamp, double latitude, double longitude, int flow, int period,
        int flowAccuracy, double speed, int speedAccuracy, int numLanes, long publishedAt) {

    /** Of lanes in their order: as the operator adds up. */
    static Aggregate of(String measurementId, List<LaneReading> lanes) {
        LaneReading first = lanes.get(0);
        int flow = 0;
        double speed = 0;
        long publishedAt = 0;
        for (LaneReading lane : lanes) {
            flow += lane.flow();
            speed += lane.speed();
            publishedAt = Math.max(publishedAt, lane.publishedAt());
        }
        return new Aggregate(
                measurementId, lanes.stream().map(LaneReading::lane).toList(), first.timestamp(), first.latitude(),
                first.longitude(), flow, same(lanes, LaneReading::period), same(lanes, LaneReading::flowAccuracy),
                speed / lanes.size(), same(lanes, LaneReading::speedAccuracy), first.numLanes(), publishedAt);
    }

    /** -1 if they differ. */
    private static int same(List<LaneReading> lanes, ToIntFunction<LaneReading> field) {
        int first = field.applyAsInt(lanes.get(0));
        return lanes.stream().allMatch(lane -> field.applyAsInt(lane) == first) ? first : -1;
    }

    static Aggregate read(AvroReader in) {
        return new Aggregate(
                in.readString(), in.readList(AvroReader::readString), in.readLong(), in.readDouble(), in.readDouble(), in.readInt(),
                in.readInt(), in.readInt(), in.readDouble(), in.readInt(), in.readInt(), in.readLong());
    }

    void write(AvroWriter out) {
        out.writeString(measurementId);
        out.writeList(lanes, AvroWriter::writeString);
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
