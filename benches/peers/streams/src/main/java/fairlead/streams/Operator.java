package fairlead.streams;

import java.util.function.Consumer;

/** What src/operator/mod.rs asks of an operator about time. T: what it tells. */
interface Operator<S extends State, T> {
    /** When this key wants to be woken; {@link State#NEVER} if it does not. */
    long deadline(S state);

    /** Its deadline has passed. Must move it, or end it. */
    void due(S state, long at, Consumer<T> tell);
}
