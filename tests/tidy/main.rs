//! The project's rules that must never break, as tests: who may link what, and calls that have no place here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is a folder of the project")
}

/// Direct normal dependencies of every workspace crate, by name, from cargo itself.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
            let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
            let names = normal.map(|dependency| dependency["name"].as_str().unwrap_or_default().to_owned());
            (package["name"].as_str().unwrap_or_default().to_owned(), names.collect())
        })
        .collect()
}

/// The workspace crates from which `target` can be reached.
fn users_of(target: &str) -> BTreeSet<String> {
    let graph = dependencies();
    let reaches = |start: &str| {
        let mut queue = VecDeque::from([start]);
        let mut seen = BTreeSet::new();
        while let Some(name) = queue.pop_front() {
            for dependency in graph.get(name).into_iter().flatten() {
                if dependency == target {
                    return true;
                }
                if seen.insert(dependency) {
                    queue.push_back(dependency);
                }
            }
        }
        false
    };
    graph.keys().filter(|name| reaches(name)).cloned().collect()
}

fn files(extension: &str, folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(extension, &path));
        } else if path.extension().is_some_and(|have| have == extension) {
            found.push(path);
        }
    }
    found
}

/// Lines of our source, outside of comments, that contain `needle`.
fn mentions(needle: &str, except: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in files("rs", &root().join("crates")) {
        let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        if except.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("source is UTF-8");
        for (index, line) in text.lines().enumerate() {
            if line.contains(needle) && !line.trim_start().starts_with("//") {
                found.push(format!("{name}:{}: {}", index + 1, line.trim()));
            }
        }
    }
    found
}

#[test]
fn only_the_apiserver_links_storage() {
    let users = users_of("storage");
    assert_eq!(users, BTreeSet::from(["apiserver".to_owned()]), "crates that reach `storage`");
    let users = users_of("etcd-client");
    assert_eq!(
        users,
        BTreeSet::from(["apiserver".to_owned(), "storage".to_owned()]),
        "crates that reach etcd-client"
    );
}

#[test]
fn no_daemon_depends_on_another() {
    let daemons = ["apiserver", "scheduler", "controller-manager", "kubelet", "proxy", "dns", "network"];
    let graph = dependencies();
    for (name, dependencies) in &graph {
        let used = daemons.iter().find(|daemon| dependencies.contains(**daemon));
        assert_eq!(used, None, "{name} depends on a daemon; what two share goes one floor down");
    }
}

#[test]
fn only_api_types_names_k8s_openapi() {
    let graph = dependencies();
    let users: Vec<_> =
        graph.iter().filter(|(_, names)| names.contains("k8s-openapi")).map(|(name, _)| name).collect();
    assert_eq!(users, ["api-types"]);
    let named = mentions("k8s_openapi", &["crates/api-types/"]);
    assert!(named.is_empty(), "use api_types::k8s instead:\n{}", named.join("\n"));
}

#[test]
fn only_the_client_lists_and_watches() {
    for needle in ["kube_runtime", "kube::runtime"] {
        let named = mentions(needle, &[]);
        assert!(
            named.is_empty(),
            "informers of the client crate are the only list+watch:\n{}",
            named.join("\n")
        );
    }
}

#[test]
fn every_crate_inherits_the_workspace_lints() {
    for manifest in files("toml", &root().join("crates")) {
        if manifest.file_name().is_some_and(|name| name == "Cargo.toml") {
            let text = std::fs::read_to_string(&manifest).expect("manifest");
            assert!(
                text.contains("[lints]\nworkspace = true"),
                "{} does not inherit the lints",
                manifest.display()
            );
        }
    }
}

#[test]
fn main_files_only_start_things() {
    for path in files("rs", &root().join("crates")) {
        if path.file_name().is_some_and(|name| name == "main.rs")
            && path.parent().is_some_and(|folder| folder.ends_with("src"))
        {
            let lines = std::fs::read_to_string(&path).expect("source").lines().count();
            assert!(lines <= 30, "{} has {lines} lines; move what it does into the library", path.display());
        }
    }
}

#[test]
fn the_sentence_that_explains_nothing_is_never_said() {
    let said = mentions("timed out waiting for the condition", &["crates/ctl/"]);
    assert!(said.is_empty(), "say what was waited for and why it did not come:\n{}", said.join("\n"));
}

#[test]
fn nothing_is_left_open_in_the_code() {
    for needle in ["TODO", "FIXME", "XXX:", "unimplemented!", "todo!"] {
        let found = mentions(needle, &[]);
        assert!(found.is_empty(), "{needle}:\n{}", found.join("\n"));
    }
}

#[test]
fn nothing_names_a_machine_of_ours() {
    for needle in ["/work/", "/root/"] {
        let found = mentions(needle, &[]);
        assert!(found.is_empty(), "{needle} exists on no user's machine:\n{}", found.join("\n"));
    }
}
