//! fairlead: an event-sourced stream processor for on-call, topic migration and build caches on Kafka.
