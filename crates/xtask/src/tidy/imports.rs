//! Which room of `ts/` may import which, and that only `ts/native/` loads the addon.

use super::{Finding, lines};
use crate::tree::File;

/// The rooms in tiers: a file may import its own room and the rooms of later tiers.
///
/// A room is a folder, or a file at the top of `ts/`. Files at the top that no row names are the api.
const TIERS: [&[&str]; 15] = [
    &["cli", "server"],
    &["index.ts", "embed", "io"],
    &[API],
    &["cluster"],
    &["replication"],
    &["native", "client", "commit-store", "object-store"],
    &["options.ts"],
    &["encryption.ts"],
    &["types.ts"],
    &["filter.ts"],
    &["infer.ts"],
    &["schema.ts"],
    &["check.ts", "msgpack"],
    &["errors.ts", "limits.ts", "version.ts"],
    &["internal"],
];

/// `database.ts`, `collection.ts` and what else stands beside them.
const API: &str = "the api";

pub fn check(file: &File) -> Vec<Finding> {
    let Some(path) = file.path.strip_prefix("ts/") else {
        return Vec::new();
    };
    if !file.is(&["ts", "mts", "cts"]) {
        return Vec::new();
    }
    let from = room(path);
    let mut findings = Vec::new();
    for (number, line) in lines(&file.text) {
        if from != "native" && loads_addon(line) {
            let message = "only ts/native/ loads the addon; import what it exports";
            findings.push(Finding::error(file, number, message));
        }
        let Some(target) = specifier(line).and_then(|specifier| resolve(path, specifier)) else {
            continue;
        };
        let to = room(&target);
        if from != to && tier(from) >= tier(to) {
            let message = format!("{from} must not import {to}: imports point to later tiers");
            findings.push(Finding::error(file, number, message));
        }
    }
    findings
}

fn tier(room: &str) -> usize {
    TIERS
        .iter()
        .position(|rooms| rooms.contains(&room))
        .expect("room() answers with names of the table only")
}

/// The room that a path below `ts/` belongs to.
fn room(path: &str) -> &'static str {
    let first = path.split('/').next().unwrap_or(path);
    TIERS
        .iter()
        .flat_map(|rooms| rooms.iter())
        .find(|room| **room == first)
        .copied()
        .unwrap_or(API)
}

fn loads_addon(line: &str) -> bool {
    line.contains("@cairndb/binding") || line.contains(".node'") || line.contains("createRequire(")
}

/// The text between the quotes of an import, an export-from or a dynamic import.
fn specifier(line: &str) -> Option<&str> {
    let after = ["from ", "import(", "import "].iter().find_map(|word| {
        let rest = &line[line.find(word)? + word.len()..];
        rest.starts_with(['\'', '"']).then_some(rest)
    })?;
    let quote = after.chars().next()?;
    after[1..].split(quote).next()
}

/// The path below `ts/` that a relative specifier names, written as its source.
fn resolve(importer: &str, specifier: &str) -> Option<String> {
    if !specifier.starts_with('.') {
        return None;
    }
    let mut parts: Vec<&str> = importer.split('/').collect();
    parts.pop();
    for part in specifier.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    let path = parts.join("/");
    Some(match path.strip_suffix(".js") {
        Some(stem) => format!("{stem}.ts"),
        None => path,
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_found, file};
    use super::check;

    #[test]
    fn imports_that_point_right_are_fine() {
        let text = "import { Database } from './database.js'\nimport './native/loader.js'\n\
                    export { x } from './errors.js'\nconst y = await import('./internal/retry.ts')\n";
        assert_found(check(&file("ts/index.ts", text)), &[]);
        let text = "import { Collection } from './collection.ts'\nimport type { Schema } from './schema.js'\n";
        assert_found(check(&file("ts/database.ts", text)), &[]);
    }

    #[test]
    fn imports_that_point_left_are_found() {
        let text = "import fs from 'node:fs'\nimport type { Database } from '../database.js'\n";
        assert_found(
            check(&file("ts/native/loader.ts", text)),
            &[(2, "native must not import the api")],
        );
        assert_found(
            check(&file(
                "ts/collection.ts",
                "export { open } from './index.js'\n",
            )),
            &[(1, "must not import index.ts")],
        );
        assert_found(
            check(&file("ts/internal/retry.ts", "import('../errors.js')\n")),
            &[(1, "internal must not import errors.ts")],
        );
        assert_found(
            check(&file(
                "ts/commit-store/memory.ts",
                "import '../object-store/s3.js'\n",
            )),
            &[(1, "commit-store must not import object-store")],
        );
    }

    #[test]
    fn the_addon_is_loaded_in_one_room() {
        let text = "const addon = require(`@cairndb/binding-${target}`)\n";
        assert_found(check(&file("ts/native/loader.ts", text)), &[]);
        assert_found(
            check(&file("ts/database.ts", text)),
            &[(1, "only ts/native/")],
        );
    }
}
