//! One component of the application, made ready: its code, what it may reach, what it was given.

use crate::allow_list::AllowList;
use crate::bindings;
use crate::engine::{CodeCache, plain};
use crate::instance::{Instances, Reuse, State};
use crate::key_value::{DEFAULT_LABEL, KeyValue};
use crate::manifest::Manifest;
use crate::outbound::Client;
use crate::postgres::Pools;
use crate::variables::Variables;
use anyhow::{Context as _, Result, bail};
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmtime::Engine;
use wasmtime::component::{HasData, Linker};
use wasmtime_wasi_http::handler::{ProxyHandler, ProxyPre};
use wasmtime_wasi_http::p3::bindings::ServicePre;

/// What the instances of a component share.
pub(crate) struct Component {
    pub(crate) id: String,
    pub(crate) variables: Variables,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) allow_list: Arc<AllowList>,
    pub(crate) stores: Vec<String>,
    pub(crate) key_value: KeyValue,
    pub(crate) pools: Pools,
    pub(crate) client: Client,
}

/// How [`State`] reaches the generated bindings.
pub(crate) struct Has;

impl HasData for Has {
    type Data<'a> = &'a mut State;
}

/// What every component is made with.
pub(crate) struct Host<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) code: &'a CodeCache,
    pub(crate) manifest: &'a Manifest,
    pub(crate) variables: &'a Variables,
    pub(crate) key_value: &'a KeyValue,
    pub(crate) client: &'a Client,
    pub(crate) reuse: Reuse,
}

impl Host<'_> {
    /// Loads every component of the manifest.
    pub(crate) fn load(&self) -> Result<BTreeMap<String, ProxyHandler<Instances>>> {
        let linker = linker(self.engine).map_err(plain)?;
        let mut handlers = BTreeMap::new();
        for id in self.manifest.component.keys() {
            let instances =
                self.component(id, &linker).with_context(|| format!("component {id:?}"))?;
            handlers.insert(id.clone(), ProxyHandler::new(instances));
        }
        Ok(handlers)
    }

    fn component(&self, id: &str, linker: &Linker<State>) -> Result<Instances> {
        let declared = &self.manifest.component[id];
        let allow_list = AllowList::parse(&declared.allowed_outbound_hosts, self.variables)?;
        if let AllowList::Invalid(entry) = &allow_list {
            tracing::error!(component = id, entry, "this entry is unusable: every host is denied");
        }
        if let Some(label) = declared.key_value_stores.iter().find(|l| *l != DEFAULT_LABEL) {
            bail!("key_value_stores: only {DEFAULT_LABEL:?} exists here, not {label:?}");
        }
        let code = self.code.load(self.engine, &self.manifest.source(id)?)?;
        let pre = linker.instantiate_pre(&code).map_err(plain)?;
        let component = Component {
            id: id.to_owned(),
            variables: self.variables.component(&declared.variables)?,
            environment: declared.environment.clone(),
            allow_list: Arc::new(allow_list),
            stores: declared.key_value_stores.clone(),
            key_value: self.key_value.clone(),
            pools: Pools::default(),
            client: self.client.clone(),
        };
        Ok(Instances {
            pre: ProxyPre::P3(
                ServicePre::new(pre)
                    .map_err(plain)
                    .context("it must export wasi:http/handler@0.3")?,
            ),
            component: Arc::new(component),
            reuse: self.reuse,
        })
    }
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    // The standard library of wasm32-wasip2 imports WASI 0.2 beside our 0.3.
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi::p3::add_to_linker(&mut linker)?;
    wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
    bindings::Imports::add_to_linker::<_, Has>(&mut linker, |state| state)?;
    Ok(linker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::engine;

    /// A component that imports `interface` with one function `open`, in the binary format.
    fn importing(interface: &str) -> Vec<u8> {
        let length = u8::try_from(interface.len()).unwrap();
        // A type section: one instance type with two declarations, a function's type, and its export.
        let function = [0x01, 0x40, 0x00, 0x01, 0x00];
        let export = [0x04, 0x00, 0x04, b'o', b'p', b'e', b'n', 0x01, 0x00];
        let types = [&[0x01, 0x42, 0x02], &function[..], &export[..]].concat();
        // An import section: the interface is an instance of that type.
        let import = [&[0x01, 0x00, length], interface.as_bytes(), &[0x05, 0x00]].concat();
        let section =
            |id: u8, body: &[u8]| [&[id, u8::try_from(body.len()).unwrap()], body].concat();
        [b"\0asm\x0d\0\x01\0".to_vec(), section(7, &types), section(10, &import)].concat()
    }

    fn refusal(interface: &str) -> String {
        let engine = engine().unwrap();
        let wasm = importing(interface);
        let component = wasmtime::component::Component::from_binary(&engine, &wasm).unwrap();
        let Err(error) = linker(&engine).unwrap().instantiate_pre(&component) else {
            panic!("{interface} is linked")
        };
        format!("{error:?}")
    }

    #[test]
    fn there_are_no_key_value_atomics() {
        for name in ["store", "atomics", "batch"] {
            let interface = format!("wasi:keyvalue/{name}@0.2.0-draft2");
            let refusal = refusal(&interface);
            assert!(refusal.contains(&interface), "{refusal}");
        }
    }
}
