package fairlead.streams;

/** A deploy, as src/operator/suspects.rs remembers it. */
record KnownDeploy(
        String source, String id, String service, String environment, Deploy.Kind kind, Deploy.Outcome outcome, String version,
        String revision, String actor, String url, long startsAt, Long endsAt) {
    private static final int NAME_CHARS_MAX = 200;

    static KnownDeploy of(Deploy deploy, long at) {
        Long endsAt = null;
        if (deploy.outcome() != Deploy.Outcome.RUNNING) {
            endsAt = deploy.finishedAt() != null ? deploy.finishedAt() : Long.valueOf(at);
        }
        long startsAt = deploy.startedAt() != null ? deploy.startedAt() : endsAt != null ? endsAt : at;
        return new KnownDeploy(
                clipped(deploy.source()), clipped(deploy.id()), deploy.service(), clipped(deploy.environment()), deploy.kind(),
                deploy.outcome(), clipped(deploy.version()), clipped(deploy.revision()), clipped(deploy.actor()),
                Incidents.boundedUrl(deploy.url()), endsAt == null ? startsAt : Math.min(startsAt, endsAt), endsAt);
    }

    private static String clipped(String text) {
        return text == null ? null : Words.clipped(text, NAME_CHARS_MAX);
    }

    long effectiveAt() {
        return endsAt != null ? endsAt : startsAt;
    }

    boolean isSameAs(KnownDeploy other) {
        return source.equals(other.source) && id.equals(other.id);
    }

    /** By source and id. */
    int compareIdentity(KnownDeploy other) {
        int order = source.compareTo(other.source);
        return order != 0 ? order : id.compareTo(other.id);
    }

    /** A later telling of the same deploy; that it runs is no news once it has ended. */
    KnownDeploy updated(KnownDeploy later) {
        long started = Math.min(startsAt, later.startsAt);
        if (later.outcome == Deploy.Outcome.RUNNING && outcome != Deploy.Outcome.RUNNING) {
            return new KnownDeploy(
                    source, id, service, environment, kind, outcome, version, revision, actor, url, started, endsAt);
        }
        return new KnownDeploy(
                later.source, later.id, later.service, either(later.environment, environment), later.kind, later.outcome,
                later.version, either(later.revision, revision), either(later.actor, actor), either(later.url, url), started,
                later.endsAt);
    }

    private static String either(String one, String other) {
        return one != null ? one : other;
    }

    static KnownDeploy read(AvroReader in) {
        return new KnownDeploy(
                in.readString(), in.readString(), in.readString(), in.readOptionalString(), in.readEnum(Deploy.KINDS),
                in.readEnum(Deploy.OUTCOMES), in.readString(), in.readOptionalString(), in.readOptionalString(),
                in.readOptionalString(), in.readLong(), in.readOptionalLong());
    }

    void write(AvroWriter out) {
        out.writeString(source);
        out.writeString(id);
        out.writeString(service);
        out.writeOptionalString(environment);
        out.writeEnum(kind);
        out.writeEnum(outcome);
        out.writeString(version);
        out.writeOptionalString(revision);
        out.writeOptionalString(actor);
        out.writeOptionalString(url);
        out.writeLong(startsAt);
        out.writeOptionalLong(endsAt);
    }
}
