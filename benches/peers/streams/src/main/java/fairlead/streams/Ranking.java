package fairlead.streams;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;

/** src/operator/suspects/rank.rs: how suspect a deploy is, in points with reasons. */
final class Ranking {
    static final long WINDOW_MS = 7_200_000;
    private static final long FADES_AFTER_MS = 1_200_000;
    private static final long HEALTHY_AFTER_MS = 900_000;
    private static final int SCORE_MIN = 10;
    private static final int SUSPECTS_MAX = 5;

    private static final Comparator<KnownDeploy> BY_TIME =
            Comparator.comparingLong(KnownDeploy::effectiveAt).thenComparing(KnownDeploy::id).thenComparing(KnownDeploy::source);
    private static final Comparator<Incident.Suspect> BEST_FIRST =
            Comparator.comparingInt(Incident.Suspect::score).thenComparingLong(Incident.Suspect::effectiveAt).reversed()
                    .thenComparing(Incident.Suspect::deployId);

    private record Points(int points, String reason) {}

    private Ranking() {}

    static boolean mayHaveCaused(KnownDeploy deploy, long onsetAt) {
        return deploy.startsAt() <= onsetAt && deploy.effectiveAt() >= onsetAt - WINDOW_MS;
    }

    /** Whether it came after the beginning, and not long before the reopening. */
    static boolean precededReopening(KnownDeploy deploy, KnownIncident incident) {
        return deploy.startsAt() > incident.onsetAt() && incident.reopenedAt() != null
                && mayHaveCaused(deploy, incident.reopenedAt());
    }

    static List<Incident.Suspect> rank(KnownIncident incident, List<KnownDeploy> deploys, List<KnownIncident> incidents) {
        List<KnownDeploy> candidates = new ArrayList<>(deploys.size());
        List<Incident.Suspect> ranked = new ArrayList<>(deploys.size());
        for (KnownDeploy deploy : deploys) {
            if (mayHaveCaused(deploy, incident.onsetAt())) {
                candidates.add(deploy);
            }
        }
        candidates.sort(BY_TIME);
        for (KnownDeploy deploy : candidates) {
            add(ranked, deploy, points(candidates, deploy, incident, deploys, incidents));
        }
        for (KnownDeploy deploy : deploys) {
            if (precededReopening(deploy, incident)) {
                add(ranked, deploy, pointsBeforeReopening(deploy, incident));
            }
        }
        ranked.sort(BEST_FIRST);
        return ranked.size() > SUSPECTS_MAX ? new ArrayList<>(ranked.subList(0, SUSPECTS_MAX)) : ranked;
    }

    private static void add(List<Incident.Suspect> ranked, KnownDeploy deploy, List<Points> points) {
        int sum = 0;
        for (Points one : points) {
            sum += one.points;
        }
        int score = Math.max(0, Math.min(100, sum));
        if (score < SCORE_MIN) {
            return;
        }
        points.sort(Comparator.comparingInt(one -> -Math.abs(one.points)));
        List<String> reasons = new ArrayList<>(points.size());
        for (Points one : points) {
            reasons.add(one.reason + (one.points < 0 ? " (" : " (+") + one.points + ")");
        }
        ranked.add(
                new Incident.Suspect(
                        deploy.id(), deploy.service(), deploy.version(), deploy.revision(), deploy.actor(), deploy.url(),
                        deploy.effectiveAt(), score, reasons));
    }

    private static List<Points> points(
            List<KnownDeploy> candidates, KnownDeploy deploy, KnownIncident incident, List<KnownDeploy> deploys,
            List<KnownIncident> incidents) {
        List<Points> points = new ArrayList<>(6);
        points.add(timing(deploy, incident.onsetAt()));
        addFailed(points, deploy);
        Long rollback = rolledBackAt(deploy, incident.onsetAt(), deploys);
        if (rollback != null) {
            points.add(new Points(15, "rolled back " + Words.span(rollback - incident.onsetAt()) + " after it began"));
        }
        addPlace(points, deploy, incident);
        addHealth(points, candidates, deploy, incidents);
        addRollback(points, deploy);
        return points;
    }

    private static Points timing(KnownDeploy deploy, long onsetAt) {
        if (deploy.endsAt() == null || deploy.endsAt() > onsetAt) {
            return new Points(60, "still running when it began");
        }
        long age = onsetAt - deploy.endsAt();
        String verb = deploy.kind() == Deploy.Kind.REMOVE ? "removed " : "finished ";
        return new Points(
                (int) (55 * FADES_AFTER_MS / (FADES_AFTER_MS + age)), verb + Words.span(age) + " before it began");
    }

    /** What went to another environment says nothing about health in this one. */
    private static void addHealth(
            List<Points> points, List<KnownDeploy> candidates, KnownDeploy deploy, List<KnownIncident> incidents) {
        KnownDeploy last = null; // before it
        List<KnownDeploy> after = new ArrayList<>(); // itself first
        for (KnownDeploy peer : candidates) {
            if (!Objects.equals(peer.environment(), deploy.environment())) {
                continue;
            }
            if (BY_TIME.compare(peer, deploy) < 0) {
                last = peer;
            } else {
                after.add(peer);
            }
        }
        KnownDeploy next = after.size() > 1 ? after.get(1) : null;
        if (next != null && isHealthyBetween(deploy, next, incidents)) {
            String span = Words.span(next.startsAt() - deploy.effectiveAt());
            points.add(new Points(-10, "the service stayed healthy for " + span + " after it"));
            return;
        }
        boolean first = last == null || isHealthyBetween(last, deploy, incidents);
        for (int at = 1; first && at < after.size(); at++) {
            first = !isHealthyBetween(after.get(at - 1), after.get(at), incidents);
        }
        if (first) {
            points.add(new Points(10, "first change after a healthy time"));
        }
    }

    private static boolean isHealthyBetween(KnownDeploy one, KnownDeploy next, List<KnownIncident> incidents) {
        long from = one.effectiveAt();
        long to = next.startsAt();
        if (to - from < HEALTHY_AFTER_MS) {
            return false;
        }
        for (KnownIncident incident : incidents) {
            Incident told = incident.snapshot();
            boolean began = Math.min(incident.onsetAt(), told.openedAt) <= to;
            boolean over = told.resolvedAt != null && told.resolvedAt < from;
            boolean elsewhere =
                    told.environment != null && one.environment() != null && !told.environment.equals(one.environment());
            if (began && !over && !elsewhere) {
                return false;
            }
        }
        return true;
    }

    /** Of a deploy between the beginning and the reopening, which cannot be why it began. */
    private static List<Points> pointsBeforeReopening(KnownDeploy deploy, KnownIncident incident) {
        long reopened = incident.reopenedAt();
        String when = deploy.endsAt() != null && deploy.endsAt() <= reopened
                ? Words.span(reopened - deploy.endsAt()) + " before it reopened"
                : "still running when it reopened";
        List<Points> points = new ArrayList<>(4);
        points.add(new Points(20, "after it began, " + when));
        addFailed(points, deploy);
        addPlace(points, deploy, incident);
        addRollback(points, deploy);
        return points;
    }

    private static void addFailed(List<Points> points, KnownDeploy deploy) {
        if (deploy.outcome() == Deploy.Outcome.FAILED) {
            points.add(new Points(20, "it failed"));
        }
    }

    private static void addPlace(List<Points> points, KnownDeploy deploy, KnownIncident incident) {
        String one = deploy.environment();
        String other = incident.snapshot().environment;
        if (one != null && other != null) {
            points.add(
                    one.equals(other)
                            ? new Points(15, "same environment (" + one + ")")
                            : new Points(-40, "it went to " + one + ", the alerts are in " + other));
        }
    }

    private static void addRollback(List<Points> points, KnownDeploy deploy) {
        if (deploy.kind() == Deploy.Kind.ROLLBACK) {
            points.add(new Points(-20, "it is a rollback, rarely the cause"));
        }
    }

    /** When a rollback followed the deploy, after the onset and before any other deploy to that environment. */
    private static Long rolledBackAt(KnownDeploy deploy, long onsetAt, List<KnownDeploy> deploys) {
        KnownDeploy next = null;
        KnownDeploy newest = null;
        for (KnownDeploy other : deploys) {
            if (!Objects.equals(other.environment(), deploy.environment())) {
                continue;
            }
            if (other.startsAt() <= onsetAt) {
                newest = newest == null || other.effectiveAt() >= newest.effectiveAt() ? other : newest;
            } else if (other.startsAt() >= deploy.effectiveAt() && other.kind() != Deploy.Kind.REMOVE) {
                next = next == null || other.startsAt() < next.startsAt() ? other : next;
            }
        }
        boolean rolledBack = next != null && next.kind() == Deploy.Kind.ROLLBACK && deploy.kind() == Deploy.Kind.DEPLOY
                && newest != null && newest.isSameAs(deploy);
        return rolledBack ? (Long) next.startsAt() : null;
    }
}
