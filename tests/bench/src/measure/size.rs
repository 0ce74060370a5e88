//! The sizes of the built components.

use std::fs;

use anyhow::{Context, Result};
use holdfast_dev::workspace;

use crate::table::{Table, against};

const AIM_BYTES: u64 = 500_000;

pub(super) fn measure() -> Result<Table> {
    let manifest = workspace().join("spin.toml");
    let text = fs::read_to_string(&manifest).context("cannot read spin.toml")?;
    let mut table = Table::new("Component sizes", &["component", "bytes", "aim"]);
    for (name, source) in sources(&text)? {
        let path = workspace().join(&source);
        let size = fs::metadata(&path)
            .with_context(|| format!("cannot find {source}: run `cargo xtask build`"))?
            .len();
        table.row([name, size.to_string(), against("under 500 kB", size < AIM_BYTES)]);
    }
    Ok(table)
}

/// The name and file of each component.
fn sources(manifest: &str) -> Result<Vec<(String, String)>> {
    let manifest: toml::Table = manifest.parse().context("spin.toml is no TOML")?;
    let components = manifest.get("component").and_then(toml::Value::as_table);
    let components = components.context("spin.toml names no component")?.iter();
    components
        .map(|(name, component)| {
            let source = component.get("source").and_then(toml::Value::as_str);
            let source = source.with_context(|| format!("{name} has no source file"))?;
            Ok((name.clone(), source.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_of_a_manifest() {
        let manifest = "[component.b]\nsource = \"b.wasm\"\n[component.a]\nsource = \"a.wasm\"\n";
        let mut found = sources(manifest).unwrap();
        found.sort();
        assert_eq!(
            found,
            [("a".to_owned(), "a.wasm".to_owned()), ("b".to_owned(), "b.wasm".to_owned())]
        );
        assert!(sources("").is_err());
        assert!(sources("[component.a]\n").is_err());
    }
}
