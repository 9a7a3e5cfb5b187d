package fairlead.streams;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Iterator;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.Predicate;

/** src/operator/incident.rs: turns levelled alerts into incidents, told each time something visible changes. */
final class Incidents implements Operator<Incidents.Memory, Incident> {
    private static final long RESOLVE_AFTER_MS = 300_000;
    private static final long REOPEN_WITHIN_MS = 1_800_000;
    private static final long STALE_AFTER_MS = 18_000_000;
    private static final long REPEAT_GAP_MS = 30_000;
    private static final int ALERTS_MAX = 50;
    private static final int INCIDENTS_MAX = 20;
    private static final int ENDED_MAX = 200;
    private static final int GROUP_CHARS_MAX = 200;
    private static final int ENVIRONMENT_CHARS_MAX = 200;
    private static final int REASON_CHARS_MAX = 500;
    private static final int FINGERPRINT_BYTES_MAX = 200;
    private static final int URL_BYTES_MAX = 2_000;
    private static final List<String> OVERFLOW = List.of("*");

    static final class Memory extends State {
        final List<Tracked> incidents;
        final List<Ended> ended;

        Memory(List<Tracked> incidents, List<Ended> ended) {
            this.incidents = incidents;
            this.ended = ended;
        }

        @Override
        boolean isEmpty() {
            return incidents.isEmpty() && ended.isEmpty();
        }

        static Memory read(AvroReader in) {
            return new Memory(in.readList(Tracked::read), in.readList(Ended::read));
        }

        @Override
        void write(AvroWriter out) {
            out.writeList(incidents, (writer, incident) -> incident.write(writer));
            out.writeList(ended, (writer, one) -> one.write(writer));
        }

        /** The first such incident, an open one before others. */
        private Tracked find(Predicate<Tracked> such) {
            Tracked found = null;
            for (Tracked one : incidents) {
                if (such.test(one)) {
                    if (one.isOpen()) {
                        return one;
                    }
                    found = found == null ? one : found;
                }
            }
            return found;
        }

        private long countOpen() {
            return incidents.stream().filter(Tracked::isOpen).count();
        }

        private boolean hasEnded(String fingerprint, long startsAt) {
            return ended.stream().anyMatch(one -> one.fingerprint.equals(fingerprint) && one.startsAt >= startsAt);
        }
    }

    /** An episode whose end was told before its beginning. */
    record Ended(String fingerprint, long startsAt, long toldAt) {
        static Ended read(AvroReader in) {
            return new Ended(in.readString(), in.readLong(), in.readLong());
        }

        void write(AvroWriter out) {
            out.writeString(fingerprint);
            out.writeLong(startsAt);
            out.writeLong(toldAt);
        }
    }

    void decide(Memory memory, Alert alert, long at, Consumer<Incident> tell) {
        String fingerprint = identity(alert.fingerprint);
        if (alert.status == Alert.Status.FIRING) {
            fires(memory, alert, fingerprint, at, tell);
        } else {
            resolves(memory, alert, fingerprint, at);
        }
    }

    private static void fires(Memory memory, Alert alert, String fingerprint, long at, Consumer<Incident> tell) {
        List<String> group = groupOf(alert);
        Tracked incident = incidentOf(memory, fingerprint, group);
        TrackedAlert before = incident == null ? null : incident.alert(fingerprint);
        Alert.Mention mention = alert.level == Alert.Level.LOW ? Alert.Mention.NOBODY : alert.mention;
        boolean escalates = incident != null && incident.isOpen()
                && (alert.level.compareTo(incident.level) > 0 || mention.compareTo(incident.mention) > 0);
        if (memory.hasEnded(fingerprint, alert.startsAt)
                || before != null && (!isNews(before, alert, at) && !escalates || before.hasEnded(alert))) {
            return;
        }
        memory.changed = true;
        TrackedAlert heard = TrackedAlert.next(before, alert, fingerprint, alert.level, at);
        if (incident == null) {
            forgetResolvedBeyond(memory);
            Tracked opened = open(alert, memory.countOpen() < INCIDENTS_MAX ? group : OVERFLOW, at);
            memory.incidents.add(opened);
            opened.hear(heard, ALERTS_MAX);
            tell.accept(told(opened, Incident.Change.OPENED, mention, alert, heard, at));
            return;
        }
        boolean wasLive = before != null && before.isLive();
        boolean flapped = wasLive && before.startsAt < alert.startsAt; // it went and came back: told as gone, or its end was missed
        Incident.Change change = null;
        if (!incident.isOpen()) {
            change = Incident.Change.REOPENED;
        } else if (escalates) {
            change = Incident.Change.ESCALATED;
        } else if (flapped && isDoubling(incident.flaps + 1) || !wasLive && !joinsTheOmitted(incident, before, heard)) {
            change = Incident.Change.ALERTS_CHANGED;
            mention = Alert.Mention.NOBODY;
        }
        if (flapped) {
            incident.flaps++;
        }
        incident.hear(heard, ALERTS_MAX);
        if (change != null) {
            tell.accept(told(incident, change, mention, alert, heard, at));
        }
    }

    private static Tracked incidentOf(Memory memory, String fingerprint, List<String> group) {
        Tracked found = memory.find(one -> one.knows(fingerprint));
        found = found != null ? found : memory.find(one -> one.group.equals(group));
        if (found == null && memory.countOpen() >= INCIDENTS_MAX) {
            found = memory.find(one -> one.group.equals(OVERFLOW));
        }
        return found;
    }

    /** Another episode, or a repetition after the gap. */
    private static boolean isNews(TrackedAlert before, Alert alert, long at) {
        return before.startsAt < alert.startsAt || before.phase == TrackedAlert.Phase.EXPIRED
                || at - before.toldAt >= REPEAT_GAP_MS;
    }

    private static Incident told(
            Tracked incident, Incident.Change change, Alert.Mention mention, Alert alert, TrackedAlert heard, long at) {
        boolean anew = change == Incident.Change.OPENED || change == Incident.Change.REOPENED;
        incident.reopened += change == Incident.Change.REOPENED ? 1 : 0;
        if (anew || change == Incident.Change.ESCALATED && heard.level.compareTo(incident.level) >= 0) {
            incident.level = heard.level;
            incident.levelReason = Words.clipped(alert.levelReason, REASON_CHARS_MAX);
        }
        if (incident.runbookUrl == null) {
            incident.runbookUrl = boundedUrl(alert.annotations.get("runbook_url"));
        }
        if (incident.dashboardUrl == null) {
            incident.dashboardUrl = boundedUrl(alert.annotations.get("dashboard_url"));
        }
        return incident.tell(change, mention, at);
    }

    /** Whether it finds no room, and the count of such alerts grew by less than a doubling. */
    private static boolean joinsTheOmitted(Tracked incident, TrackedAlert before, TrackedAlert heard) {
        if (before != null || incident.alerts.size() < ALERTS_MAX) {
            return false;
        }
        Tracked next = new Tracked();
        next.alerts = new ArrayList<>(incident.alerts);
        next.omitted = new ArrayList<>(incident.omitted);
        next.hear(heard, ALERTS_MAX);
        int count = next.omitted.size();
        return next.alert(heard.fingerprint) == null
                && (count == incident.omitted.size() || Integer.bitCount(count) != 1);
    }

    /** Resolved incidents are remembered for reopening only, and no more of them than may be open. */
    private static void forgetResolvedBeyond(Memory memory) {
        List<Tracked> resolved = new ArrayList<>(memory.incidents.stream().filter(one -> !one.isOpen()).toList());
        resolved.sort(Comparator.comparingLong(one -> one.changedAt));
        int tooMany = resolved.size() + 1 - INCIDENTS_MAX;
        for (int at = 0; at < tooMany; at++) {
            memory.incidents.remove(resolved.get(at));
        }
    }

    private static void resolves(Memory memory, Alert alert, String fingerprint, long at) {
        Tracked incident = memory.find(one -> one.knows(fingerprint));
        if (incident == null) {
            memory.ended.removeIf(one -> one.fingerprint.equals(fingerprint) && one.startsAt <= alert.startsAt);
            if (memory.ended.size() == ENDED_MAX) {
                memory.ended.remove(0);
            }
            memory.ended.add(new Ended(fingerprint, alert.startsAt, at));
            memory.changed = true;
            return;
        }
        TrackedAlert before = incident.alert(fingerprint);
        TrackedAlert.Phase phase = phaseOnceResolved(before, alert);
        if (phase == null) {
            return;
        }
        TrackedAlert heard =
                TrackedAlert.next(before, alert, fingerprint, before == null ? Alert.Level.LOW : before.level, at);
        heard.phase = phase;
        heard.endsAt = alert.endsAt != null ? alert.endsAt : at;
        heard.repeats = before == null ? 0 : before.repeats;
        heard.value = before == null ? null : before.value;
        incident.hear(heard, ALERTS_MAX);
        memory.changed = true;
    }

    /** 2, 4, 8, …: what goes back and forth without end is told less and less often. */
    private static boolean isDoubling(int flaps) {
        return flaps > 1 && Integer.bitCount(flaps) == 1;
    }

    /** Null if this says nothing new. */
    private static TrackedAlert.Phase phaseOnceResolved(TrackedAlert before, Alert alert) {
        if (before == null) {
            return TrackedAlert.Phase.RESOLVED;
        } else if (alert.startsAt < before.startsAt) {
            return null;
        }
        return switch (before.phase) {
            case FIRING -> TrackedAlert.Phase.QUIET;
            case EXPIRED -> TrackedAlert.Phase.RESOLVED;
            // The end of an episode whose beginning was missed, if it is another one.
            case QUIET, RESOLVED -> alert.startsAt == before.startsAt ? null : before.phase;
        };
    }

    private static Tracked open(Alert alert, List<String> group, long at) {
        Tracked opened = new Tracked();
        opened.id = Hashes.incidentId(alert.service, group, alert.startsAt, at);
        opened.service = alert.service;
        opened.environment = alert.environment == null ? null : Words.clipped(alert.environment, ENVIRONMENT_CHARS_MAX);
        opened.group = group;
        opened.level = Alert.Level.LOW;
        opened.levelReason = "";
        opened.mention = Alert.Mention.NOBODY;
        opened.openedAt = at;
        return opened;
    }

    /** By environment and namespace, else by the labels of these names; in the order of the alphabet. */
    private static List<String> groupOf(Alert alert) {
        List<String> group = new ArrayList<>(2);
        addTo(group, "environment", alert.environment, alert);
        addTo(group, "namespace", alert.namespace, alert);
        return group;
    }

    private static void addTo(List<String> group, String name, String field, Alert alert) {
        String value = field != null ? field : alert.labels.get(name);
        if (value != null) {
            group.add(name + "=" + Words.clipped(value, GROUP_CHARS_MAX));
        }
    }

    @Override
    public long deadline(Memory memory) {
        long first = State.NEVER;
        for (Tracked incident : memory.incidents) {
            first = Math.min(first, wakesAt(incident));
        }
        for (Ended one : memory.ended) {
            first = Math.min(first, one.toldAt + REOPEN_WITHIN_MS);
        }
        return first;
    }

    private static long wakesAt(Tracked incident) {
        if (!incident.isOpen()) {
            return incident.changedAt + REOPEN_WITHIN_MS;
        }
        long first = State.NEVER;
        for (TrackedAlert alert : incident.alerts) {
            if (alert.phase == TrackedAlert.Phase.FIRING) {
                first = Math.min(first, alert.toldAt + STALE_AFTER_MS);
            } else if (alert.phase == TrackedAlert.Phase.QUIET) {
                first = Math.min(first, alert.toldAt + RESOLVE_AFTER_MS);
            }
        }
        if (!incident.omitted.isEmpty()) {
            first = Math.min(first, incident.omittedToldAt + STALE_AFTER_MS);
        }
        // The last that fired were omitted ones, and have ended.
        return first != State.NEVER ? first : incident.omittedToldAt + RESOLVE_AFTER_MS;
    }

    @Override
    public void due(Memory memory, long at, Consumer<Incident> tell) {
        for (Iterator<Tracked> all = memory.incidents.iterator(); all.hasNext(); ) {
            Tracked incident = all.next();
            if (wakesAt(incident) > at) {
                continue;
            }
            if (incident.isOpen()) {
                incident.settle(at - RESOLVE_AFTER_MS, at - STALE_AFTER_MS);
                Incident.Change change = incident.isLive() ? Incident.Change.ALERTS_CHANGED : Incident.Change.RESOLVED;
                tell.accept(incident.tell(change, Alert.Mention.NOBODY, at));
            } else {
                all.remove();
            }
        }
        memory.ended.removeIf(one -> one.toldAt <= at - REOPEN_WITHIN_MS);
    }

    /** A link that is too long is no link once cut. */
    static String boundedUrl(String url) {
        return url == null || url.isEmpty() || utf8Length(url) > URL_BYTES_MAX ? null : url;
    }

    static String identity(String fingerprint) {
        return utf8Length(fingerprint) <= FINGERPRINT_BYTES_MAX ? fingerprint : Hashes.hex(fingerprint);
    }

    private static int utf8Length(String text) {
        return text.getBytes(StandardCharsets.UTF_8).length;
    }
}
