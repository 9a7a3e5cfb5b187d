package fairlead.streams;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** An incident, as src/operator/incident/memory.rs remembers it. */
final class Tracked {
    private static final int OMITTED_MAX = 1_000;

    String id;
    int version;
    String service;
    String environment;
    List<String> group;
    Incident.State state;
    Alert.Level level;
    String levelReason;
    Alert.Mention mention;
    long openedAt;
    long changedAt;
    Long resolvedAt;
    int reopened;
    int flaps;
    List<TrackedAlert> alerts = new ArrayList<>(2);
    List<Long> omitted = new ArrayList<>(0);
    long omittedToldAt;
    int leftOut;
    String runbookUrl;
    String dashboardUrl;

    boolean isOpen() {
        return state == Incident.State.OPEN;
    }

    boolean isLive() {
        return !omitted.isEmpty() || alerts.stream().anyMatch(TrackedAlert::isLive);
    }

    TrackedAlert alert(String fingerprint) {
        for (TrackedAlert alert : alerts) {
            if (alert.fingerprint.equals(fingerprint)) {
                return alert;
            }
        }
        return null;
    }

    boolean knows(String fingerprint) {
        return alert(fingerprint) != null || !omitted.isEmpty() && omitted.contains(Hashes.ofText(fingerprint));
    }

    /** Puts an alert in its place by rank. Who finds no room is remembered as omitted while it fires. */
    void hear(TrackedAlert heard, int alertsMax) {
        boolean known = alerts.removeIf(alert -> alert.fingerprint.equals(heard.fingerprint));
        if (!known) {
            forgetOmitted(heard);
            if (!heard.isLive()) {
                return;
            }
        }
        int place = 0;
        while (place < alerts.size() && alerts.get(place).compareTo(heard) <= 0) {
            place++;
        }
        alerts.add(place, heard);
        while (alerts.size() > alertsMax) {
            TrackedAlert last = alerts.remove(alerts.size() - 1);
            if (!last.isLive()) {
                leftOut++;
            } else if (omitted.size() < OMITTED_MAX) {
                omitted.add(Hashes.ofText(last.fingerprint));
                omittedToldAt = Math.max(omittedToldAt, last.toldAt);
            }
        }
    }

    private void forgetOmitted(TrackedAlert alert) {
        if (!omitted.isEmpty() && omitted.removeIf(hash -> hash == Hashes.ofText(alert.fingerprint))) {
            omittedToldAt = Math.max(omittedToldAt, alert.toldAt);
        }
    }

    /** Believes the ends told until `quietBefore`, and gives up on what was last heard of until `silentBefore`. */
    void settle(long quietBefore, long silentBefore) {
        for (TrackedAlert alert : alerts) {
            if (alert.phase == TrackedAlert.Phase.QUIET && alert.toldAt <= quietBefore) {
                alert.phase = TrackedAlert.Phase.RESOLVED;
            } else if (alert.phase == TrackedAlert.Phase.FIRING && alert.toldAt <= silentBefore) {
                alert.phase = TrackedAlert.Phase.EXPIRED;
            }
        }
        if (!omitted.isEmpty() && omittedToldAt <= silentBefore) {
            leftOut += omitted.size();
            omitted.clear();
        }
        Collections.sort(alerts);
    }

    /** The next snapshot, which is remembered as told. */
    Incident tell(Incident.Change change, Alert.Mention mentioned, long at) {
        boolean over = change == Incident.Change.RESOLVED;
        boolean anew = change == Incident.Change.OPENED || change == Incident.Change.REOPENED;
        version++;
        state = over ? Incident.State.RESOLVED : Incident.State.OPEN;
        mention = anew || mentioned.compareTo(mention) > 0 ? mentioned : mention;
        changedAt = at;
        resolvedAt = over ? Math.max(lastHeard(at), Math.max(omittedToldAt, openedAt)) : null;
        Incident told = new Incident();
        told.id = id;
        told.version = version;
        told.service = service;
        told.environment = environment;
        told.group = group;
        told.state = state;
        told.change = change;
        told.level = level;
        told.levelReason = levelReason;
        told.mention = mentioned;
        told.openedAt = openedAt;
        told.changedAt = at;
        told.resolvedAt = resolvedAt;
        told.reopened = reopened;
        told.flaps = flaps;
        told.alerts = new ArrayList<>(alerts.size());
        alerts.forEach(alert -> told.alerts.add(alert.shown()));
        told.alertsOmitted = omitted.size() + leftOut;
        told.suspects = List.of();
        told.runbookUrl = runbookUrl;
        told.dashboardUrl = dashboardUrl;
        return told;
    }

    private long lastHeard(long otherwise) {
        return alerts.stream().mapToLong(alert -> alert.toldAt).max().orElse(otherwise);
    }

    static Tracked read(AvroReader in) {
        Tracked one = new Tracked();
        one.id = in.readString();
        one.version = in.readInt();
        one.service = in.readString();
        one.environment = in.readOptionalString();
        one.group = in.readList(AvroReader::readString);
        one.state = in.readEnum(Incident.STATES);
        one.level = in.readEnum(Alert.LEVELS);
        one.levelReason = in.readString();
        one.mention = in.readEnum(Alert.MENTIONS);
        one.openedAt = in.readLong();
        one.changedAt = in.readLong();
        one.resolvedAt = in.readOptionalLong();
        one.reopened = in.readInt();
        one.flaps = in.readInt();
        one.alerts = in.readList(TrackedAlert::read);
        one.omitted = in.readList(AvroReader::readLong);
        one.omittedToldAt = in.readLong();
        one.leftOut = in.readInt();
        one.runbookUrl = in.readOptionalString();
        one.dashboardUrl = in.readOptionalString();
        return one;
    }

    void write(AvroWriter out) {
        out.writeString(id);
        out.writeLong(version);
        out.writeString(service);
        out.writeOptionalString(environment);
        out.writeList(group, AvroWriter::writeString);
        out.writeEnum(state);
        out.writeEnum(level);
        out.writeString(levelReason);
        out.writeEnum(mention);
        out.writeLong(openedAt);
        out.writeLong(changedAt);
        out.writeOptionalLong(resolvedAt);
        out.writeLong(reopened);
        out.writeLong(flaps);
        out.writeList(alerts, (writer, alert) -> alert.write(writer));
        out.writeList(omitted, AvroWriter::writeLong);
        out.writeLong(omittedToldAt);
        out.writeLong(leftOut);
        out.writeOptionalString(runbookUrl);
        out.writeOptionalString(dashboardUrl);
    }
}
