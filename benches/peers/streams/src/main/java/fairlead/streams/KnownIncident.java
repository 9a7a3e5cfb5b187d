package fairlead.streams;

/** An incident, as src/operator/suspects.rs remembers it. */
record KnownIncident(int toldVersion, long onsetAt, Long reopenedAt, Incident snapshot) {
    private static final long DAY_MS = 86_400_000;

    boolean isOpen() {
        return snapshot.state == Incident.State.OPEN;
    }

    long forgottenAt() {
        return snapshot.changedAt + (isOpen() ? 7 * DAY_MS : DAY_MS);
    }

    static KnownIncident read(AvroReader in) {
        return new KnownIncident(in.readInt(), in.readLong(), in.readOptionalLong(), Incident.read(in));
    }

    void write(AvroWriter out) {
        out.writeLong(toldVersion);
        out.writeLong(onsetAt);
        out.writeOptionalLong(reopenedAt);
        snapshot.write(out);
    }
}
