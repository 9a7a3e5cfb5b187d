package fairlead.streams;

/** schemas/alert.avsc. The level operator fills in its level, mention and reason. */
final class Alert {
    enum Status { FIRING, RESOLVED }

    enum Level { LOW, MEDIUM, HIGH, CRITICAL }

    enum Mention { NOBODY, OWNER, SRE }

    static final Status[] STATUSES = Status.values();
    static final Level[] LEVELS = Level.values();
    static final Mention[] MENTIONS = Mention.values();

    String fingerprint;
    long startsAt;
    Long endsAt;
    Status status;
    String service;
    String name;
    String environment;
    String namespace;
    Labels labels;
    Labels annotations;
    Double value;
    String generatorUrl;
    Level level;
    Mention mention;
    String levelReason;
    Long mutedUntil;
    String mutedBy;

    static Alert read(AvroReader in) {
        Alert alert = new Alert();
        in.skipString(); // its source decides nothing
        alert.fingerprint = in.readString();
        alert.startsAt = in.readLong();
        alert.endsAt = in.readOptionalLong();
        alert.status = in.readEnum(STATUSES);
        alert.service = in.readString();
        alert.name = in.readString();
        alert.environment = in.readOptionalString();
        alert.namespace = in.readOptionalString();
        alert.labels = in.readLabels();
        alert.annotations = in.readLabels();
        alert.value = in.readOptionalDouble();
        alert.generatorUrl = in.readOptionalString();
        alert.level = in.isPresent() ? in.readEnum(LEVELS) : null;
        alert.mention = in.readEnum(MENTIONS);
        alert.levelReason = in.readOptionalString();
        in.readOptionalString(); // episodes are for sources that tell no start: the workload has none
        alert.mutedUntil = in.readOptionalLong();
        alert.mutedBy = in.readOptionalString();
        return alert;
    }

    /** Null if it is none that can be compared. */
    Double finiteValue() {
        return value != null && Double.isFinite(value) ? value : null;
    }
}
