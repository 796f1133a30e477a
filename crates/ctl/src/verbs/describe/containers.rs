//! Containers: what they run, how they are, what they are given.

use api_types::quantity::Quantity;
use serde_json::Value;

use super::page::{Page, capital, items, text};
use crate::output::time::moment;

/// All containers of a list. `statuses` are there for pods, not for templates; `owner` is the pod or template, which
/// variables refer to; `indent` is where the heading stands.
pub fn containers(
    heading: &str,
    list: &Value,
    statuses: Option<&Value>,
    owner: &Value,
    indent: &str,
) -> Page {
    let mut page = Page::default();
    page.line(format!("{indent}{heading}:"));
    for container in items(list) {
        let name = text(&container["name"]);
        let status = statuses
            .and_then(|statuses| items(statuses).iter().find(|status| status["name"] == container["name"]));
        // One more space sets a template's containers off from its own fields.
        page.line(format!("{}  {name}:", if indent.is_empty() { "" } else { " " }));
        identity(&mut page, container, status);
        arguments(&mut page, "    Command", &container["command"]);
        arguments(&mut page, "    Args", &container["args"]);
        if let Some(status) = status {
            state(&mut page, "State", &status["state"]);
            if status["lastState"]["terminated"].is_object() {
                state(&mut page, "Last State", &status["lastState"]);
            }
            page.field("    Ready", capital(&status["ready"]));
            page.field("    Restart Count", status["restartCount"].as_i64().unwrap_or(0));
        }
        page.section("    Limits", &container["resources"]["limits"]);
        page.section("    Requests", &container["resources"]["requests"]);
        for (key, field) in
            [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
        {
            if container[field].is_object() {
                page.field(&format!("    {key}"), probe(&container[field]));
            }
        }
        environment(&mut page, container, owner);
        mounts(&mut page, container);
    }
    page
}

fn identity(page: &mut Page, container: &Value, status: Option<&Value>) {
    if let Some(status) = status {
        page.field("    Container ID", text(&status["containerID"]));
    }
    page.field("    Image", text(&container["image"]));
    if let Some(status) = status {
        page.field("    Image ID", text(&status["imageID"]));
    }
    let ports = items(&container["ports"]);
    let shown = |field: &str| {
        let port = |port: &Value| {
            let name = port["name"].as_str().map(|name| format!(" ({name})")).unwrap_or_default();
            format!(
                "{}/{}{name}",
                port[field].as_i64().unwrap_or(0),
                port["protocol"].as_str().unwrap_or("TCP")
            )
        };
        let ports: Vec<String> = ports.iter().map(port).collect();
        if ports.is_empty() { "<none>".to_owned() } else { ports.join(", ") }
    };
    let plural = if ports.len() > 1 { "s" } else { "" };
    page.field(&format!("    Port{plural}"), shown("containerPort"));
    page.field(&format!("    Host Port{plural}"), shown("hostPort"));
}

fn arguments(page: &mut Page, key: &str, arguments: &Value) {
    if items(arguments).is_empty() {
        return;
    }
    page.line(format!("{key}:"));
    for argument in items(arguments) {
        text(argument).lines().for_each(|line| page.line(format!("      {line}")));
    }
}

fn state(page: &mut Page, key: &str, state: &Value) {
    let known = [("running", "Running"), ("waiting", "Waiting"), ("terminated", "Terminated")];
    let found = known.iter().find(|(field, _)| state[field].is_object());
    let (field, word) = found.unwrap_or(&("waiting", "Waiting"));
    page.field(&format!("    {key}"), word);
    let state = &state[*field];
    for (key, field) in
        [("Reason", "reason"), ("Message", "message"), ("Exit Code", "exitCode"), ("Signal", "signal")]
    {
        page.known(&format!("      {key}"), &state[field]);
    }
    for (key, field) in [("Started", "startedAt"), ("Finished", "finishedAt")] {
        if state[field].is_string() {
            page.field(&format!("      {key}"), moment(&state[field]));
        }
    }
}

fn probe(probe: &Value) -> String {
    let number = |field: &str, unset: i64| probe[field].as_i64().unwrap_or(unset);
    let timing = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds", 0),
        number("timeoutSeconds", 1),
        number("periodSeconds", 10),
        number("successThreshold", 1),
        number("failureThreshold", 3)
    );
    let (http, tcp, grpc) = (&probe["httpGet"], &probe["tcpSocket"], &probe["grpc"]);
    let action = if http.is_object() {
        let scheme = http["scheme"].as_str().unwrap_or("HTTP").to_lowercase();
        format!("http-get {scheme}://{}:{}{}", text(&http["host"]), text(&http["port"]), text(&http["path"]))
    } else if tcp.is_object() {
        format!("tcp-socket {}:{}", text(&tcp["host"]), text(&tcp["port"]))
    } else if grpc.is_object() {
        format!("grpc <pod>:{} {}", text(&grpc["port"]), text(&grpc["service"]))
    } else {
        let words: Vec<String> = items(&probe["exec"]["command"]).iter().map(text).collect();
        format!("exec [{}]", words.join(" "))
    };
    format!("{action} {timing}")
}

fn environment(page: &mut Page, container: &Value, owner: &Value) {
    if !items(&container["envFrom"]).is_empty() {
        page.line("    Environment Variables from:");
        for source in items(&container["envFrom"]) {
            let (kind, reference) = match source["configMapRef"].is_object() {
                true => ("ConfigMap", &source["configMapRef"]),
                false => ("Secret", &source["secretRef"]),
            };
            let prefix = source["prefix"]
                .as_str()
                .map(|prefix| format!(" with prefix '{prefix}'"))
                .unwrap_or_default();
            let optional = reference["optional"] == true;
            page.line(format!("      {}\t{kind}{prefix}\tOptional: {optional}", text(&reference["name"])));
        }
    }
    if items(&container["env"]).is_empty() {
        page.field("    Environment", "<none>");
        return;
    }
    page.line("    Environment:");
    for variable in items(&container["env"]) {
        let name = text(&variable["name"]);
        let value = if variable["valueFrom"].is_object() {
            reference(&variable["valueFrom"], container, owner)
        } else {
            text(&variable["value"])
        };
        let mut lines = value.lines();
        page.field(&format!("      {name}"), lines.next().unwrap_or_default());
        lines.for_each(|line| page.line(format!("      \t{line}")));
    }
}

fn reference(source: &Value, container: &Value, owner: &Value) -> String {
    let (field, resource) = (&source["fieldRef"], &source["resourceFieldRef"]);
    if field.is_object() {
        let path = text(&field["fieldPath"]);
        let pointer = format!("/{}", path.replace('.', "/"));
        let value = owner.pointer(&pointer).map(text).unwrap_or_default();
        return format!("{value} ({}:{path})", field["apiVersion"].as_str().unwrap_or("v1"));
    }
    if resource.is_object() {
        let path = text(&resource["resource"]);
        return format!("{} ({path})", resource_value(container, &path, &resource["divisor"]));
    }
    for (whose, field) in [("in secret", "secretKeyRef"), ("of config map", "configMapKeyRef")] {
        let key = &source[field];
        if key.is_object() {
            return format!(
                "<set to the key '{}' {whose} '{}'>\tOptional: {}",
                text(&key["key"]),
                text(&key["name"]),
                key["optional"] == true
            );
        }
    }
    source.to_string()
}

/// What a `resourceFieldRef` such as `limits.cpu` gives: the quantity in units of `divisor`, rounded up.
fn resource_value(container: &Value, path: &str, divisor: &Value) -> String {
    let (list, name) = path.split_once('.').unwrap_or((path, ""));
    let quantity = |value: &Value| value.as_str().and_then(|text| Quantity::parse(text).ok());
    let Some(amount) = quantity(&container["resources"][list][name]) else {
        return "node allocatable".into();
    };
    let divisor = quantity(divisor).map_or(1.0, Quantity::to_f64);
    let divisor = if divisor > 0.0 { divisor } else { 1.0 };
    format!("{:.0}", (amount.to_f64() / divisor).ceil())
}

fn mounts(page: &mut Page, container: &Value) {
    let mut mounts: Vec<&Value> = items(&container["volumeMounts"]).iter().collect();
    if mounts.is_empty() {
        page.field("    Mounts", "<none>");
        return;
    }
    mounts.sort_by_key(|mount| text(&mount["mountPath"]));
    page.line("    Mounts:");
    for mount in mounts {
        let mut flags = vec![if mount["readOnly"] == true { "ro".to_owned() } else { "rw".to_owned() }];
        if let Some(path) = mount["subPath"].as_str() {
            flags.push(format!("path={path:?}"));
        }
        page.line(format!(
            "      {} from {} ({})",
            text(&mount["mountPath"]),
            text(&mount["name"]),
            flags.join(",")
        ));
    }
}
