//! `spin:variables@3.0.0`: what the manifest gives to the component, and nothing else.

use crate::bindings::spin::variables::variables::{Error, Host, HostWithStore};
use crate::component::Has;
use crate::instance::State;
use crate::variables::check_name;
use wasmtime::Result as HostResult;
use wasmtime::component::Accessor;

impl Host for State {}

impl<T: Send> HostWithStore<T> for Has {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> HostResult<Result<String, Error>> {
        if let Err(error) = check_name(&name) {
            return Ok(Err(Error::InvalidName(error.to_string())));
        }
        accessor.with(|mut access| {
            let value = access.get().component.variables.get(&name).map(str::to_owned);
            Ok(value.ok_or(Error::Undefined(name)))
        })
    }
}
