package fairlead.streams;

import java.util.List;
import java.util.Set;

/** The rules of benches/backlog/topology/app.yaml. */
final class LevelRules {
    static final String OTHERWISE = "no rule holds for it";

    /** What is asked of an alert: a null holds for every one. */
    record When(Set<String> alerts, Set<String> environments, String label, Set<String> values, Double valueAbove) {
        boolean holds(Alert alert) {
            if (valueAbove != null && alert.status == Alert.Status.RESOLVED) {
                return false; // judged by what it is, not by how bad it was
            }
            return (alerts == null || alerts.contains(alert.name))
                    && (environments == null || alert.environment != null && environments.contains(alert.environment))
                    && (valueAbove == null || alert.finiteValue() != null && alert.finiteValue() > valueAbove)
                    && (label == null || values.contains(alert.labels.get(label) == null ? "" : alert.labels.get(label)));
        }

        static When alerts(String... names) {
            return new When(Set.of(names), null, null, null, null);
        }

        static When environments(String... names) {
            return new When(null, Set.of(names), null, null, null);
        }

        static When severity(String... values) {
            return new When(null, null, "severity", Set.of(values), null);
        }
    }

    /** A null level drops the alert. */
    record Rule(When when, Alert.Level level, Alert.Mention mention, String reason) {}

    private static final List<Rule> RULES = List.of(
            new Rule(
                    When.alerts("Watchdog", "InfoInhibitor"), null, null,
                    "it always fires, to show that alerting works (rule watchdog)"),
            new Rule(
                    When.environments("development", "test", "staging"), Alert.Level.LOW, Alert.Mention.NOBODY,
                    "it is not production (rule not-production)"),
            new Rule(
                    new When(Set.of("Ingress5xx"), null, "code", Set.of("503"), 1200.0), Alert.Level.CRITICAL, Alert.Mention.SRE,
                    "more than 1,200 requests fail at the ingress (rule ingress-503-flood)"),
            new Rule(
                    When.severity("critical", "page"), Alert.Level.CRITICAL, Alert.Mention.SRE,
                    "its severity is critical (rule critical)"),
            new Rule(
                    When.severity("error", "high", "major"), Alert.Level.HIGH, Alert.Mention.OWNER,
                    "its severity is high (rule high)"),
            new Rule(
                    When.severity("warning", "medium", "minor"), Alert.Level.MEDIUM, Alert.Mention.NOBODY,
                    "its severity is warning (rule warning)"));

    private LevelRules() {}

    /** The first that holds, or null. */
    static Rule of(Alert alert) {
        for (Rule rule : RULES) {
            if (rule.when.holds(alert)) {
                return rule;
            }
        }
        return null;
    }

    /** Rule third-and-worse: told three times, each value above the one before. */
    static boolean raises(int repeats, List<Double> values) {
        if (repeats < 3 || values.size() < 2) {
            return false;
        }
        for (int at = 1; at < values.size(); at++) {
            if (values.get(at) <= values.get(at - 1)) {
                return false;
            }
        }
        return true;
    }

    static final String RAISED = "; mention raised: told three times and worse each time (rule third-and-worse)";
}
