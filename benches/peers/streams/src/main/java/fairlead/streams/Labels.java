package fairlead.streams;

import java.util.ArrayList;
import java.util.List;

/** A handful of names and values: looked through faster than hashed. */
final class Labels {
    private final List<String> namesAndValues = new ArrayList<>(12);

    void add(String name, String value) {
        namesAndValues.add(name);
        namesAndValues.add(value);
    }

    String get(String name) {
        for (int at = 0; at < namesAndValues.size(); at += 2) {
            if (namesAndValues.get(at).equals(name)) {
                return namesAndValues.get(at + 1);
            }
        }
        return null;
    }
}
