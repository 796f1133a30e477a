//! What can be called: from rows of resources to paths and operations, in a form that both versions of OpenAPI are
//! written from.

mod resource;

use std::borrow::Cow;
use std::sync::Arc;

use api_types::resource::ResourceInfo;

use super::names::{self, GroupVersion};
use super::parameters::Parameter;
use resource::Resource;

/// A served resource.
#[derive(Clone)]
pub struct Row {
    /// The row.
    pub info: Arc<ResourceInfo>,
    /// Whether deletion answers with the object.
    pub returns_deleted: bool,
}

/// A path and what can be done with it.
#[derive(Debug)]
pub struct Path {
    /// `/api/v1/namespaces/{namespace}/pods`
    pub template: String,
    /// Parameters of all operations, in order of names.
    pub parameters: Vec<Parameter>,
    /// Operations in the order of OpenAPI's own list of methods.
    pub operations: Vec<Operation>,
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// HTTP method in lower case.
    pub method: &'static str,
    /// Unique name.
    pub id: String,
    /// What it does, in one sentence.
    pub description: String,
    /// `core_v1`
    pub tag: String,
    /// `x-kubernetes-action`; empty where the operation is about no resource.
    pub action: &'static str,
    /// `x-kubernetes-group-version-kind`: group, version, kind.
    pub about: Option<[String; 3]>,
    /// Parameters that not all operations of the path have, in order of names.
    pub parameters: Vec<Parameter>,
    /// Media types of the body, for OpenAPI v2, which tells them of operations without body too.
    pub consumes: &'static [&'static str],
    /// Media types of the answer.
    pub produces: &'static [&'static str],
    /// The body's type.
    pub body: Option<Body>,
    /// What a success is answered with, and by which codes.
    pub answer: Content,
    /// Codes of success.
    pub codes: &'static [u16],
}

/// A request's body.
#[derive(Debug)]
pub struct Body {
    /// Its type.
    pub type_: Type,
    /// Whether it must be there.
    pub required: bool,
}

/// An answer's content.
#[derive(Debug, Clone)]
pub enum Content {
    /// Text.
    Text,
    /// An object.
    Object(Type),
}

/// A type in `definitions` or `components/schemas`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// A built-in type, by its name in the schema tables (`core/v1.Pod`).
    Builtin(Cow<'static, str>),
    /// A custom resource: its definition's name.
    Custom(String),
    /// A list of custom resources: the name of the items' definition.
    CustomList(String),
    /// `/version`, which is no API object.
    Version,
}

const ANY: &[&str] = &["*/*"];
const JSON_ONLY: &[&str] = &["application/json"];
const KEYS: &[&str] = &["application/jwk-set+json"];
const OBJECTS: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// The paths of one group version, in no order.
pub fn of_group_version(group: &str, version: &str, rows: &[Row]) -> Vec<Path> {
    let gv = GroupVersion::new(group, version);
    let list = Content::Object(Type::Builtin("meta/v1.APIResourceList".into()));
    let mut paths = vec![document(&gv.base(), &gv.operation("get", "", "APIResources"), &gv.tag(), list)];
    for row in rows {
        Resource::new(&gv, row).add(&mut paths);
    }
    paths
}

/// The path of a discovery document of the root or of a group (`/api`, `/apis`, `/apis/apps`).
pub fn of_discovery(path: &str) -> Path {
    let meta = |name: &str| Content::Object(Type::Builtin(format!("meta/v1.{name}").into()));
    let base = format!("/{path}");
    match path {
        "api" => document(&base, "getCoreAPIVersions", "core", meta("APIVersions")),
        "apis" => document(&base, "getAPIVersions", "apis", meta("APIGroupList")),
        _ => {
            let group = path.trim_start_matches("apis/");
            let id = format!("get{}APIGroup", names::capital_group(group));
            document(&base, &id, &names::group_tag(group), meta("APIGroup"))
        }
    }
}

/// `/version`.
pub fn of_version() -> Path {
    let content = Content::Object(Type::Version);
    let mut path = document("/version", "getCodeVersion", "version", content);
    for operation in &mut path.operations {
        (operation.consumes, operation.produces) = (JSON_ONLY, JSON_ONLY);
    }
    path
}

/// The two documents about service account tokens (RFC 8414's profile by OpenID Connect discovery).
pub fn of_token_issuer(path: &str) -> Path {
    let (id, tag, produces) = match path {
        "openid/v1/jwks" => ("getServiceAccountIssuerOpenIDKeyset", "openid", KEYS),
        _ => ("getServiceAccountIssuerOpenIDConfiguration", "WellKnown", JSON_ONLY),
    };
    let mut path = document(&format!("/{path}"), id, tag, Content::Text);
    for operation in &mut path.operations {
        (operation.consumes, operation.produces) = (ANY, produces);
    }
    path
}

/// A path with one GET that is about no resource.
fn document(base: &str, id: &str, tag: &str, answer: Content) -> Path {
    let operation = Operation {
        method: "get",
        id: id.to_owned(),
        description: format!("Gets the document at {base}"),
        tag: tag.to_owned(),
        action: "",
        about: None,
        parameters: Vec::new(),
        consumes: OBJECTS,
        produces: OBJECTS,
        body: None,
        answer,
        codes: &[200],
    };
    Path { template: format!("{base}/"), parameters: Vec::new(), operations: vec![operation] }
}
