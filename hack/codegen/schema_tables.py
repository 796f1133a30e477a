#!/usr/bin/env python3
"""Writes the schema tables of crates/api-types from the API facts.

    hack/codegen/schema_tables.py [--check] [FACTS_DIR]      (default: tests/facts)

With --check nothing is written, and the exit status is 1 when a checked-in table differs. Otherwise writes crates/api-types/schema/{types.txt,kinds.txt,resources.jsonl,groups.txt,defaults.txt,go_names.txt}. The grammar of each file is
in its first lines. Output is sorted, so that a change of the facts is a readable diff.
"""

import glob
import json
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OUT = os.path.join(ROOT, "crates", "api-types", "schema")
SCALARS = {
    "string", "bool", "int", "int32", "int64", "uint32", "uint64", "float32", "float64", "bytes", "Time", "MicroTime",
    "Duration", "Quantity", "IntOrString", "RawExtension", "JSON", "any", "Object",
}
WIRE = {"int32": "varint", "int64": "varint", "bool": "varint", "uint32": "varint", "float64": "fixed64"}
# Types whose JSON is not the struct that the facts list.
SPECIAL = {
    "JSON": "any", "JSONSchemaPropsOrArray": "schemas", "JSONSchemaPropsOrBool": "bool",
    "JSONSchemaPropsOrStringArray": "strings",
}
SKIP_PACKAGES = {"runtime", "types", "version", "schema", "intstr", "apiresource"}
# kind: selector label -> JSON path in the served version, where they differ.
SELECTOR_PATHS = {
    "pods": {"spec.host": "spec.nodeName", "status.podIPs": "status.podIP"},
    "jobs": {"status.successful": "status.succeeded"},
    "events": {"source": "source.component"},
}


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    check = len(arguments) + 1 < len(sys.argv)
    facts = arguments[0] if arguments else os.path.join(ROOT, "tests", "facts")
    packages = [load(p) for p in sorted(glob.glob(os.path.join(facts, "api", "*.json")))]
    packages += load(os.path.join(facts, "meta.json"))["packages"]
    types = {}
    for package in packages:
        for t in package["types"]:
            types[package["info"]["ref"] + "." + t["name"]] = (package, t)
    chosen = choose(packages)
    tables = {
        "types.txt": type_lines(chosen, types),
        "kinds.txt": kind_lines(chosen, types),
        "resources.jsonl": resource_lines(facts, packages),
        "groups.txt": group_lines(facts),
        "defaults.txt": default_lines(facts, chosen, types),
        "go_names.txt": go_name_lines(chosen, types),
    }
    if check:
        stale = [name for name, lines in tables.items() if read(name) != "\n".join(lines) + "\n"]
        if stale:
            sys.exit("stale, run hack/codegen/schema_tables.py: " + ", ".join(stale))
        return
    for name, lines in tables.items():
        write(name, lines)


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def read(name):
    with open(os.path.join(OUT, name), encoding="utf-8") as f:
        return f.read()


def write(name, lines):
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n")


def choose(packages):
    """Packages that have a protobuf form, meta, and the two status documents."""
    keep = []
    for package in packages:
        info = package["info"]
        if info["ref"] in SKIP_PACKAGES or info["ref"] == "watch":
            continue
        if info.get("protoPackage") or info["ref"].split("/")[0] in ("statusz.config.k8s.io", "flagz.config.k8s.io"):
            keep.append(package)
    return keep


# --- types.txt -----------------------------------------------------------------------------------------------------

TYPES_HEADER = """\
# Types of the Kubernetes v1.36 API; made by hack/codegen/schema_tables.py.
# package REF OPENAPI-PREFIX
# type REF.NAME struct [struct=TOPOLOGY]      then one line per field:
# TAB JSON-NAME TYPE PROTOBUF-NUMBER FLAGS [key=value ...] [default=JSON to the end of the line]
#     JSON-NAME ~ is a struct that JSON inlines. FLAGS: r required, e omitempty, z omitzero, p pointer, - none.
#     keys: list, map, struct (topology), patch, pkey (merge key), gate, union
# type REF.NAME string [JSON list of values] | list TYPE [message] | map TYPE | any | schema-or-(schemas|bool|strings) REF
# type REF.NAME int32 | int64 | uint32 | alias REF | fields""".split("\n")


def type_lines(chosen, types):
    lines = list(TYPES_HEADER)
    prefixes = []
    blocks = {}
    for package in chosen:
        info = package["info"]
        prefix = next((m.split("=", 1)[1] for m in info.get("packageMarkers", []) if "openapi-model-package=" in m), "-")
        prefixes.append("package %s %s" % (info["ref"], prefix))
        for t in package["types"]:
            block = type_block(info["ref"], t, types)
            if block:
                blocks[info["ref"] + "." + t["name"]] = block
    lines += sorted(prefixes)
    for name in sorted(blocks):
        lines += blocks[name]
    return lines


def type_block(ref, t, types):
    name = "type %s.%s " % (ref, t["name"])
    kind = t["kind"]
    if ref.startswith("apiextensions.k8s.io/") and t["name"] in SPECIAL:
        special = SPECIAL[t["name"]]
        return [name + (special if special == "any" else "schema-or-%s %s.JSONSchemaProps" % (special, ref))]
    if ref == "meta/v1" and t["name"] == "FieldsV1":
        return [name + "fields"]
    if ref == "meta/v1" and t["name"] in ("Time", "MicroTime", "Duration", "GroupVersion", "InternalEvent"):
        return None
    if kind == "alias":
        return [name + "alias " + t["type"]]
    if kind == "derived":
        package, target = types[t["type"]]
        return type_block(ref, dict(target, name=t["name"]), types)
    if kind == "string":
        values = sorted(t.get("values", {}).values()) if t.get("enum") else []
        return [name + "string" + (" " + json.dumps(values, separators=(",", ":")) if values else "")]
    if kind in ("list", "map"):
        inner = inner_type(t["type"], types)
        message = " message" if kind == "list" and t.get("pbMessage") else ""
        return [name + kind + " " + inner[inner.index("<") + 1 : -1] + message if kind == "list" else name + "map " + inner]
    if kind in ("int32", "int64", "uint32"):
        return [name + kind]
    if kind != "struct":
        raise SystemExit("unknown kind of type: %s %s" % (name, kind))
    topology = " struct=" + t["structType"] if t.get("structType") else ""
    return [name + "struct" + topology] + [field_line(f, types) for f in t["fields"] if not f.get("jsonSkip")]


def field_line(f, types):
    if f["type"] not in ("GoTime",) and "wire" in f and f["type"] in WIRE and f["wire"] != WIRE[f["type"]]:
        raise SystemExit("unexpected wire type: %s" % f)
    flags = "".join(flag for key, flag in (("required", "r"), ("omitempty", "e"), ("omitzero", "z"), ("ptr", "p")) if f.get(key))
    name = "~" if f.get("inline") else f["name"] or f["go"]
    parts = ["\t" + name, resolve(f["type"], types), str(f.get("pb", 0)), flags or "-"]
    list_type = f.get("listType")
    if list_type:
        keys = f.get("listMapKeys") or []
        parts.append("list=" + (list_type + ":" + ",".join(keys) if keys else list_type))
    for key, short in (("mapType", "map"), ("structType", "struct")):
        if f.get(key):
            parts.append(short + "=" + f[key])
    for key, short in (("patchStrategy", "patch"), ("patchMergeKey", "pkey"), ("featureGate", "gate")):
        if f.get(key):
            value = f[key]
            parts.append(short + "=" + (",".join(value) if isinstance(value, list) else value))
    if f.get("unionDiscriminator"):
        parts.append("union=1")
    if "default" in f:
        parts.append("default=" + json.dumps(f["default"], separators=(",", ":"), sort_keys=True))
    return " ".join(parts)


def resolve(type_, types):
    """A type expression with aliases replaced by what they name."""
    if "<" in type_:
        head, inner = type_.split("<", 1)
        return head + "<" + ",".join(resolve(x, types) for x in split_args(inner[:-1])) + ">"
    pointer = "*" if type_.startswith("*") else ""
    bare = type_[len(pointer) :]
    if bare in SCALARS:
        return pointer + {"int": "int64"}.get(bare, bare)
    if bare == "runtime.RawExtension":
        return pointer + "RawExtension"
    if bare in ("apiresource.Quantity", "intstr.IntOrString"):
        return pointer + bare.split(".")[1]
    if bare in ("types.UID", "types.NodeName", "types.NamespacedName"):
        return pointer + "string"
    if bare not in types:
        raise SystemExit("unresolved type " + bare)
    package, t = types[bare]
    if package["info"]["ref"] in SKIP_PACKAGES:
        return pointer + (resolve(t["type"], types) if t.get("type") else t["kind"] if t["kind"] != "struct" else "any")
    if t["kind"] == "alias":
        return pointer + resolve(t["type"], types)
    return pointer + bare


def split_args(text):
    args, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += {"<": 1, ">": -1}.get(c, 0)
        if c == "," and depth == 0:
            args.append(text[start:i])
            start = i + 1
    return args + [text[start:]]


def inner_type(type_, types):
    return resolve(type_, types)


# --- go_names.txt --------------------------------------------------------------------------------------------------


def go_name_lines(chosen, types):
    """`TYPE JSON=GO ...`: the fields whose Go name is not the JSON name with a capital letter."""
    lines = ["# TYPE JSON=GO ...: fields with irregular Go names, which some messages show. Made by hack/codegen/schema_tables.py."]
    for package in chosen:
        ref = package["info"]["ref"]
        for t in package["types"]:
            if t["kind"] != "struct" or ref == "meta/v1":
                continue
            names = [(n, f["go"]) for n, f in flat_fields(ref + "." + t["name"], types) if n[:1].upper() + n[1:] != f["go"]]
            if names:
                lines.append(" ".join([ref + "." + t["name"]] + [a + "=" + b for a, b in names]))
    return lines[:1] + sorted(lines[1:])


# --- kinds.txt -----------------------------------------------------------------------------------------------------


def kind_lines(chosen, types):
    """`GROUP VERSION KIND TYPE`: the kinds that each group version registers. `-` is the core group."""
    lines = ["# GROUP VERSION KIND TYPE; - is the core group. Made by hack/codegen/schema_tables.py."]
    for package in chosen:
        info = package["info"]
        group = {"meta": "meta.k8s.io"}.get(info["group"], info["group"]) or "-"
        registered = set(info.get("registeredKinds", []))
        registered |= {t["name"] for t in package["types"] if t.get("root")}
        for kind in sorted(registered):
            bare = kind.rsplit(".", 1)[-1]
            ref = info["ref"] + "." + bare
            if kind.startswith("metav1.") or (ref not in types and "meta/v1." + bare in types):
                ref = "meta/v1." + bare
            if ref not in types or types[ref][1]["kind"] not in ("struct", "alias", "derived") or bare == "InternalEvent":
                continue
            package_, t = types[ref]
            while t["kind"] == "alias":
                ref = t["type"]
                package_, t = types[ref]
            lines.append(" ".join((group, info["version"], bare, ref)))
    return lines[:1] + sorted(set(lines[1:]))


# --- resources.jsonl, groups.txt -----------------------------------------------------------------------------------


def resource_lines(facts, packages):
    storage = {(r["group"], r["version"], r["resource"]): r for r in load(os.path.join(facts, "storage.json"))["resources"]}
    selectable = load(os.path.join(facts, "selectable_fields.json"))
    rows = []
    for package in packages:
        info = package["info"]
        ref = info["ref"]
        table_path = os.path.join(facts, "tables", ref.replace("/", "_") + ".json")
        tables = load(table_path) if os.path.exists(table_path) else {}
        for t in package["types"]:
            for r in t.get("resources", []):
                rows.append(resource_row(info, t, r, storage, selectable, tables))
    rows.sort(key=lambda r: (r["group"], r["version"], r["plural"]))
    return [json.dumps(r, separators=(",", ":")) for r in rows]


def resource_row(info, t, r, storage, selectable, tables):
    plural = r["plural"]
    stored = storage.get((info["group"], info["version"], plural), {})
    key = stored.get("key", "").replace("/<ns>", "").replace("/<name>", "")
    fields = selectable.get(info["ref"] + "/" + plural, {}).get("accepted", [])
    columns = tables.get(plural, {}).get("columns", [])
    row = {
        "group": info["group"], "version": info["version"], "plural": plural, "singular": r["singular"], "kind": t["name"],
        "namespaced": r["scope"] == "Namespaced", "verbs": r["verbs"], "type": info["ref"] + "." + t["name"],
        "served": bool(r.get("servedByDefault")),
    }
    optional = {
        "shortNames": r.get("shortNames"), "categories": r.get("categories"), "hash": r.get("storageVersionHash"),
        "key": key, "storedAs": stored.get("storedAs") and [stored["storedAs"]["apiVersion"], stored["storedAs"]["kind"]],
        "subresources": [[s["name"], s.get("gv", ""), s["kind"], s["verbs"]] for s in r.get("subresources", [])],
        "fields": [[f, selector_path(plural, f)] for f in fields], "columns": columns,
    }
    row.update({k: v for k, v in optional.items() if v})
    return row


def selector_path(plural, label):
    return SELECTOR_PATHS.get(plural, {}).get(label, label)


def group_lines(facts):
    """Groups and versions in the order of discovery; `+` marks versions that are served by default."""
    full = load(os.path.join(facts, "discovery", "all-enabled", "apis.json"))
    default = load(os.path.join(facts, "discovery", "apis.json"))
    served = {v["groupVersion"] for g in default["groups"] for v in g["versions"]}
    lines = ["# GROUP VERSION... in discovery's order; + served by default. Made by hack/codegen/schema_tables.py.", "- +v1"]
    for group in full["groups"]:
        versions = [("+" if v["groupVersion"] in served else "") + v["version"] for v in group["versions"]]
        lines.append(group["name"] + " " + " ".join(versions))
    return lines


# --- defaults.txt --------------------------------------------------------------------------------------------------


DEFAULTS_HEADER = """\
# Constant defaults per type; made by hack/codegen/schema_tables.py from observing upstream's defaulter per kind.
# TYPE PATH [if=FIELD:VALUE] JSON-VALUE
# PATH is below a value of TYPE; objects on the way are made. if: only when a sibling field has that value, or (?) is set.
# Defaults that depend on other values are in src/default/computed*.rs.""".split("\n")

# Decided by other values, or by the root kind: code, not data.
COMPUTED_DEFAULTS = {
    "core/v1.Container.imagePullPolicy", "core/v1.EphemeralContainer.imagePullPolicy", "core/v1.ImageVolumeSource.pullPolicy",
    "core/v1.Volume.emptyDir", "core/v1.ConfigMap.data", "core/v1.PodSpec.enableServiceLinks",
    "core/v1.ServiceSpec.internalTrafficPolicy", "core/v1.ServiceSpec.sessionAffinityConfig",
    "networking.k8s.io/v1.NetworkPolicySpec.policyTypes", "apps/v1.StatefulSetUpdateStrategy.rollingUpdate",
    "apps/v1.StatefulSetUpdateStrategy.type", "apps/v1.RollingUpdateStatefulSetStrategy.partition",
    "autoscaling/v2.HPAScalingRules.selectPolicy", "autoscaling/v2.HPAScalingRules.stabilizationWindowSeconds",
    "core/v1.PersistentVolumeSpec.persistentVolumeReclaimPolicy", "core/v1.PersistentVolumeSpec.volumeMode",
}
# Only below a root that upstream's defaulter names: the rule moves to the root type.
ROOT_ONLY_TYPES = {"batch/v1.JobSpec"}
# What observing cannot show: rules that a sibling decides, and structs that exist only behind pointers.
EXTRA_DEFAULTS = """\
admissionregistration.k8s.io/v1.MatchResources namespaceSelector {}
admissionregistration.k8s.io/v1.MatchResources objectSelector {}
admissionregistration.k8s.io/v1beta1.MatchResources namespaceSelector {}
admissionregistration.k8s.io/v1beta1.MatchResources objectSelector {}
admissionregistration.k8s.io/v1alpha1.MatchResources namespaceSelector {}
admissionregistration.k8s.io/v1alpha1.MatchResources objectSelector {}
apps/v1.DaemonSetUpdateStrategy rollingUpdate.maxSurge if=type:RollingUpdate 0
apps/v1.DaemonSetUpdateStrategy rollingUpdate.maxUnavailable if=type:RollingUpdate 1
apps/v1.DeploymentStrategy rollingUpdate.maxSurge if=type:RollingUpdate "25%"
apps/v1.DeploymentStrategy rollingUpdate.maxUnavailable if=type:RollingUpdate "25%"
core/v1.PersistentVolume spec.persistentVolumeReclaimPolicy "Retain"
core/v1.PersistentVolume spec.volumeMode "Filesystem"
core/v1.Pod spec.enableServiceLinks true""".split("\n")
REPLACED_BY_EXTRA = {
    "apps/v1.DaemonSetUpdateStrategy.rollingUpdate", "apps/v1.RollingUpdateDaemonSet.maxSurge",
    "apps/v1.RollingUpdateDaemonSet.maxUnavailable", "apps/v1.DeploymentStrategy.rollingUpdate",
    "apps/v1.RollingUpdateDeployment.maxSurge", "apps/v1.RollingUpdateDeployment.maxUnavailable",
}
COUNT_TYPES = ("DeviceSubRequest", "ExactDeviceRequest", "DeviceRequest")


def default_lines(facts, chosen, types):
    """Attributes each observed default to the type that holds the field, and insists that every kind agrees."""
    refs = {p["info"]["ref"] for p in chosen if p["info"].get("servable") or p["info"]["ref"] == "meta/v1"}
    rules = {}
    for kind, observed in sorted(load(os.path.join(facts, "defaults.json")).items()):
        root = ".".join(kind.rsplit("/", 1))
        if kind.rsplit("/", 1)[0] not in refs or root not in types:
            continue
        owners = dict(struct_paths(root, "", [], types))
        for mode in ("sparse", "filled"):
            for path, value in observed.get(mode, {}).items():
                parent, _, field = path.rpartition(".")
                owner = owners[parent]
                full = owner + "." + field
                if full.endswith(".DeviceTaint.timeAdded") or full in COMPUTED_DEFAULTS or full in REPLACED_BY_EXTRA or owner in ROOT_ONLY_TYPES:
                    continue
                text = json.dumps(value, separators=(",", ":"), sort_keys=True)
                condition = "if=allocationMode:ExactCount " if field == "count" and owner.endswith(COUNT_TYPES) else ""
                if owner.endswith(".DeviceRequest") and field == "allocationMode":
                    condition = "if=deviceClassName:? "
                line = "%s %s %s%s" % (owner, field, condition, text)
                if rules.setdefault((owner, field), line) != line:
                    raise SystemExit("kinds disagree: %s / %s" % (rules[owner, field], line))
    plain = [line for line in rules.values() if " if=" not in line]
    conditional = [line for line in rules.values() if " if=" in line]
    return DEFAULTS_HEADER + sorted(plain + [x for x in EXTRA_DEFAULTS if " if=" not in x]) + sorted(
        conditional + [x for x in EXTRA_DEFAULTS if " if=" in x])


def struct_paths(name, prefix, above, types):
    """(path, type) of every struct below a root; list elements are `[]`, map values `{}`."""
    yield prefix, name
    if name in above:
        return
    for field_name, field in flat_fields(name, types):
        inner, suffix = resolve(field["type"], types).lstrip("*"), ""
        while True:
            if inner in types and types[inner][1]["kind"] in ("list", "map"):
                inner = resolve(types[inner][1]["type"], types)
            if inner.startswith("list<"):
                inner, suffix = inner[5:-1].lstrip("*"), suffix + "[]"
            elif inner.startswith("map<"):
                inner, suffix = split_args(inner[4:-1])[1].lstrip("*"), suffix + "{}"
            else:
                break
        if inner in types and types[inner][1]["kind"] == "struct" and inner != "meta/v1.ObjectMeta":
            path = (prefix + "." if prefix else "") + field_name + suffix
            yield from struct_paths(inner, path, above + [name], types)


def flat_fields(name, types):
    """A struct's JSON fields, inlined structs opened."""
    t = types[name][1]
    while t["kind"] in ("alias", "derived"):
        t = types[t["type"]][1]
    for field in t.get("fields", []):
        if field.get("inline"):
            yield from flat_fields(resolve(field["type"], types).lstrip("*"), types)
        elif not field.get("jsonSkip"):
            yield field["name"] or field["go"], field


if __name__ == "__main__":
    main()
