//! Writes the host bindings against the WIT that `spin-sdk` carries, so that it is copied nowhere.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const PACKAGE: &str = "spin-sdk";
const VERSION: &str = "7.0.0";

const TEMPLATE: &str = r##"
wasmtime::component::bindgen!({
    path: r#"@WIT@"#,
    world: "holdfast:devhost/imports",
    inline: "package holdfast:devhost;
        world imports {
            import spin:postgres/postgres@4.2.0;
            import spin:key-value/key-value@3.0.0;
            import spin:variables/variables@3.0.0;
        }",
    imports: {
        "spin:postgres/postgres.[static]connection.open": async | trappable,
        "spin:postgres/postgres.[method]connection.query": async | trappable,
        "spin:postgres/postgres.[method]connection.execute": async | trappable,
        "spin:postgres/postgres.[method]connection-builder.build": async | trappable,
        default: trappable,
    },
    with: {
        "spin:postgres/postgres.connection": crate::postgres::Connection,
        "spin:postgres/postgres.connection-builder": crate::postgres::ConnectionBuilder,
        "spin:key-value/key-value.store": crate::key_value::OpenStore,
    },
});
"##;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../../Cargo.lock");
    let Some(wit) = wit_folder() else {
        println!("cargo::error=the WIT of {PACKAGE} {VERSION} was not found: run `cargo fetch`");
        return;
    };
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("bindings.rs");
    let text = TEMPLATE.replace("@WIT@", &wit.display().to_string());
    if let Err(error) = fs::write(&out, text) {
        println!("cargo::error=cannot write {}: {error}", out.display());
    }
}

/// Asks cargo first (a vendored or patched crate lies elsewhere), without the network and then with
/// it: a build for this machine downloads no crate that only the components use.
fn wit_folder() -> Option<PathBuf> {
    metadata(&["--offline"])
        .or_else(|| metadata(&[]))
        .or_else(registry)
        .map(|crate_dir| crate_dir.join("wit"))
        .filter(|wit| wit.is_dir())
}

fn metadata(extra: &[&str]) -> Option<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--filter-platform=wasm32-wasip2"])
        .args(extra)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    let package = metadata["packages"]
        .as_array()?
        .iter()
        .find(|package| package["name"] == PACKAGE && package["version"] == VERSION)?;
    Path::new(package["manifest_path"].as_str()?)
        .parent()
        .filter(|dir| dir.join("wit").is_dir())
        .map(Path::to_path_buf)
}

fn registry() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")))?;
    fs::read_dir(home.join("registry/src"))
        .ok()?
        .filter_map(Result::ok)
        .map(|index| index.path().join(format!("{PACKAGE}-{VERSION}")))
        .find(|dir| dir.join("wit").is_dir())
}
