//! Every decoder against input that nobody means well with: it answers, within the stack of a server thread, or refuses.
//!
//! Texts of every form are mutilated and spliced at random. `FUZZ_SECS` is how long each decoder is tried (default 0.5);
//! a failure prints the input, in base64, that brings it back.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use api_types::apply::{FieldManager, Set};
use api_types::quantity::Quantity;
use api_types::schema::by_gvk;
use api_types::selector::{FieldSelector, Selector};
use api_types::{codec, decode, patch, time};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The stack of the server's threads.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Runs `decoder` over mutilated seeds.
fn torture(seeds: Vec<Vec<u8>>, decoder: impl Fn(&[u8]) + Send + 'static) {
    let secs = std::env::var("FUZZ_SECS").ok().and_then(|text| text.parse().ok()).unwrap_or(0.5);
    let run = move || {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let end = Instant::now() + Duration::from_secs_f64(secs);
        while Instant::now() < end {
            for _ in 0..64 {
                let input = random.mutilate(&seeds);
                if catch_unwind(AssertUnwindSafe(|| decoder(&input))).is_err() {
                    panic!("panics for {}", STANDARD.encode(&input));
                }
            }
        }
    };
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).unwrap().join().unwrap();
}

/// xorshift: the same inputs on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end.max(1) as u64).unwrap()
    }

    fn mutilate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        const TOKENS: [&[u8]; 16] = [
            b"{",
            b"}",
            b"[",
            b"]",
            b"\"",
            b":",
            b",",
            b"null",
            b"-1e999",
            b"\\u0000",
            b"\xff",
            b"\x80\x80",
            b"/",
            b"~1",
            b"(",
            b"99999999999999999999",
        ];
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            match self.below(6) {
                0 => input.truncate(at),
                1 if at < input.len() => input[at] = self.below(256) as u8,
                2 if at < input.len() => input[at] ^= 1 << self.below(8),
                3 => {
                    let token = TOKENS[self.below(TOKENS.len())];
                    let times = if self.below(20) == 0 { 2_000 } else { 1 };
                    input.splice(at..at, token.repeat(times));
                }
                4 => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len() + 1);
                    input.splice(at.., other[from..].iter().copied());
                }
                _ => {
                    let end = (at + self.below(9)).min(input.len());
                    input.drain(at..end);
                }
            }
        }
        input
    }
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn pod() -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": "p", "labels": {"a": "b"}, "finalizers": ["x/y"], "creationTimestamp": "2024-01-01T00:00:00Z",
            "managedFields": [{"manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}}}}}}]},
        "spec": {"containers": [{"name": "c", "image": "i", "env": [{"name": "E", "value": "1"}], "resources":
            {"limits": {"cpu": "100m"}}, "ports": [{"containerPort": 80}]}], "nodeSelector": {"k": "v"}},
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": null}]},
    })
}

#[test]
fn json_bodies() {
    let schema = by_gvk("", "v1", "Pod").unwrap();
    let seeds = vec![
        pod().to_string().into_bytes(),
        br#"{"spec":{"containers":[{"livenessProbe":{"httpGet":{"port":"x"}}}]}}"#.to_vec(),
    ];
    torture(seeds, move |input| {
        drop(decode::parse_untyped(input));
        drop(decode::strict_untyped(input));
        let Ok(decoded) = decode::strict(&schema, input) else { return };
        // What was read is in its printed form already.
        assert_eq!(decode::normalize(&schema, decoded.value.clone()).unwrap(), decoded.value);
    });
}

#[test]
fn protobuf_bodies() {
    let schema = by_gvk("", "v1", "Pod").unwrap();
    let definition = json!({"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": {"type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "string"}}}, "additionalProperties": true}}}]}});
    let definitions = by_gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition").unwrap();
    let seeds = vec![codec::encode_object(&schema, &pod()).unwrap(), {
        let raw = codec::encode(&definitions, &definition).unwrap();
        codec::wrap("apiextensions.k8s.io/v1", "CustomResourceDefinition", &raw)
    }];
    torture(seeds, |input| drop(codec::decode_object(input)));
}

/// A recursive type, nested as deep as a body of 3 MB allows.
#[test]
fn protobuf_does_not_nest_for_ever() {
    let schema = by_gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition").unwrap();
    let props = schema.at("spec.versions.schema.openAPIV3Schema").unwrap();
    let not = props.as_struct().unwrap().field("not").unwrap().number;
    let run = move || {
        let mut raw: Vec<u8> = Vec::new();
        let mut prefixes = Vec::new();
        let mut length = 0_usize;
        while length < 3 * 1024 * 1024 {
            let mut prefix = Vec::new();
            varint(&mut prefix, u64::from(not) << 3 | 2);
            varint(&mut prefix, length as u64);
            length += prefix.len();
            prefixes.push(prefix);
        }
        prefixes.iter().rev().for_each(|prefix| raw.extend(prefix));
        assert!(codec::decode(&props, &raw).is_err());
    };
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).unwrap().join().unwrap();
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[test]
fn patches() {
    let schema = by_gvk("", "v1", "Pod").unwrap();
    let seeds = texts(&[
        r#"[{"op":"add","path":"/metadata/labels/x~1y","value":"1"},{"op":"remove","path":"/spec/containers/0"}]"#,
        r#"[{"op":"test","path":"/spec/containers/-1/name","value":"c"},{"op":"move","from":"/metadata/labels","path":"/spec/x"}]"#,
        r#"[{"op":"copy","from":"/spec","path":"/spec/containers/-"}]"#,
        r#"{"spec":{"containers":[{"name":"c","image":"j"},{"$patch":"delete","name":"d"}],"$setElementOrder/containers":[{"name":"c"}]}}"#,
        r#"{"metadata":{"$retainKeys":["name"],"finalizers":["z"],"$deleteFromPrimitiveList/finalizers":["x/y"],"labels":null}}"#,
    ]);
    torture(seeds, move |input| {
        let Ok(changes) = decode::parse_untyped(input) else { return };
        let mut document = pod();
        drop(patch::json_patch(&mut document, &changes));
        drop(patch::opened_by_json(&changes));
        drop(patch::strategic_merge(&schema, &pod(), &changes));
        let mut document = pod();
        patch::merge_patch(&mut document, &changes);
        drop(decode::normalize(&schema, document));
    });
}

#[test]
fn applied_configurations() {
    let schema = by_gvk("", "v1", "Pod").unwrap();
    let manager = FieldManager::new(schema, "v1", "Pod", "");
    let now = time::parse("2024-01-01T00:00:00Z").unwrap();
    torture(vec![pod().to_string().into_bytes()], move |input| {
        let Ok(config) = decode::parse_untyped(input) else { return };
        drop(Set::from_value(&config));
        drop(manager.apply(Some(&pod()), &config, "a", true, now));
        let mut sent = config;
        manager.update(Some(&pod()), &mut sent, "u", now);
    });
}

#[test]
fn small_languages() {
    let seeds = texts(&[
        "a in (b, c),!d,e!=f,g>1",
        "metadata.name=x,spec.nodeName!=y",
        "1.5Gi",
        "-12e3m",
        "2024-02-29T23:59:60.123456+01:00",
        "x notin (),y==z\\,w",
    ]);
    torture(seeds, |input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(selector) = Selector::parse(&text) {
            drop(Selector::parse(&selector.to_string()));
        }
        drop(FieldSelector::parse(&text));
        if let Ok(quantity) = Quantity::parse(&text) {
            assert!(Quantity::parse(&quantity.to_string()).is_ok());
        }
        std::hint::black_box(time::parse(&text));
    });
}
