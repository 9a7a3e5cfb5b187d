package fairlead.streams;

import org.apache.kafka.streams.state.KeyValueStore;

import java.util.function.Consumer;
import java.util.function.Supplier;

/** An operator with the store of its states, and the timers that wake them. */
final class Stage<S extends State, T> {
    private final int number;
    private final Operator<S, T> operator;
    private final Supplier<S> empty;
    private final KeyValueStore<byte[], S> store;
    private final Timers timers;

    Stage(int number, Operator<S, T> operator, Supplier<S> empty, KeyValueStore<byte[], S> store, Timers timers) {
        this.number = number;
        this.operator = operator;
        this.empty = empty;
        this.store = store;
        this.timers = timers;
    }

    S load(byte[] key) {
        S state = store.get(key);
        return state == null ? empty.get() : state;
    }

    /**
     * Writes what has changed. A timer that stands for the key already is left where it is if it goes off too early: it then sees
     * that nothing is due yet, and is set anew. So a deadline that moves on with every record costs nothing.
     */
    void save(byte[] key, S state) {
        if (!state.changed) {
            return;
        }
        if (state.isEmpty()) {
            store.delete(key); // its timer will find nothing
            return;
        }
        long deadline = operator.deadline(state);
        if (deadline < state.timerAt) {
            timers.add(deadline, number, key);
            state.timerAt = deadline;
        }
        store.put(key, state);
    }

    void goOff(byte[] key, long at, Consumer<T> tell) {
        S state = store.get(key);
        if (state == null || state.timerAt != at) {
            return; // forgotten, or another timer stands for it
        }
        if (operator.deadline(state) == at) {
            operator.due(state, at, tell);
            if (operator.deadline(state) <= at) {
                throw new IllegalStateException("a deadline did not move when it was due");
            }
        }
        state.timerAt = State.NEVER;
        state.changed = true;
        save(key, state);
    }
}
