package fairlead.streams;

import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * level, incident, suspects, one after the other on one key, as src/topology/engine.rs runs them: deadlines that have passed, then the
 * record. One processor rather than three, for all share the key: nothing is gained by forwarding between them.
 *
 * <p>What is not here, and fairlead has: dead letters (a bad record stops this program), and the journal and its header on every output.
 */
final class Oncall implements Processor<byte[], byte[], byte[], byte[]> {
    static final String LEVEL = "level";
    static final String INCIDENT = "incident";
    static final String SUSPECTS = "suspects";
    static final String TIMERS = "timers";

    /** Without a record for so long, deadlines are fired by the wall clock. */
    private static final Duration QUIET = Duration.ofSeconds(1);
    private static final int ENVELOPE_BYTES = 5;

    /** Schema numbers of what is read and written. */
    record Schemas(int alert, int deploy, int incident) {}

    private final Schemas schemas;
    private final Levels levels = new Levels();
    private final Incidents incidents = new Incidents();
    private final Suspects suspects = new Suspects();
    private final AvroWriter out = new AvroWriter();
    private ProcessorContext<byte[], byte[]> context;
    private Timers timers;
    private List<Stage<? extends State, Incident>> stages;
    private Stage<Levels.Memory, Incident> level;
    private Stage<Incidents.Memory, Incident> incident;
    private Stage<Suspects.Memory, Incident> suspect;
    private boolean quiet = true;

    Oncall(Schemas schemas) {
        this.schemas = schemas;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        this.context = context;
        timers = new Timers(context.getStateStore(TIMERS));
        level = new Stage<>(
                0, levels, () -> new Levels.Memory(new ArrayList<>(2)), context.getStateStore(LEVEL), timers);
        incident = new Stage<>(
                1, incidents, () -> new Incidents.Memory(new ArrayList<>(1), new ArrayList<>(1)),
                context.getStateStore(INCIDENT), timers);
        suspect = new Stage<>(
                2, suspects, () -> new Suspects.Memory(new ArrayList<>(1), new ArrayList<>(1)),
                context.getStateStore(SUSPECTS), timers);
        stages = List.of(level, incident, suspect);
        context.schedule(QUIET, PunctuationType.WALL_CLOCK_TIME, this::tick);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        quiet = false;
        byte[] key = record.key();
        long at = record.timestamp();
        fireUntil(at);
        int schema = ByteBuffer.wrap(record.value()).getInt(1);
        AvroReader in = new AvroReader(record.value(), ENVELOPE_BYTES);
        if (schema == schemas.alert) {
            takeAlert(key, Alert.read(in), at);
        } else if (schema == schemas.deploy) {
            takeDeploy(key, Deploy.read(in), at);
        } else {
            throw new IllegalArgumentException("schema " + schema + " is neither an alert's nor a deploy's");
        }
    }

    private void takeAlert(byte[] key, Alert alert, long at) {
        checkKey(key, alert.service);
        Levels.Memory memory = level.load(key);
        boolean kept = levels.decide(memory, alert, at);
        level.save(key, memory);
        if (kept) {
            Incidents.Memory tracked = incident.load(key);
            incidents.decide(tracked, alert, at, told -> takeIncident(key, told, at));
            incident.save(key, tracked);
        }
    }

    private void takeIncident(byte[] key, Incident told, long at) {
        Suspects.Memory memory = suspect.load(key);
        suspects.enrich(memory, told, snapshot -> forward(key, snapshot, at));
        suspect.save(key, memory);
    }

    private void takeDeploy(byte[] key, Deploy deploy, long at) {
        checkKey(key, deploy.service());
        Suspects.Memory memory = suspect.load(key);
        suspects.decide(memory, deploy, at, snapshot -> forward(key, snapshot, at));
        suspect.save(key, memory);
    }

    private static void checkKey(byte[] key, String service) {
        if (!Arrays.equals(key, service.getBytes(StandardCharsets.UTF_8))) {
            throw new IllegalArgumentException("the record's key is not its service, " + service);
        }
    }

    private void tick(long now) {
        if (quiet) {
            fireUntil(now);
        }
        quiet = true;
    }

    /** Each with its own time. Only incidents tell something by themselves. */
    private void fireUntil(long until) {
        for (Timers.Timer timer = timers.poll(until); timer != null; timer = timers.poll(until)) {
            byte[] key = timer.key();
            long at = timer.at();
            stages.get(timer.stage()).goOff(key, at, told -> takeIncident(key, told, at));
        }
    }

    private void forward(byte[] key, Incident snapshot, long at) {
        out.clear();
        out.writeEnvelope(schemas.incident);
        snapshot.write(out);
        context.forward(new Record<>(key, out.toBytes(), at));
    }
}
