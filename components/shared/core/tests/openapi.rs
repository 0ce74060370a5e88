//! The OpenAPI document says what the code does: its error codes, their statuses, and the routes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use holdfast_core::error::Code;
use holdfast_core::limits::{MAX_KEY_BYTES, MAX_PUT_BYTES, RECONCILE_BATCH, RECONCILE_MANY};
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../../ops/src/openapi.json");
const MANIFEST: &str = include_str!("../../../../spin.toml");
const README: &str = include_str!("../../../../README.md");

/// What the paths of upload tokens begin with; the README says them in a row for each family.
const BY_TOKEN: &str = "/v1/t/{token}/";

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

fn document() -> Value {
    serde_json::from_str(DOCUMENT).expect("openapi.json is JSON")
}

/// What `value` is, with a reference followed.
fn follow<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        None => value,
        Some(reference) => {
            let pointer = reference.strip_prefix('#').expect("a local reference");
            document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
        }
    }
}

/// Every response of every operation: `get /healthz 200`, its status, and itself.
fn responses(document: &Value) -> Vec<(String, u16, &Value)> {
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for (status, response) in operation["responses"].as_object().into_iter().flatten() {
                let at = format!("{method} {path} {status}");
                all.push((at, status.parse().expect("a status"), follow(document, response)));
            }
        }
    }
    all
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(members) => {
            if members.contains_key("$ref") {
                found.push(value);
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn the_codes_are_those_of_the_table() {
    let document = document();
    let names = document.pointer("/components/schemas/Problem/properties/code/enum").unwrap();
    let names: Vec<_> =
        names.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, Code::ALL.map(Code::as_str));
}

#[test]
fn an_error_lists_its_codes_and_each_has_that_status() {
    let document = document();
    let all = responses(&document);
    assert!(!all.is_empty());
    for (at, status, response) in all {
        // The one error that is no problem document: it names what does not answer.
        let is_error = status >= 400 && !at.ends_with("/readyz 503");
        let codes: Vec<_> = response["x-codes"].as_array().into_iter().flatten().collect();
        assert_eq!(!codes.is_empty(), is_error, "{at} lists codes if it is an error");
        let has_problem = response.pointer("/content/application~1problem+json").is_some();
        assert_eq!(has_problem, is_error && !at.starts_with("head "), "{at} has a problem's body");
        for name in codes {
            let code = Code::from_name(name.as_str().unwrap()).expect("a code of the table");
            // What is over soon: HEAD of TUS gives all of it one status, at which clients ask again.
            let is_locked = status == 423 && matches!(code.status(), 409 | 429 | 500..);
            assert!(is_locked || code.status() == status, "{at}: {name}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        assert!(follow(&document, reference).is_object(), "{reference}");
    }
}

#[test]
fn the_paths_are_the_routes_of_the_manifest() {
    let document = document();
    let routes: BTreeSet<_> = MANIFEST
        .lines()
        .filter_map(|line| line.strip_prefix("route = \"")?.strip_suffix('"'))
        .map(|route| route.trim_end_matches("/...").split("/:").next().unwrap())
        .collect();
    let paths: BTreeSet<_> = document["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(|path| path.split("/{").next().unwrap())
        // A route has all that is below it.
        .map(|path| {
            let is_of = |route: &&str| {
                path.strip_prefix(*route).is_some_and(|it| it.is_empty() || it.starts_with('/'))
            };
            routes.iter().copied().find(is_of).unwrap_or(path)
        })
        .collect();
    assert!(!routes.is_empty());
    assert_eq!(paths, routes);
}

/// Every operation of the document: its method and its path.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let items = document["paths"].as_object().unwrap().iter();
    let methods = |(path, item): (&String, &Value)| -> Vec<_> {
        let names = item.as_object().unwrap().keys().map(|name| name.to_ascii_uppercase());
        let methods = names.filter(|name| METHODS.contains(&name.as_str()));
        methods.map(|method| (method, path.clone())).collect()
    };
    items.flat_map(methods).collect()
}

/// The rows of the README's table of routes: what its first cell names, and the component.
fn rows() -> Vec<(&'static str, &'static str)> {
    let (_, table) = README.split_once("| route | component | who may | what |\n").unwrap();
    let rows = table.lines().skip(1).map_while(|line| line.strip_prefix("| "));
    rows.map(|row| row.split_once(" | ").unwrap())
        .map(|(routes, rest)| (routes, rest.split_once(" | ").unwrap().0))
        .collect()
}

/// What a cell names: `GET`, `HEAD /a`, `?b` are two operations. A path without a method has all of them.
fn named(routes: &str) -> Vec<(&str, String)> {
    let mut all = Vec::new();
    let mut methods = Vec::new();
    for code in routes.split('`').skip(1).step_by(2).filter(|code| !code.starts_with('?')) {
        let (method, path) = match code.split_once(' ') {
            Some((method, path)) => (method, path),
            None if code.starts_with('/') => ("", code),
            None => (code, ""),
        };
        assert!(method.is_empty() || METHODS.contains(&method), "{routes}");
        methods.push(method);
        if !path.is_empty() {
            let path = path.split('?').next().unwrap().replace("{key...}", "{key}");
            all.extend(methods.drain(..).map(|method| (method, path.clone())));
        }
    }
    assert!(methods.is_empty(), "{routes} ends without a path");
    all
}

#[test]
fn the_table_of_the_readme_names_the_operations() {
    let (by_token, operations): (BTreeSet<_>, BTreeSet<_>) =
        operations(&document()).into_iter().partition(|(_, path)| path.starts_with(BY_TOKEN));
    let mut found = BTreeSet::new();
    let mut families = BTreeSet::new();
    for (method, path) in rows().into_iter().flat_map(|(routes, _)| named(routes)) {
        if let Some(family) = path.strip_prefix(BY_TOKEN) {
            families.insert(family.strip_suffix("...").expect("a whole family").to_owned());
            continue;
        }
        let operation = (method.to_owned(), path);
        assert!(!found.contains(&operation), "{operation:?} is there twice");
        found.insert(operation);
    }
    let less = |a: &BTreeSet<_>, b: &BTreeSet<_>| a.difference(b).cloned().collect::<Vec<_>>();
    assert_eq!(less(&operations, &found), [], "the README has no row");
    assert_eq!(less(&found, &operations), [], "the document has no operation");
    // By a token each family has what it has without one.
    let folded: BTreeSet<_> = by_token
        .into_iter()
        .map(|(method, path)| (method, path.replacen(BY_TOKEN, "/v1/", 1)))
        .collect();
    let of_family = |path: &str| {
        let rest = format!("{}/", path.strip_prefix("/v1/").unwrap_or_default());
        families.iter().any(|family| rest.starts_with(family))
    };
    let twice: BTreeSet<_> = operations.into_iter().filter(|(_, path)| of_family(path)).collect();
    assert_eq!(folded, twice);
}

#[test]
fn the_table_of_the_readme_names_the_component_of_each_route() {
    let mut routes = Vec::new();
    for line in MANIFEST.lines() {
        if let Some(route) = line.strip_prefix("route = \"").and_then(|it| it.strip_suffix('"')) {
            routes.push((route.trim_end_matches("/...").replace("/:token", "/{token}"), ""));
        } else if let Some(name) = line.strip_prefix("component = \"")
            && let Some((_, component)) = routes.last_mut()
        {
            *component = name.trim_end_matches('"');
        }
    }
    for (cell, component) in rows() {
        for (_, path) in named(cell) {
            let is_below = |(route, _): &&(String, &str)| {
                path.strip_prefix(route.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let longest = routes.iter().filter(is_below).max_by_key(|(route, _)| route.len());
            assert_eq!(longest.map(|(_, name)| *name), Some(component), "{path}");
        }
    }
}

#[test]
fn the_limits_are_those_of_the_code() {
    let document = document();
    let text = |pointer: &str| document.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let key = text("/components/parameters/key/description");
    assert!(key.contains(&format!("1 to {MAX_KEY_BYTES} bytes")), "{key}");
    let put = text("/paths/~1v1~1upload~1{bucket}~1{key}/put/description");
    assert!(put.contains(&format!("{MAX_PUT_BYTES} bytes")), "{put}");
    let reconcile = text("/paths/~1internal~1reconcile/post/description");
    assert!(reconcile.contains(&format!("more than {RECONCILE_MANY} in a step")), "{reconcile}");
    for list in ["blobsWithoutRow", "rowsWithoutBlob"] {
        let at = format!("/components/schemas/Reconciled/properties/{list}/maxItems");
        assert_eq!(document.pointer(&at).unwrap().as_u64(), Some(RECONCILE_BATCH as u64), "{list}");
    }
}
