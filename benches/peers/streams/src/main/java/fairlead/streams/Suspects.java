package fairlead.streams;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.List;
import java.util.function.Consumer;

/** src/operator/suspects.rs: says of every incident which deploys of its service may have caused it. */
final class Suspects implements Operator<Suspects.Memory, Incident> {
    private static final int DEPLOYS_MAX = 50;
    private static final int INCIDENTS_MAX = 60;

    static final class Memory extends State {
        List<KnownDeploy> deploys;
        final List<KnownIncident> incidents;

        Memory(List<KnownDeploy> deploys, List<KnownIncident> incidents) {
            this.deploys = deploys;
            this.incidents = incidents;
        }

        @Override
        boolean isEmpty() {
            return deploys.isEmpty() && incidents.isEmpty();
        }

        static Memory read(AvroReader in) {
            return new Memory(in.readList(KnownDeploy::read), in.readList(KnownIncident::read));
        }

        @Override
        void write(AvroWriter out) {
            out.writeList(deploys, (writer, deploy) -> deploy.write(writer));
            out.writeList(incidents, (writer, incident) -> incident.write(writer));
        }
    }

    /** The snapshot with its suspects; nothing if it is an old one. */
    void enrich(Memory memory, Incident incident, Consumer<Incident> tell) {
        KnownIncident before = find(memory, incident.id);
        if (before != null && incident.version <= before.toldVersion()) {
            return;
        }
        long onsetAt = before != null ? before.onsetAt() : onsetOf(incident);
        Long reopenedAt = before != null ? before.reopenedAt() : null;
        if (incident.change == Incident.Change.REOPENED) {
            reopenedAt = reopeningOf(incident);
        }
        Incident snapshot = incident.copy();
        snapshot.version = Math.max(before == null ? 1 : before.snapshot().version + 1, incident.version);
        KnownIncident known = new KnownIncident(incident.version, onsetAt, reopenedAt, snapshot);
        snapshot.suspects = Ranking.rank(known, memory.deploys, memory.incidents);
        tell.accept(snapshot);
        remember(memory, known);
    }

    /** Open incidents are ranked anew, and told if the ranking is another. */
    void decide(Memory memory, Deploy deploy, long at, Consumer<Incident> tell) {
        List<KnownDeploy> deploys = new ArrayList<>(memory.deploys);
        remember(deploys, KnownDeploy.of(deploy, at));
        if (deploys.equals(memory.deploys)) {
            return;
        }
        List<KnownIncident> told = new ArrayList<>(1);
        for (KnownIncident known : memory.incidents) {
            if (!known.isOpen()) {
                continue;
            }
            List<Incident.Suspect> suspects = Ranking.rank(known, deploys, memory.incidents);
            if (!suspects.equals(known.snapshot().suspects)) {
                Incident snapshot = known.snapshot().copy();
                snapshot.version++;
                snapshot.change = Incident.Change.SUSPECTS_CHANGED;
                snapshot.mention = Alert.Mention.NOBODY;
                snapshot.changedAt = Math.max(at, snapshot.changedAt);
                snapshot.suspects = suspects;
                told.add(new KnownIncident(known.toldVersion(), known.onsetAt(), known.reopenedAt(), snapshot));
            }
        }
        memory.deploys = deploys;
        memory.changed = true;
        for (KnownIncident known : told) {
            tell.accept(known.snapshot());
            remember(memory, known);
        }
    }

    private static KnownIncident find(Memory memory, String id) {
        for (KnownIncident known : memory.incidents) {
            if (known.snapshot().id.equals(id)) {
                return known;
            }
        }
        return null;
    }

    private static void remember(Memory memory, KnownIncident known) {
        memory.incidents.removeIf(other -> other.snapshot().id.equals(known.snapshot().id));
        memory.incidents.add(known.isOpen() ? known : withoutAlerts(known));
        while (memory.incidents.size() > INCIDENTS_MAX) {
            memory.incidents.remove(
                    Collections.min(
                            memory.incidents,
                            Comparator.comparing(KnownIncident::isOpen).thenComparingLong(one -> one.snapshot().changedAt)));
        }
        memory.changed = true;
    }

    /** Remembered as a troubled time; what it said is not told again. */
    private static KnownIncident withoutAlerts(KnownIncident known) {
        Incident snapshot = known.snapshot().copy();
        snapshot.alerts = List.of();
        return new KnownIncident(known.toldVersion(), known.onsetAt(), known.reopenedAt(), snapshot);
    }

    /** In order of source and id, the longest past left out when there are too many. */
    private static void remember(List<KnownDeploy> deploys, KnownDeploy deploy) {
        int place = Collections.binarySearch(deploys, deploy, KnownDeploy::compareIdentity);
        if (place >= 0) {
            deploys.set(place, deploys.get(place).updated(deploy));
        } else {
            deploys.add(-place - 1, deploy);
        }
        while (deploys.size() > DEPLOYS_MAX) {
            deploys.remove(Collections.min(deploys, Comparator.comparingLong(KnownDeploy::effectiveAt)));
        }
    }

    /** The first start among its alerts. */
    private static long onsetOf(Incident incident) {
        long first = incident.openedAt;
        for (Incident.ShownAlert alert : incident.alerts) {
            first = Math.min(first, alert.startsAt());
        }
        return first;
    }

    /** The first start among the alerts that fire now. */
    private static long reopeningOf(Incident incident) {
        long first = incident.changedAt;
        for (Incident.ShownAlert alert : incident.alerts) {
            first = alert.endsAt() == null ? Math.min(first, alert.startsAt()) : first;
        }
        return first;
    }

    @Override
    public long deadline(Memory memory) {
        long first = State.NEVER;
        for (KnownDeploy deploy : memory.deploys) {
            if (!isNeeded(deploy, memory.incidents)) {
                first = Math.min(first, forgottenAt(deploy));
            }
        }
        for (KnownIncident incident : memory.incidents) {
            first = Math.min(first, incident.forgottenAt());
        }
        return first;
    }

    @Override
    public void due(Memory memory, long at, Consumer<Incident> tell) {
        memory.incidents.removeIf(incident -> incident.forgottenAt() <= at);
        memory.deploys.removeIf(deploy -> forgottenAt(deploy) <= at && !isNeeded(deploy, memory.incidents));
    }

    /** An incident may be its doing, however long that lasts or however late it reopens. */
    private static boolean isNeeded(KnownDeploy deploy, List<KnownIncident> incidents) {
        for (KnownIncident incident : incidents) {
            if (Ranking.mayHaveCaused(deploy, incident.onsetAt()) || Ranking.precededReopening(deploy, incident)) {
                return true;
            }
        }
        return false;
    }

    /** Twice the window, for an incident is told some time after it began. */
    private static long forgottenAt(KnownDeploy deploy) {
        return deploy.effectiveAt() + 2 * Ranking.WINDOW_MS;
    }
}
