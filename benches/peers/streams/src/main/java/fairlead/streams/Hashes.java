package fairlead.streams;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;

/** SHA-256, from which identities are cut. */
final class Hashes {
    private Hashes() {}

    static long ofText(String text) {
        return ByteBuffer.wrap(sha256().digest(text.getBytes(StandardCharsets.UTF_8))).getLong();
    }

    static String hex(String text) {
        return HexFormat.of().formatHex(sha256().digest(text.getBytes(StandardCharsets.UTF_8)));
    }

    static String incidentId(String service, List<String> group, long startsAt, long openedAt) {
        MessageDigest hash = sha256();
        update(hash, service);
        group.forEach(part -> update(hash, part));
        hash.update(ByteBuffer.allocate(16).putLong(startsAt).putLong(openedAt).array());
        return "inc-" + HexFormat.of().formatHex(hash.digest(), 0, 8);
    }

    private static void update(MessageDigest hash, String part) {
        byte[] utf8 = part.getBytes(StandardCharsets.UTF_8);
        hash.update(ByteBuffer.allocate(8).putLong(utf8.length).array());
        hash.update(utf8);
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }
}
