package fairlead.streams;

/** One alert of an incident, as src/operator/incident/memory.rs remembers it. */
final class TrackedAlert implements Comparable<TrackedAlert> {
    enum Phase { FIRING, QUIET, RESOLVED, EXPIRED }

    private static final Phase[] PHASES = Phase.values();
    private static final int NAME_CHARS_MAX = 200;
    private static final int SUMMARY_CHARS_MAX = 500;

    String fingerprint;
    Phase phase;
    long toldAt;
    String name;
    Alert.Level level;
    long startsAt;
    Long endsAt;
    int repeats;
    Double value;
    String summary;
    String generatorUrl;
    Long mutedUntil;
    String mutedBy;

    /** `before` may be null: its first telling. */
    static TrackedAlert next(TrackedAlert before, Alert alert, String fingerprint, Alert.Level level, long at) {
        TrackedAlert next = new TrackedAlert();
        next.fingerprint = fingerprint;
        next.phase = Phase.FIRING;
        next.toldAt = before == null ? at : Math.max(at, before.toldAt);
        next.name = Words.clipped(alert.name, NAME_CHARS_MAX);
        next.level = level;
        next.startsAt = alert.startsAt;
        next.repeats = before == null ? 1 : before.repeats + 1;
        next.value = alert.finiteValue();
        next.summary = Words.clipped(summary(alert), SUMMARY_CHARS_MAX);
        next.generatorUrl = Incidents.boundedUrl(alert.generatorUrl);
        next.mutedUntil = alert.mutedUntil;
        next.mutedBy = alert.mutedBy == null ? null : Incidents.identity(alert.mutedBy);
        return next;
    }

    private static String summary(Alert alert) {
        for (String name : new String[] {"summary", "description"}) {
            String said = alert.annotations.get(name);
            if (said != null && !said.isBlank()) {
                return said;
            }
        }
        return alert.name;
    }

    boolean isLive() {
        return phase == Phase.FIRING || phase == Phase.QUIET;
    }

    /** Whether the telling is of an episode that has ended, or of one before it. */
    boolean hasEnded(Alert alert) {
        return switch (phase) {
            case FIRING, EXPIRED -> alert.startsAt < startsAt;
            case QUIET, RESOLVED -> alert.startsAt <= startsAt;
        };
    }

    /** The worst first: what fires, then the higher level, then the older. */
    @Override
    public int compareTo(TrackedAlert other) {
        int order = -Boolean.compare(isLive(), other.isLive());
        order = order != 0 ? order : other.level.compareTo(level);
        order = order != 0 ? order : Long.compare(startsAt, other.startsAt);
        return order != 0 ? order : fingerprint.compareTo(other.fingerprint);
    }

    Incident.ShownAlert shown() {
        return new Incident.ShownAlert(
                fingerprint, name, isLive() ? Alert.Status.FIRING : Alert.Status.RESOLVED, level, startsAt,
                isLive() ? null : endsAt, repeats, value, summary, generatorUrl, mutedUntil, mutedBy);
    }

    static TrackedAlert read(AvroReader in) {
        TrackedAlert alert = new TrackedAlert();
        alert.fingerprint = in.readString();
        alert.phase = in.readEnum(PHASES);
        alert.toldAt = in.readLong();
        alert.name = in.readString();
        alert.level = in.readEnum(Alert.LEVELS);
        alert.startsAt = in.readLong();
        alert.endsAt = in.readOptionalLong();
        alert.repeats = in.readInt();
        alert.value = in.readOptionalDouble();
        alert.summary = in.readString();
        alert.generatorUrl = in.readOptionalString();
        alert.mutedUntil = in.readOptionalLong();
        alert.mutedBy = in.readOptionalString();
        return alert;
    }

    void write(AvroWriter out) {
        out.writeString(fingerprint);
        out.writeEnum(phase);
        out.writeLong(toldAt);
        out.writeString(name);
        out.writeEnum(level);
        out.writeLong(startsAt);
        out.writeOptionalLong(endsAt);
        out.writeLong(repeats);
        out.writeOptionalDouble(value);
        out.writeString(summary);
        out.writeOptionalString(generatorUrl);
        out.writeOptionalLong(mutedUntil);
        out.writeOptionalString(mutedBy);
    }
}
