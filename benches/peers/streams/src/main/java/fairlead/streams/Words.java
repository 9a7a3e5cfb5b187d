package fairlead.streams;

/** src/event/words.rs. */
final class Words {
    private Words() {}

    static String clipped(String text, int charsMax) {
        if (text.length() <= charsMax || text.codePointCount(0, text.length()) <= charsMax) {
            return text;
        }
        return text.substring(0, text.offsetByCodePoints(0, charsMax - 1)) + "…";
    }

    static String span(long ms) {
        long secs = Math.max(ms, 0) / 1_000;
        if (secs < 60) {
            return secs + " s";
        } else if (secs < 3_600) {
            return secs / 60 + " min";
        } else if (secs < 86_400) {
            return two(secs / 3_600 + " h", secs % 3_600 / 60, " min");
        }
        return two(secs / 86_400 + " d", secs % 86_400 / 3_600, " h");
    }

    private static String two(String large, long small, String unit) {
        return small == 0 ? large : large + " " + small + unit;
    }
}
