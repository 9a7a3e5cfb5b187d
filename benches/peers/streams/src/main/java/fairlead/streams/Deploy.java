package fairlead.streams;

/** schemas/deploy.avsc. */
record Deploy(
        String id, String source, String service, String environment, Kind kind, Outcome outcome, String version, String revision,
        String actor, String url, Long startedAt, Long finishedAt) {

    enum Kind { DEPLOY, ROLLBACK, REMOVE }

    enum Outcome { RUNNING, SUCCEEDED, FAILED }

    static final Kind[] KINDS = Kind.values();
    static final Outcome[] OUTCOMES = Outcome.values();

    /** Java evaluates arguments from left to right: in the order of the schema. */
    static Deploy read(AvroReader in) {
        return new Deploy(
                in.readString(), in.readString(), in.readString(), in.readOptionalString(), in.readEnum(KINDS),
                in.readEnum(OUTCOMES), in.readString(), in.readOptionalString(), in.readOptionalString(),
                in.readOptionalString(), in.readOptionalLong(), in.readOptionalLong());
    }
}
