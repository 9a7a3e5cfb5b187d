package fairlead.streams;

import java.util.ArrayList;
import java.util.List;

/** schemas/incident.avsc. Never changed once it was told: what is told anew is a copy. */
final class Incident {
    enum State { OPEN, RESOLVED }

    enum Change { OPENED, ESCALATED, ALERTS_CHANGED, SUSPECTS_CHANGED, RESOLVED, REOPENED }

    static final State[] STATES = State.values();
    static final Change[] CHANGES = Change.values();

    String id;
    int version;
    String service;
    String environment;
    List<String> group;
    State state;
    Change change;
    Alert.Level level;
    String levelReason;
    Alert.Mention mention;
    long openedAt;
    long changedAt;
    Long resolvedAt;
    int reopened;
    int flaps;
    List<ShownAlert> alerts;
    int alertsOmitted;
    List<Suspect> suspects;
    String runbookUrl;
    String dashboardUrl;

    /** One alert inside an incident. */
    record ShownAlert(
            String fingerprint, String name, Alert.Status status, Alert.Level level, long startsAt, Long endsAt, int repeats,
            Double value, String summary, String generatorUrl, Long mutedUntil, String mutedBy) {

        static ShownAlert read(AvroReader in) {
            ShownAlert alert = new ShownAlert(
                    in.readString(), in.readString(), in.readEnum(Alert.STATUSES), in.readEnum(Alert.LEVELS), in.readLong(),
                    in.readOptionalLong(), in.readInt(), in.readOptionalDouble(), in.readString(), in.readOptionalString(),
                    in.readOptionalLong(), in.readOptionalString());
            in.isPresent(); // trend: null, for no detector of trends is among these stages
            return alert;
        }

        void write(AvroWriter out) {
            out.writeString(fingerprint);
            out.writeString(name);
            out.writeEnum(status);
            out.writeEnum(level);
            out.writeLong(startsAt);
            out.writeOptionalLong(endsAt);
            out.writeLong(repeats);
            out.writeOptionalDouble(value);
            out.writeString(summary);
            out.writeOptionalString(generatorUrl);
            out.writeOptionalLong(mutedUntil);
            out.writeOptionalString(mutedBy);
            out.writeOptionalString(null); // trend
        }
    }

    /** A deploy that may have caused it. */
    record Suspect(
            String deployId, String service, String version, String revision, String actor, String url, long effectiveAt, int score,
            List<String> reasons) {

        static Suspect read(AvroReader in) {
            return new Suspect(
                    in.readString(), in.readString(), in.readString(), in.readOptionalString(), in.readOptionalString(),
                    in.readOptionalString(), in.readLong(), in.readInt(), in.readList(AvroReader::readString));
        }

        void write(AvroWriter out) {
            out.writeString(deployId);
            out.writeString(service);
            out.writeString(version);
            out.writeOptionalString(revision);
            out.writeOptionalString(actor);
            out.writeOptionalString(url);
            out.writeLong(effectiveAt);
            out.writeLong(score);
            out.writeList(reasons, AvroWriter::writeString);
        }
    }

    static Incident read(AvroReader in) {
        Incident incident = new Incident();
        incident.id = in.readString();
        incident.version = in.readInt();
        incident.service = in.readString();
        incident.environment = in.readOptionalString();
        incident.group = in.readList(AvroReader::readString);
        incident.state = in.readEnum(STATES);
        incident.change = in.readEnum(CHANGES);
        incident.level = in.readEnum(Alert.LEVELS);
        incident.levelReason = in.readString();
        incident.mention = in.readEnum(Alert.MENTIONS);
        incident.openedAt = in.readLong();
        incident.changedAt = in.readLong();
        incident.resolvedAt = in.readOptionalLong();
        incident.reopened = in.readInt();
        incident.flaps = in.readInt();
        incident.alerts = in.readList(ShownAlert::read);
        incident.alertsOmitted = in.readInt();
        incident.suspects = in.readList(Suspect::read);
        incident.runbookUrl = in.readOptionalString();
        incident.dashboardUrl = in.readOptionalString();
        in.isPresent(); // attention: null, for a stage after these fills it in
        return incident;
    }

    void write(AvroWriter out) {
        out.writeString(id);
        out.writeLong(version);
        out.writeString(service);
        out.writeOptionalString(environment);
        out.writeList(group, AvroWriter::writeString);
        out.writeEnum(state);
        out.writeEnum(change);
        out.writeEnum(level);
        out.writeString(levelReason);
        out.writeEnum(mention);
        out.writeLong(openedAt);
        out.writeLong(changedAt);
        out.writeOptionalLong(resolvedAt);
        out.writeLong(reopened);
        out.writeLong(flaps);
        out.writeList(alerts, (writer, alert) -> alert.write(writer));
        out.writeLong(alertsOmitted);
        out.writeList(suspects, (writer, suspect) -> suspect.write(writer));
        out.writeOptionalString(runbookUrl);
        out.writeOptionalString(dashboardUrl);
        out.writeOptionalString(null); // attention
    }

    Incident copy() {
        Incident copy = new Incident();
        copy.id = id;
        copy.version = version;
        copy.service = service;
        copy.environment = environment;
        copy.group = group;
        copy.state = state;
        copy.change = change;
        copy.level = level;
        copy.levelReason = levelReason;
        copy.mention = mention;
        copy.openedAt = openedAt;
        copy.changedAt = changedAt;
        copy.resolvedAt = resolvedAt;
        copy.reopened = reopened;
        copy.flaps = flaps;
        copy.alerts = new ArrayList<>(alerts);
        copy.alertsOmitted = alertsOmitted;
        copy.suspects = suspects;
        copy.runbookUrl = runbookUrl;
        copy.dashboardUrl = dashboardUrl;
        return copy;
    }
}
