//! The engine that every plugin runs on, and the thread that keeps its time.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use wasmtime::{Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::HostError;
use crate::guests::GUESTS;
use crate::service::{CpuMeter, CpuSampler, process_time};

/// Length of an epoch: a guest that computes gives way to the other tasks of its thread this often.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// Time between two readings of the processor clock.
const CPU_SAMPLE: Duration = Duration::from_millis(250);

/// A component has its own module, shims for its imports, and perhaps an adapter for an older WASI.
const CORE_INSTANCES: u32 = 16;
const MEMORIES: u32 = 2;
const TABLES: u32 = 4;
/// Kept between instances and cleared by memset. More costs more: 2 MiB took 84 us for a guest with 2 MB of data, this
/// much about a tenth of it.
const KEEP_RESIDENT: usize = 256 * 1024;
/// Slots that stay warm for modules that are gone. Small, for warm instances are kept by the plugins themselves.
const WARM_SLOTS: u32 = 16;

fn config(instances: u32) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_memories(instances.saturating_mul(MEMORIES))
        .total_tables(instances.saturating_mul(TABLES))
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .max_unused_warm_slots(WARM_SLOTS)
        // Pages may survive between instances under swap.
        .pagemap_scan(Enabled::No);
    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .memory_init_cow(true)
        // No import suspends, so the bookkeeping of concurrent tasks buys nothing: 0.19 us a call instead of 0.64 us.
        .concurrency_support(false)
        // A guest that loops pays 16-25 % for epochs and 25-47 % for fuel.
        .epoch_interruption(true)
        .consume_fuel(false)
        // The stack that host functions run on is what is left of the fiber's: half a MiB.
        .max_wasm_stack(512 * 1024)
        .async_stack_size(1024 * 1024);
    config
}

/// An engine with room for so many instances, and its ticker.
pub(crate) fn start(instances: u32, threads: usize, cpu: &Arc<CpuMeter>) -> Result<Engine, HostError> {
    let engine = Engine::new(&config(instances))
        .map_err(|source| HostError::Engine { instances_limit: instances, source: source.into() })?;
    let (weak, cpu) = (engine.weak(), Arc::clone(cpu));
    thread::Builder::new()
        .name("witgate-epochs".into())
        .spawn(move || tick(&weak, threads, &cpu))
        .map_err(HostError::Thread)?;
    Ok(engine)
}

/// Ticks for as long as the engine lives. One thread for the whole engine: bumping the shared epoch as a timeout of one
/// plugin would cut all others short.
fn tick(engine: &EngineWeak, threads: usize, cpu: &CpuMeter) {
    let _keeping = GUESTS.keep_time();
    let started = Instant::now();
    let mut sampler = CpuSampler::new(threads, process_time(), Duration::ZERO);
    let (mut next, mut sampled) = (started, started);
    loop {
        next += TICK;
        match next.checked_duration_since(Instant::now()) {
            // A guest that begins before this has unparked the thread.
            _ if GUESTS.are_none() => {
                thread::park_timeout(CPU_SAMPLE);
                next = Instant::now();
            }
            Some(pause) => thread::sleep(pause),
            // Late: a machine that stood still must not cost a guest its time, so lost ticks stay lost.
            None => next = Instant::now(),
        }
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
        if next.saturating_duration_since(sampled) >= CPU_SAMPLE {
            sampled = next;
            cpu.set(sampler.push(process_time(), started.elapsed()));
        }
    }
}
