import java.util.*;
import java.util.stream.*;
import org.apache.avro.*;

/**
 * Pairs of schemas with the verdict of Java's SchemaCompatibility, one a line: verdict, reader, writer, separated by tabs.
 * Verdicts: yes (the reader can read), no, ambiguous (a reader field answers to two writer fields; the library throws).
 *
 * First every pair of plain and logical types, then random pairs: mostly a schema and a few-step mutation of it, because two
 * unrelated schemas are nearly always incompatible and teach nothing. Seeded, so every run writes the same pairs.
 */
public class Corpus {
  static final Random random = new Random(20261123);
  static final String[] PRIMITIVES = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"};
  static final String[] LOGICAL = {"int:date", "int:time-millis", "long:time-micros", "long:timestamp-millis", "long:timestamp-micros",
      "long:local-timestamp-millis", "long:local-timestamp-micros", "string:uuid", "bytes:decimal"};
  static final String[] NAMES = {"A", "B", "C", "D", "E"};
  static final String[] SPACES = {"n", "m", ""};

  /** A schema as a tree that can be mutated; `ref` names a record around it. */
  static final class Type {
    String kind, name, space, logical, enumDefault;
    int size;
    List<String> symbols = new ArrayList<>(), aliases = new ArrayList<>();
    List<Type> inner = new ArrayList<>();
    List<Field> fields = new ArrayList<>();

    Type(String kind) { this.kind = kind; }

    Type copy() {
      Type t = new Type(kind);
      t.name = name; t.space = space; t.logical = logical; t.enumDefault = enumDefault; t.size = size;
      t.symbols.addAll(symbols); t.aliases.addAll(aliases);
      inner.forEach(i -> t.inner.add(i.copy()));
      fields.forEach(f -> t.fields.add(f.copy()));
      return t;
    }

    void all(List<Type> into) {
      into.add(this);
      inner.forEach(i -> i.all(into));
      fields.forEach(f -> f.type.all(into));
    }
  }

  static final class Field {
    String name; Type type; boolean hasDefault; List<String> aliases = new ArrayList<>();
    Field(String name, Type type, boolean hasDefault) { this.name = name; this.type = type; this.hasDefault = hasDefault; }
    Field copy() { Field f = new Field(name, type.copy(), hasDefault); f.aliases.addAll(aliases); return f; }
  }

  static <T> T pick(List<T> from) { return from.get(random.nextInt(from.size())); }
  static String pick(String[] from) { return from[random.nextInt(from.length)]; }
  static boolean chance(int percent) { return random.nextInt(100) < percent; }

  // ---- making

  static Type make(int depth, List<Type> around) {
    int dice = random.nextInt(depth <= 0 ? 50 : 100);
    if (dice < 38) return new Type(pick(PRIMITIVES));
    if (dice < 50) return logical(pick(LOGICAL));
    if (dice < 56) return named("fixed");
    if (dice < 64) return named("enum");
    if (dice < 70) return around(depth, "array", around);
    if (dice < 76) return around(depth, "map", around);
    if (dice < 88) return union(depth, around);
    if (dice < 92 && !around.isEmpty()) return ref(pick(around));
    return record(depth, around);
  }

  static Type logical(String spec) {
    Type t = new Type(spec.split(":")[0]);
    t.logical = spec.split(":")[1];
    t.size = 4 + random.nextInt(3); // a decimal's precision
    return t;
  }

  static Type ref(Type to) {
    Type t = new Type("ref"); t.name = to.name; t.space = to.space; return t;
  }

  static Type around(int depth, String kind, List<Type> around) {
    Type t = new Type(kind); t.inner.add(make(depth - 1, around)); return t;
  }

  static Type named(String kind) {
    Type t = new Type(kind);
    t.name = pick(NAMES);
    t.space = pick(SPACES);
    if (kind.equals("fixed")) {
      t.size = 4 + random.nextInt(2);
      if (chance(30)) t.logical = "decimal";
    }
    if (kind.equals("enum")) {
      for (String s : List.of("X", "Y", "Z")) if (chance(70) || t.symbols.isEmpty()) t.symbols.add(s);
      if (chance(30)) t.enumDefault = pick(t.symbols);
    }
    return t;
  }

  static Type union(int depth, List<Type> around) {
    Type t = new Type("union");
    if (chance(50)) t.inner.add(new Type("null"));
    for (int i = 0, n = 1 + random.nextInt(3); i < n; i++) {
      Type branch = make(depth - 1, around);
      if (!branch.kind.equals("union")) t.inner.add(branch);
    }
    return t;
  }

  static Type record(int depth, List<Type> around) {
    Type t = named("record");
    List<Type> inside = new ArrayList<>(around);
    inside.add(t);
    for (int i = 0, n = random.nextInt(4); i < n; i++) t.fields.add(new Field("f" + i, make(depth - 1, inside), chance(40)));
    if (depth > 1 && chance(25)) {
      Type next = new Type("union"); next.inner.add(new Type("null")); next.inner.add(ref(t));
      t.fields.add(new Field("next", next, chance(50)));
    }
    return t;
  }

  // ---- mutating

  static Type mutate(Type from) {
    Type t = from.copy();
    for (int i = 0, n = 1 + random.nextInt(3); i < n; i++) step(t);
    return t;
  }

  static void step(Type root) {
    List<Type> all = new ArrayList<>(); root.all(all);
    Type t = pick(all);
    switch (t.kind) {
      case "record" -> record(t);
      case "enum" -> {
        if (chance(40)) { if (t.symbols.contains("W")) t.symbols.remove("W"); else t.symbols.add("W"); }
        else if (chance(40) && t.symbols.size() > 1) { String gone = t.symbols.remove(0); if (gone.equals(t.enumDefault)) t.enumDefault = null; }
        else if (chance(50)) t.enumDefault = t.enumDefault == null ? pick(t.symbols) : null;
        else rename(t, all);
      }
      case "fixed" -> { if (chance(40)) t.size++; else if (chance(40)) t.logical = t.logical == null ? "decimal" : null; else rename(t, all); }
      case "union" -> {
        int dice = random.nextInt(3);
        if (dice == 0 && t.inner.size() > 1) t.inner.remove(random.nextInt(t.inner.size()));
        else if (dice == 1) Collections.shuffle(t.inner, random);
        else { Type branch = make(1, List.of()); if (!branch.kind.equals("union")) t.inner.add(branch); }
      }
      case "array", "map" -> { if (chance(20)) t.kind = t.kind.equals("array") ? "map" : "array"; }
      case "ref" -> { }
      default -> primitive(t);
    }
  }

  static void primitive(Type t) {
    int dice = random.nextInt(4);
    if (dice == 0) { Type old = t.copy(); t.kind = "union"; t.logical = null; t.inner = new ArrayList<>(List.of(new Type("null"), old)); }
    else if (dice == 1 && t.logical != null) t.logical = null;
    else {
      List<String> wider = switch (t.kind) {
        case "int" -> List.of("long", "float", "double"); case "long" -> List.of("float", "double", "int");
        case "float" -> List.of("double", "long"); case "bytes" -> List.of("string"); case "string" -> List.of("bytes");
        default -> List.of(pick(PRIMITIVES)); };
      t.kind = pick(wider); t.logical = null;
    }
  }

  static void record(Type t) {
    int dice = random.nextInt(6);
    if (dice == 0) t.fields.add(new Field("g" + random.nextInt(3), make(1, List.of()), chance(60)));
    else if (dice == 1 && !t.fields.isEmpty()) t.fields.remove(random.nextInt(t.fields.size()));
    else if (dice == 2 && !t.fields.isEmpty()) { Field f = pick(t.fields); f.hasDefault = !f.hasDefault; }
    else if (dice == 3 && !t.fields.isEmpty()) {
      Field f = pick(t.fields); String old = f.name; f.name = "h" + random.nextInt(3);
      if (chance(70)) f.aliases.add(old);
      String second = "f" + random.nextInt(3);
      if (chance(40) && t.fields.stream().noneMatch(other -> other.name.equals(second))) f.aliases.add(second);
    }
    else if (dice == 4) Collections.shuffle(t.fields, random);
    else { List<Type> all = new ArrayList<>(); t.all(all); rename(t, all); }
  }

  /** A new name or namespace, with or without an alias (short or in full) that leads back; the refs inside follow. */
  static void rename(Type t, List<Type> all) {
    String name = t.name, space = t.space;
    if (chance(60)) t.name = pick(NAMES) + "2";
    if (chance(50)) t.space = pick(SPACES);
    if (chance(60)) t.aliases.add(chance(50) ? name : space.isEmpty() ? name : space + "." + name);
    for (Type r : all) if (r.kind.equals("ref") && r.name.equals(name) && r.space.equals(space)) { r.name = t.name; r.space = t.space; }
  }

  // ---- writing

  static String q(String s) { return "\"" + s + "\""; }

  /** `space` is the namespace around; it is written only where it changes, so that inheritance is tried too. */
  static String json(Type t, String space) {
    switch (t.kind) {
      case "ref": return q(t.space.equals(space) || t.space.isEmpty() ? t.name : t.space + "." + t.name);
      case "array": return "{\"type\":\"array\",\"items\":" + json(t.inner.get(0), space) + "}";
      case "map": return "{\"type\":\"map\",\"values\":" + json(t.inner.get(0), space) + "}";
      case "union": return t.inner.stream().map(i -> json(i, space)).collect(Collectors.joining(",", "[", "]"));
      case "fixed": case "enum": case "record": break;
      default:
        if (t.logical == null) return q(t.kind);
        String more = t.logical.equals("decimal") ? ",\"precision\":" + t.size + ",\"scale\":2" : "";
        return "{\"type\":" + q(t.kind) + ",\"logicalType\":" + q(t.logical) + more + "}";
    }
    StringBuilder b = new StringBuilder("{\"type\":" + q(t.kind) + ",\"name\":" + q(t.name));
    if (!t.space.equals(space)) b.append(",\"namespace\":" + q(t.space));
    if (!t.aliases.isEmpty()) b.append(",\"aliases\":" + strings(t.aliases));
    if (t.kind.equals("fixed")) {
      b.append(",\"size\":" + t.size);
      if (t.logical != null) b.append(",\"logicalType\":\"decimal\",\"precision\":4");
    }
    if (t.kind.equals("enum")) {
      b.append(",\"symbols\":" + strings(t.symbols));
      if (t.enumDefault != null) b.append(",\"default\":" + q(t.enumDefault));
    }
    if (t.kind.equals("record")) {
      b.append(t.fields.stream().map(f -> field(f, t.space)).collect(Collectors.joining(",", ",\"fields\":[", "]")));
    }
    return b + "}";
  }

  static String strings(List<String> all) { return all.stream().map(Corpus::q).collect(Collectors.joining(",", "[", "]")); }

  static String field(Field f, String space) {
    String fallback = f.hasDefault ? fallback(f.type) : null;
    return "{\"name\":" + q(f.name) + ",\"type\":" + json(f.type, space)
        + (fallback == null ? "" : ",\"default\":" + fallback)
        + (f.aliases.isEmpty() ? "" : ",\"aliases\":" + strings(f.aliases)) + "}";
  }

  /** A default that is valid for the type, or null where none is simple. */
  static String fallback(Type t) {
    return switch (t.kind) {
      case "null" -> "null"; case "boolean" -> "false"; case "int", "long" -> "0"; case "float", "double" -> "0.5";
      case "string" -> t.logical == null ? "\"\"" : null; case "bytes" -> t.logical == null ? "\"\"" : null;
      case "array" -> "[]"; case "map" -> "{}";
      case "enum" -> q(t.symbols.get(0)); case "union" -> t.inner.isEmpty() ? null : fallback(t.inner.get(0));
      default -> null; };
  }

  // ---- judging

  static Optional<Schema> parse(String text) {
    try { return Optional.of(new Schema.Parser().parse(text)); } catch (AvroRuntimeException e) { return Optional.empty(); }
  }

  static Optional<String> verdict(String reader, String writer) {
    Optional<Schema> r = parse(reader), w = parse(writer);
    if (r.isEmpty() || w.isEmpty()) return Optional.empty();
    try {
      var result = SchemaCompatibility.checkReaderWriterCompatibility(r.get(), w.get()).getType();
      return Optional.of(result == SchemaCompatibility.SchemaCompatibilityType.COMPATIBLE ? "yes" : "no");
    } catch (AvroRuntimeException e) {
      if (!e.getMessage().contains("matches multiple fields")) throw e;
      return Optional.of("ambiguous");
    }
  }

  /** A short name that could mean a type without a namespace: the library's parser prefers that one, the specification does not. */
  static boolean murky(Type t) {
    List<Type> all = new ArrayList<>(); t.all(all);
    Set<String> bare = new HashSet<>(), spaced = new HashSet<>();
    for (Type n : all) if (n.name != null) (n.space.isEmpty() ? bare : spaced).add(n.name);
    return !Collections.disjoint(bare, spaced);
  }

  static final Set<String> seen = new HashSet<>();

  static boolean line(String reader, String writer) {
    if (reader.length() + writer.length() > 900 || !seen.add(reader + "\t" + writer)) return false;
    Optional<String> verdict = verdict(reader, writer);
    verdict.ifPresent(v -> System.out.println(v + "\t" + reader + "\t" + writer));
    return verdict.isPresent();
  }

  public static void main(String[] args) {
    List<String> plain = new ArrayList<>();
    for (String p : PRIMITIVES) plain.add(q(p));
    for (String l : LOGICAL) plain.add(json(logical(l), ""));
    plain.add("{\"type\":\"fixed\",\"name\":\"A\",\"size\":4}");
    plain.add("{\"type\":\"enum\",\"name\":\"A\",\"symbols\":[\"X\"]}");
    plain.add("{\"type\":\"record\",\"name\":\"A\",\"fields\":[]}");
    plain.add("{\"type\":\"array\",\"items\":\"int\"}");
    plain.add("{\"type\":\"map\",\"values\":\"int\"}");
    for (String r : plain) for (String w : plain) line(r, w);

    // The library remembers "Q is fine" from a branch that it then gives up: it says yes, and y cannot be read.
    String p = "{\"type\":\"record\",\"name\":\"P\",\"namespace\":\"r\",\"fields\":[{\"name\":\"q\",\"type\":{\"type\":\"record\",\"name\":\"Q\","
        + "\"fields\":[{\"name\":\"p\",\"type\":[\"null\",\"P\"]}]}},{\"name\":\"bad\",\"type\":\"%s\"}]}";
    String root = "{\"type\":\"record\",\"name\":\"Circle\",\"fields\":[{\"name\":\"x\",\"type\":%s},{\"name\":\"y\",\"type\":\"r.Q\"}]}";
    line(String.format(root, "[" + String.format(p, "int") + ",{\"type\":\"record\",\"name\":\"P\",\"namespace\":\"s\",\"fields\":[]}]"),
        String.format(root, String.format(p, "string")));

    line("{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"h\",\"type\":\"int\",\"aliases\":[\"f\",\"g\"]}]}",
        "{\"type\":\"record\",\"name\":\"A\",\"fields\":[{\"name\":\"f\",\"type\":\"int\"},{\"name\":\"g\",\"type\":\"int\"}]}");

    for (int n = 0; n < 1100; ) {
      Type writer = chance(70) ? record(3, List.of()) : make(3, List.of());
      Type reader = chance(92) ? mutate(writer) : make(2, List.of());
      String r = json(reader, ""), w = json(writer, "");
      if (r.length() < 40 || murky(reader) || murky(writer)) continue;
      if (chance(50) ? line(r, w) : line(w, r)) n++;
    }
  }
}
