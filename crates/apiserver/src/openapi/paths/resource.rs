//! The paths of one resource: its collection, its objects, their watches and their subresources.

use api_types::resource::{ResourceInfo, Subresource, Text};
use api_types::schema;

use super::{ANY, Body, Content, OBJECTS, Operation, Path, Row, Type};
use crate::openapi::names::{self, GroupVersion};
use crate::openapi::parameters::{self, Parameter};

const CUSTOM: &[&str] = &["application/json", "application/yaml"];
const LOGS: &[&str] =
    &["text/plain", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const WATCHES: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const CUSTOM_PATCHES: &[&str] =
    &["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
/// Methods that a proxy passes on.
const ALL_METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];
const METHODS: [(&str, &str); 5] =
    [("get", "get"), ("put", "update"), ("post", "create"), ("delete", "delete"), ("patch", "patch")];

/// One resource of a group version.
pub struct Resource<'a> {
    gv: &'a GroupVersion,
    row: &'a Row,
    info: &'a ResourceInfo,
}

impl<'a> Resource<'a> {
    /// Of a row in a group version.
    pub fn new(gv: &'a GroupVersion, row: &'a Row) -> Self {
        Resource { gv, row, info: &row.info }
    }

    /// Adds the resource's paths, in no order.
    pub fn add(&self, paths: &mut Vec<Path>) {
        let base = self.gv.base();
        let plural = &self.info.plural;
        let scope = if self.info.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{base}{scope}/{plural}");
        paths.extend(self.collection(&collection));
        paths.extend(self.item(&format!("{collection}/{{name}}")));
        if self.info.namespaced && self.info.has_verb("list") {
            let list = self.list("ForAllNamespaces", Vec::new());
            paths.push(path(format!("{base}/{plural}"), Vec::new(), vec![list], parameters::LIST));
        }
        if self.info.has_verb("watch") {
            self.add_watches(paths, &format!("{base}/watch"), scope);
        }
        for sub in &self.info.subresources {
            self.add_subresource(paths, &format!("{collection}/{{name}}"), sub);
        }
    }

    /// Deprecated paths that watch without a query parameter.
    fn add_watches(&self, paths: &mut Vec<Path>, base: &str, scope: &str) {
        let (plural, kind) = (&self.info.plural, &self.info.kind);
        let watch = |action: &'static str, id: String| {
            let answer = Content::Object(Type::Builtin("meta/v1.WatchEvent".into()));
            let mut operation = self.operation("get", action, id, answer);
            operation.produces = WATCHES;
            operation.description =
                format!("Watches changes of {plural}; the parameter watch of a list does the same");
            operation
        };
        let namespaced = self.namespaced();
        let id = self.gv.operation("watch", namespaced, &format!("{kind}List"));
        let list = watch("watchlist", id);
        paths.push(path(
            format!("{base}{scope}/{plural}"),
            self.located(false),
            vec![list],
            parameters::LIST,
        ));
        let one = watch("watch", self.gv.operation("watch", namespaced, kind));
        let template = format!("{base}{scope}/{plural}/{{name}}");
        paths.push(path(template, self.located(true), vec![one], parameters::LIST));
        if self.info.namespaced {
            let id = self.gv.operation("watch", "", &format!("{kind}ListForAllNamespaces"));
            let all = watch("watchlist", id);
            paths.push(path(format!("{base}/{plural}"), Vec::new(), vec![all], parameters::LIST));
        }
    }

    fn namespaced(&self) -> &'static str {
        if self.info.namespaced { "Namespaced" } else { "" }
    }

    /// The parameters that are part of the path.
    fn located(&self, named: bool) -> Vec<Parameter> {
        let mut list = Vec::new();
        if named {
            list.push(parameters::name(&self.info.kind));
        }
        if self.info.namespaced {
            list.push(parameters::NAMESPACE);
        }
        list
    }

    fn collection(&self, template: &str) -> Option<Path> {
        let (info, plural) = (self.info, &self.info.plural);
        let mut operations = Vec::new();
        if info.has_verb("list") {
            operations.push(self.list("", parameters::LIST.to_vec()));
        }
        if info.has_verb("create") {
            let id = self.gv.operation("create", self.namespaced(), &info.kind);
            operations.push(self.creation(id, self.own_type()));
        }
        if info.has_verb("deletecollection") {
            let id = self.gv.operation("deleteCollection", self.namespaced(), &info.kind);
            let status = Content::Object(Type::Builtin("meta/v1.Status".into()));
            let mut operation = self.operation("delete", "deletecollection", id, status);
            operation.description = format!("Deletes all {plural} that the selectors match");
            operation.body = Some(delete_options());
            operation.parameters = parameters::merged(parameters::DELETE, parameters::DELETE_SELECTION);
            operations.push(operation);
        }
        (!operations.is_empty()).then(|| path(template.to_owned(), self.located(false), operations, &[]))
    }

    fn item(&self, template: &str) -> Option<Path> {
        let mut operations = self.object_operations(&self.info.verbs, "", self.own_type(), self.own_kind());
        if self.info.has_verb("delete") {
            let id = self.gv.operation("delete", self.namespaced(), &self.info.kind);
            // Definitions of custom resources are served by a part of upstream whose document says Status.
            let object = self.row.returns_deleted && self.info.group != "apiextensions.k8s.io";
            let answer = if object { self.own_type() } else { Type::Builtin("meta/v1.Status".into()) };
            let mut operation = self.operation("delete", "delete", id, Content::Object(answer));
            operation.description = format!("Deletes one of the {}", self.info.plural);
            operation.body = Some(delete_options());
            operation.parameters = parameters::DELETE.to_vec();
            operation.codes = &[200, 202];
            operations.push(operation);
        }
        sort(&mut operations);
        (!operations.is_empty()).then(|| path(template.to_owned(), self.located(true), operations, &[]))
    }

    fn list(&self, suffix: &str, own: Vec<Parameter>) -> Operation {
        let kind = format!("{}{suffix}", self.info.kind);
        let namespaced = if suffix.is_empty() { self.namespaced() } else { "" };
        let id = self.gv.operation("list", namespaced, &kind);
        let answer = match self.own_type() {
            Type::Custom(name) => Type::CustomList(name),
            _ => builtin(&self.info.group, &self.info.version, &self.info.list_kind),
        };
        let mut operation = self.operation("get", "list", id, Content::Object(answer));
        operation.description = format!("Lists or watches {}", self.info.plural);
        operation.produces = if self.is_custom() { CUSTOM } else { WATCHES };
        operation.parameters = own;
        operation
    }

    /// get, put and patch, which an object and most of its subresources have.
    fn object_operations(
        &self,
        verbs: &[Text],
        part: &str,
        type_: Type,
        about: [String; 3],
    ) -> Vec<Operation> {
        let mut operations = Vec::new();
        let (kind, plural) = (format!("{}{}", self.info.kind, names::capital(part)), &self.info.plural);
        let of_part = if part.is_empty() { String::new() } else { format!("the {part} of ") };
        for (method, verb) in METHODS.into_iter().filter(|(_, verb)| verbs.iter().any(|v| v == verb)) {
            let answer = Content::Object(type_.clone());
            let (prefix, action) = match verb {
                "get" => ("read", "get"),
                "update" => ("replace", "put"),
                "patch" => ("patch", "patch"),
                _ => continue,
            };
            let id = self.gv.operation(prefix, self.namespaced(), &kind);
            let mut operation = self.operation(method, action, id, answer);
            operation.about = Some(about.clone());
            operation.description = match action {
                "get" => format!("Reads {of_part}one of the {plural}"),
                "put" => format!("Replaces {of_part}one of the {plural}"),
                _ => format!("Changes parts of {of_part}one of the {plural}"),
            };
            match action {
                "put" => {
                    operation.body = Some(Body { type_: type_.clone(), required: true });
                    operation.parameters = parameters::WRITE.to_vec();
                    operation.codes = &[200, 201];
                }
                "patch" => {
                    let patch = Type::Builtin("meta/v1.Patch".into());
                    operation.body = Some(Body { type_: patch, required: true });
                    operation.consumes = if self.is_custom() { CUSTOM_PATCHES } else { PATCHES };
                    operation.parameters = parameters::PATCH.to_vec();
                    operation.codes = &[200, 201];
                }
                _ => {}
            }
            operations.push(operation);
        }
        operations
    }

    fn creation(&self, id: String, type_: Type) -> Operation {
        let mut operation = self.operation("post", "post", id, Content::Object(type_.clone()));
        operation.description = format!("Creates one of the {}", self.info.plural);
        operation.body = Some(Body { type_, required: true });
        operation.parameters = parameters::WRITE.to_vec();
        operation.codes = &[200, 201, 202];
        operation
    }

    fn add_subresource(&self, paths: &mut Vec<Path>, item: &str, sub: &Subresource) {
        let template = format!("{item}/{}", sub.name);
        let about = [sub.group.to_string(), sub.version.to_string(), sub.kind.to_string()];
        match &*sub.name {
            "attach" | "exec" | "portforward" => {
                paths.push(self.connection(template, &["get", "post"], &about, false));
            }
            "proxy" => {
                paths.push(self.connection(template.clone(), &ALL_METHODS, &about, false));
                paths.push(self.connection(format!("{template}/{{path}}"), &ALL_METHODS, &about, true));
            }
            "log" => {
                let id = self.gv.operation("read", self.namespaced(), &format!("{}Log", self.info.kind));
                let mut log = self.operation("get", "get", id, Content::Text);
                log.description = "Reads what a container has written".to_owned();
                log.produces = LOGS;
                let mut located = self.located(true);
                located.extend(parameters::of_options("log", "PodLogOptions"));
                paths.push(path(template, located, vec![log], &[]));
            }
            name => {
                let type_ = self.type_of(sub);
                let mut operations = self.object_operations(&sub.verbs, name, type_.clone(), about.clone());
                if sub.verbs.iter().any(|verb| verb == "create") {
                    let kind = format!("{}{}", self.info.kind, names::capital(name));
                    let id = self.gv.operation("create", self.namespaced(), &kind);
                    let mut operation = self.creation(id, type_);
                    operation.about = Some(about);
                    operation.description = format!("Creates the {name} of one of the {}", self.info.plural);
                    operations.push(operation);
                }
                sort(&mut operations);
                if !operations.is_empty() {
                    paths.push(path(template, self.located(true), operations, &[]));
                }
            }
        }
    }

    fn type_of(&self, sub: &Subresource) -> Type {
        match self.own_type() {
            // The status of a custom resource is the resource.
            own @ Type::Custom(_) if sub.kind == self.info.kind => own,
            _ => builtin(&sub.group, &sub.version, &sub.kind),
        }
    }

    /// A subresource that the request is passed on to.
    fn connection(
        &self,
        template: String,
        methods: &[&'static str],
        about: &[String; 3],
        with_path: bool,
    ) -> Path {
        let part = template.split('/').nth_back(usize::from(with_path)).unwrap_or_default().to_owned();
        let suffix = if with_path { "WithPath" } else { "" };
        let kind = format!("{}{}{suffix}", self.info.kind, names::capital(&part));
        let operations = methods.iter().map(|method| {
            let prefix = format!("{}{}", names::capital(method), self.namespaced());
            let id = self.gv.operation("connect", &prefix, &kind);
            let mut operation = self.operation(method, "connect", id, Content::Text);
            operation.description = format!(
                "Connects {} requests to the {part} of one of the {}",
                method.to_uppercase(),
                self.info.plural
            );
            operation.about = Some(about.clone());
            operation.produces = ANY;
            operation
        });
        let operations = operations.collect();
        let mut located = self.located(true);
        if with_path {
            located.push(parameters::PATH);
        }
        located.extend(parameters::of_options(&part, &about[2]));
        let mut path = path(template, located, operations, &[]);
        // What is passed on is not printed by this server.
        path.parameters.retain(|parameter| parameter.name != "pretty");
        path
    }

    fn operation(
        &self,
        method: &'static str,
        action: &'static str,
        id: String,
        answer: Content,
    ) -> Operation {
        Operation {
            method,
            id,
            description: String::new(),
            tag: self.gv.tag(),
            action,
            about: Some(self.own_kind()),
            parameters: Vec::new(),
            consumes: ANY,
            produces: if self.is_custom() { CUSTOM } else { OBJECTS },
            body: None,
            answer,
            codes: &[200],
        }
    }

    fn own_kind(&self) -> [String; 3] {
        [self.info.group.to_string(), self.info.version.to_string(), self.info.kind.to_string()]
    }

    fn own_type(&self) -> Type {
        match self.is_custom() {
            true => Type::Custom(names::custom_definition(self.info)),
            false => Type::Builtin(self.info.schema.type_name.clone()),
        }
    }

    fn is_custom(&self) -> bool {
        self.info.is_custom()
    }
}

/// A path whose operations' common parameters are told once. `pretty` belongs to all of them.
fn path(
    template: String,
    mut own: Vec<Parameter>,
    mut operations: Vec<Operation>,
    more: &[Parameter],
) -> Path {
    own.push(parameters::PRETTY);
    own.extend_from_slice(more);
    let common: Vec<Parameter> = match operations.split_first() {
        Some((first, others)) => {
            let in_all = |p: &&Parameter| others.iter().all(|operation| operation.parameters.contains(p));
            first.parameters.iter().filter(in_all).cloned().collect()
        }
        None => Vec::new(),
    };
    for operation in &mut operations {
        operation.parameters.retain(|parameter| !common.contains(parameter));
        parameters::sort(&mut operation.parameters);
    }
    own.extend(common);
    parameters::sort(&mut own);
    Path { template, parameters: own, operations }
}

fn sort(operations: &mut [Operation]) {
    operations.sort_by_key(|operation| ALL_METHODS.iter().position(|method| *method == operation.method));
}

fn builtin(group: &str, version: &str, kind: &str) -> Type {
    // Rows and subresources of built-in resources name registered kinds.
    let type_ = schema::by_gvk(group, version, kind).map(|schema| schema.type_name.clone());
    Type::Builtin(type_.unwrap_or_default())
}

fn delete_options() -> Body {
    Body { type_: Type::Builtin("meta/v1.DeleteOptions".into()), required: false }
}
