package fairlead.streams;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.Consumer;

/** src/operator/level.rs: gives every alert its level and whom it may wake; remembers how often each episode was told. */
final class Levels implements Operator<Levels.Memory, Incident> {
    private static final int ALERTS_MAX = 1_000;
    private static final long FORGET_AFTER_MS = 86_400_000;
    private static final long REPEAT_GAP_MS = 30_000;
    private static final int VALUES_MAX = 3;

    static final class Memory extends State {
        final List<Episode> alerts;

        Memory(List<Episode> alerts) {
            this.alerts = alerts;
        }

        @Override
        boolean isEmpty() {
            return alerts.isEmpty();
        }

        static Memory read(AvroReader in) {
            return new Memory(in.readList(Episode::read));
        }

        @Override
        void write(AvroWriter out) {
            out.writeList(alerts, (writer, episode) -> episode.write(writer));
        }

        private Episode find(String fingerprint) {
            for (Episode episode : alerts) {
                if (episode.fingerprint.equals(fingerprint)) {
                    return episode;
                }
            }
            return null;
        }
    }

    static final class Episode {
        final String fingerprint;
        long startsAt;
        int repeats;
        long toldAt;
        List<Double> values;

        Episode(String fingerprint, long startsAt, int repeats, long toldAt, List<Double> values) {
            this.fingerprint = fingerprint;
            this.startsAt = startsAt;
            this.repeats = repeats;
            this.toldAt = toldAt;
            this.values = values;
        }

        static Episode read(AvroReader in) {
            return new Episode(
                    in.readString(), in.readLong(), in.readInt(), in.readLong(), in.readList(AvroReader::readDouble));
        }

        void write(AvroWriter out) {
            out.writeString(fingerprint);
            out.writeLong(startsAt);
            out.writeLong(repeats);
            out.writeLong(toldAt);
            out.writeList(values, AvroWriter::writeDouble);
        }
    }

    /** Fills in the alert's level; false if it is to be dropped. */
    boolean decide(Memory memory, Alert alert, long at) {
        Episode known = memory.find(alert.fingerprint);
        int repeats = 1;
        List<Double> values = List.of();
        if (alert.status == Alert.Status.FIRING) {
            known = hear(memory, known, alert, at);
        }
        if (known != null && known.startsAt == alert.startsAt) {
            repeats = known.repeats;
            values = known.values;
        }
        boolean kept = judge(alert, repeats, values);
        if (alert.status == Alert.Status.RESOLVED && known != null && known.startsAt <= alert.startsAt) {
            memory.alerts.remove(known);
            memory.changed = true;
        }
        return kept;
    }

    /** Counts this telling unless it is a duplicate, or of an episode that is over. */
    private static Episode hear(Memory memory, Episode known, Alert alert, long at) {
        if (known == null) {
            if (memory.alerts.size() >= ALERTS_MAX) {
                memory.alerts.remove(memory.alerts.stream().min(Comparator.comparingLong(one -> one.toldAt)).orElseThrow());
            }
            known = new Episode(alert.fingerprint, alert.startsAt, 0, at, new ArrayList<>(2));
            memory.alerts.add(known);
        } else if (known.startsAt > alert.startsAt) {
            return known;
        } else if (known.startsAt < alert.startsAt) {
            known.startsAt = alert.startsAt;
            known.repeats = 0;
            known.values = new ArrayList<>(2);
        } else if (at - known.toldAt < REPEAT_GAP_MS) {
            return known;
        }
        known.repeats++;
        known.toldAt = at;
        if (alert.finiteValue() != null) {
            if (known.values.size() == VALUES_MAX) {
                known.values.remove(0);
            }
            known.values.add(alert.value);
        }
        memory.changed = true;
        return known;
    }

    private static boolean judge(Alert alert, int repeats, List<Double> values) {
        LevelRules.Rule rule = LevelRules.of(alert);
        if (rule != null && rule.level() == null) {
            return false;
        }
        alert.level = rule == null ? Alert.Level.MEDIUM : rule.level();
        alert.mention = rule == null ? Alert.Mention.NOBODY : rule.mention();
        alert.levelReason = rule == null ? LevelRules.OTHERWISE : rule.reason();
        if (alert.level == Alert.Level.LOW || alert.status == Alert.Status.RESOLVED) {
            alert.mention = Alert.Mention.NOBODY;
        } else if (LevelRules.raises(repeats, values)) {
            alert.mention = alert.mention == Alert.Mention.NOBODY ? Alert.Mention.OWNER : Alert.Mention.SRE;
            alert.levelReason += LevelRules.RAISED;
        }
        return true;
    }

    @Override
    public long deadline(Memory memory) {
        long first = State.NEVER;
        for (Episode episode : memory.alerts) {
            first = Math.min(first, episode.toldAt + FORGET_AFTER_MS);
        }
        return first;
    }

    @Override
    public void due(Memory memory, long at, Consumer<Incident> tell) {
        memory.alerts.removeIf(episode -> episode.toldAt + FORGET_AFTER_MS <= at);
    }
}
