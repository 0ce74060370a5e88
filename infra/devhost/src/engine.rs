//! The wasmtime engine, and compiled code kept on disk between runs.

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use wasmtime::component::Component;
use wasmtime::{Config, Engine, PoolingAllocationConfig};

/// Instances at one time, in the whole process: as Spin.
const MAX_INSTANCES: u32 = 1_000;
/// Core modules, tables and stacks: several for each instance.
const MAX_PARTS: u32 = 4 * MAX_INSTANCES;
const MAX_MEMORY_BYTES: usize = 4 << 30;

/// Makes the engine: component model with async, pooled instances.
pub(crate) fn engine() -> Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(MAX_INSTANCES)
        .total_core_instances(MAX_PARTS)
        .total_memories(MAX_INSTANCES)
        .total_tables(MAX_PARTS)
        .total_stacks(MAX_PARTS)
        .max_memory_size(MAX_MEMORY_BYTES);
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    config.allocation_strategy(pool);
    Engine::new(&config).map_err(plain)
}

/// wasmtime's errors are a type of their own.
pub(crate) fn plain(error: wasmtime::Error) -> anyhow::Error {
    anyhow::Error::from_boxed(error.into_boxed_dyn_error())
}

/// A folder of compiled components, named by the digest of the code and what compiled it.
pub(crate) struct CodeCache(PathBuf);

impl CodeCache {
    /// Opens `folder`, readable by its owner only: whoever writes there runs code in this process.
    pub(crate) fn open(folder: PathBuf) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .and_then(|()| fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)))
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// Loads the component at `source`, compiling it when this version of it is new.
    pub(crate) fn load(&self, engine: &Engine, source: &Path) -> Result<Component> {
        let wasm = fs::read(source).with_context(|| {
            format!("cannot read {}: is it built? (`cargo xtask build`)", source.display())
        })?;
        let path = self.0.join(name(engine, &wasm));
        if path.is_file() {
            match deserialize(engine, &path) {
                Ok(component) => return Ok(component),
                Err(error) => tracing::warn!(%error, "compiled code is unusable, compiling again"),
            }
        }
        tracing::info!(source = %source.display(), "compiling");
        let code = engine
            .precompile_component(&wasm)
            .map_err(plain)
            .with_context(|| format!("{} is no component", source.display()))?;
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&temporary, code).context("cannot write compiled code")?;
        fs::rename(&temporary, &path).context("cannot write compiled code")?;
        deserialize(engine, &path)
    }
}

/// The hash of the engine changes with wasmtime's version and settings.
fn name(engine: &Engine, wasm: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let digest = Sha256::digest(wasm);
    let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("{hex}-{:016x}.cwasm", hasher.finish())
}

#[expect(unsafe_code, reason = "wasmtime cannot check native code")]
fn deserialize(engine: &Engine, path: &Path) -> Result<Component> {
    // SAFETY: only this user can write to the folder, and only `load` does.
    unsafe { Component::deserialize_file(engine, path) }.map_err(plain)
}
