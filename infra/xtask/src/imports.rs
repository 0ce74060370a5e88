//! `cargo xtask imports`: a component imports what its world in `wit/` lists, no more and no less.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use holdfast_dev::{say, workspace};
use serde_json::Value;
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{PackageId, Resolve, UnresolvedPackageGroup, WorldId};

use crate::build::{COMPONENTS, component_file};

/// Carries the WIT that ours refers to.
const SDK: &str = "spin-sdk";

/// Interface names as a component spells them: `wasi:http/types@0.3.0`.
type Names = BTreeSet<String>;

/// What a component, or a world, imports and exports.
#[derive(Debug, Default, PartialEq, Eq)]
struct Interfaces {
    imports: Names,
    exports: Names,
}

/// Checks every built component.
///
/// # Errors
/// A component is not built, or differs from its world; every difference is listed.
pub(crate) fn check() -> Result<()> {
    let folder = workspace().join("wit");
    let std = rust_std(&folder)?;
    let (resolve, ours) = worlds(&folder)?;
    let mut differences = Vec::new();
    for package in COMPONENTS {
        let name = package.trim_start_matches("holdfast-");
        let allowed = world(&resolve, ours, name)?;
        let found = component(&component_file(package))?;
        let new = compare(&allowed, &found, &std);
        if new.is_empty() {
            say(format!("{name}: {} imports, as its world says", found.imports.len()));
        }
        differences.extend(new.into_iter().map(|line| format!("{name} {line}")));
    }
    if !differences.is_empty() {
        bail!("the built components and wit/ differ:\n    {}", differences.join("\n    "));
    }
    Ok(())
}

/// Every difference as the end of a sentence.
fn compare(allowed: &Interfaces, found: &Interfaces, std: &Names) -> Vec<String> {
    let foreign = found
        .imports
        .iter()
        .filter(|it| !allowed.imports.contains(*it) && !std.contains(&minor(it)));
    let unused = allowed.imports.difference(&found.imports);
    let missing = allowed.exports.difference(&found.exports);
    let extra = found.exports.difference(&allowed.exports);
    foreign
        .map(|it| format!("imports {it}, which its world does not list"))
        .chain(unused.map(|it| format!("does not import {it}, which its world lists")))
        .chain(missing.map(|it| format!("does not export {it}, which its world lists")))
        .chain(extra.map(|it| format!("exports {it}, which its world does not list")))
        .collect()
}

/// `wasi:io/streams@0.2.6` as `wasi:io/streams@0.2`: the patch version is the compiler's choice.
fn minor(name: &str) -> String {
    let Some((interface, version)) = name.split_once('@') else {
        return name.to_owned();
    };
    let version: Vec<&str> = version.splitn(3, '.').take(2).collect();
    format!("{interface}@{}", version.join("."))
}

/// What every Rust program for this target may import through its standard library.
fn rust_std(folder: &Path) -> Result<Names> {
    let path = folder.join("rust-std.txt");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().map(str::trim);
    Ok(lines.filter(|it| !it.is_empty() && !it.starts_with('#')).map(str::to_owned).collect())
}

fn worlds(folder: &Path) -> Result<(Resolve, PackageId)> {
    let mut resolve = Resolve::default();
    let sdk = sdk_wit()?;
    resolve.push_dir(&sdk).with_context(|| format!("the WIT in {}", sdk.display()))?;
    let group = UnresolvedPackageGroup::parse_dir(folder)
        .with_context(|| format!("the WIT in {}", folder.display()))?;
    let ours = resolve.push_group(group).context("the WIT in wit/")?;
    Ok((resolve, ours))
}

/// Where cargo keeps the WIT of Spin.
fn sdk_wit() -> Result<PathBuf> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version=1", "--filter-platform=wasm32-wasip2"])
        .current_dir(workspace())
        .output()
        .context("cannot run cargo metadata")?;
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
    metadata["packages"]
        .as_array()
        .and_then(|packages| packages.iter().find(|package| package["name"] == SDK))
        .and_then(|package| package["manifest_path"].as_str())
        .and_then(|manifest| Some(Path::new(manifest).parent()?.join("wit")))
        .ok_or_else(|| anyhow!("cargo metadata does not list {SDK}"))
}

fn world(resolve: &Resolve, package: PackageId, name: &str) -> Result<Interfaces> {
    let world = resolve
        .select_world(&[package], Some(name))
        .with_context(|| format!("wit/{name}.wit has to hold `world {name}`"))?;
    Ok(interfaces(resolve, world))
}

fn component(file: &Path) -> Result<Interfaces> {
    let bytes = std::fs::read(file)
        .with_context(|| format!("{} is missing: run `cargo xtask build`", file.display()))?;
    match decode(&bytes).with_context(|| format!("{}", file.display()))? {
        DecodedWasm::Component(resolve, world) => Ok(interfaces(&resolve, world)),
        DecodedWasm::WitPackage(..) => bail!("{} is no component", file.display()),
    }
}

fn interfaces(resolve: &Resolve, world: WorldId) -> Interfaces {
    let world = &resolve.worlds[world];
    Interfaces {
        imports: world.imports.keys().map(|key| resolve.name_world_key(key)).collect(),
        exports: world.exports.keys().map(|key| resolve.name_world_key(key)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Names {
        list.iter().map(|&it| it.to_owned()).collect()
    }

    #[test]
    fn only_the_patch_version_of_the_standard_library_is_free() {
        let std = names(&["wasi:io/streams@0.2"]);
        let allowed = Interfaces {
            imports: names(&["spin:postgres/postgres@4.2.0"]),
            exports: names(&["wasi:http/handler@0.3.0"]),
        };
        let found = |imports: &[&str]| Interfaces {
            imports: names(imports),
            exports: names(&["wasi:http/handler@0.3.0"]),
        };
        let good = ["spin:postgres/postgres@4.2.0", "wasi:io/streams@0.2.6"];
        assert_eq!(compare(&allowed, &found(&good), &std), Vec::<String>::new());

        let wrong = ["spin:postgres/postgres@4.3.0", "wasi:io/streams@0.3.0"];
        let lines = compare(&allowed, &found(&wrong), &std);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(
            lines[0].contains("imports spin:postgres/postgres@4.3.0, which its world does not")
        );
        assert!(lines[2].contains("does not import spin:postgres/postgres@4.2.0"));
    }

    #[test]
    fn a_changed_export_is_a_difference_twice() {
        let allowed =
            Interfaces { exports: names(&["wasi:http/handler@0.3.0"]), ..Default::default() };
        let found =
            Interfaces { exports: names(&["wasi:http/handler@0.4.0"]), ..Default::default() };
        assert_eq!(compare(&allowed, &found, &Names::new()).len(), 2);
    }
}
