package fairlead.streams;

/** An aggregate and how it changed; null: there is no aggregate of then. */
record Change(Aggregate aggregate, Relative shortTerm, Relative longTerm) {

    /** Null: there was nothing. */
    record Relative(Double flow, Double speed) {
        static Relative of(Aggregate now, Changes.Earlier then) {
            // In the order of the operator: the difference, of flows as a whole number, then one division.
            double flow = (double) (now.flow() - then.flow()) / then.flow();
            double speed = (now.speed() - then.speed()) / then.speed();
            return new Relative(then.flow() == 0 ? null : flow, then.speed() == 0 ? null : speed);
        }
    }

    void write(AvroWriter out) {
        out.writeString(aggregate.measurementId());
        out.writeLong(aggregate.publishedAt());
        aggregate.write(out);
        write(out, shortTerm);
        write(out, longTerm);
    }

    private static void write(AvroWriter out, Relative relative) {
        out.writeLong(relative == null ? 0 : 1);
        if (relative != null) {
            out.writeOptionalDouble(relative.flow());
            out.writeOptionalDouble(relative.speed());
        }
    }
}
