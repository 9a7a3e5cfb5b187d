//! One memory budget for all stores of a process: memtables are charged to the one block cache.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, LruCacheOptions, Options, WriteBufferManager};

/// Below this RocksDB cannot work at all.
const BYTES_MIN: usize = 16 << 20;
/// A memtable grows to this; its arena is taken in eighths.
const MEMTABLE_BYTES: usize = 8 << 20;
/// The part of a memtable that a filter of its keys takes.
const MEMTABLE_FILTER: f64 = 0.1;
/// The cache is cut into two to this power. As many pieces as RocksDB takes by itself, one filter fills, and all are read again and
/// again; workers are few, so they do not wait for one another.
const CACHE_SHARD_BITS: i32 = 1;
/// Flushed memtables before they are merged into what has come to rest, which is then written anew as a whole. Each read looks
/// into each of them, but at a filter in memory.
const FLUSHES_MERGED: i32 = 8;

#[derive(Clone)]
pub struct Memory {
    cache: Cache,
    memtables: WriteBufferManager,
}

impl Memory {
    /// `bytes_max` covers memtables, blocks, indexes and filters of every store opened with it.
    pub fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.max(BYTES_MIN);
        let mut cut = LruCacheOptions::default();
        cut.set_capacity(bytes_max);
        cut.set_num_shard_bits(CACHE_SHARD_BITS);
        let cache = Cache::new_lru_cache_opts(&cut);
        // Half for memtables: they are flushed before they crowd the cache out. Writers never stall on one another.
        let memtables = WriteBufferManager::new_write_buffer_manager_with_cache(bytes_max / 2, false, cache.clone());
        Self { cache, memtables }
    }

    /// Bytes in use, memtables included.
    pub fn used(&self) -> usize {
        self.cache.get_usage()
    }

    pub fn options(&self) -> Options {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_cache(&self.cache);
        blocks.set_bloom_filter(10.0, false);
        blocks.set_cache_index_and_filter_blocks(true);
        blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_block_based_table_factory(&blocks);
        options.set_write_buffer_manager(&self.memtables);
        options.set_write_buffer_size(MEMTABLE_BYTES);
        options.set_max_write_buffer_number(3);
        options.set_level_zero_file_num_compaction_trigger(FLUSHES_MERGED);
        // Only what has come to rest: in a busy store the rest is rewritten in a moment.
        options.set_compression_type(DBCompressionType::None);
        options.set_bottommost_compression_type(DBCompressionType::Lz4);
        options.set_max_background_jobs(2);
        options.set_max_open_files(256);
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(1 << 20);
        // Most keys that are read are not in it: without this each is looked for among long names that begin alike.
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(MEMTABLE_FILTER);
        options
    }
}
