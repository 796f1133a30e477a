//! Go's names for types, as decoder messages print them: `int32`, `[]v1.Container`, `map[string]string`.

use crate::schema::{Kind, Schema};

/// How Go prints a type in `json: cannot unmarshal … of type X`.
pub(super) fn name(schema: &Schema) -> String {
    if !schema.type_name.is_empty() {
        return struct_name(schema, true);
    }
    match &schema.kind {
        Kind::Bool => "bool".into(),
        Kind::Int32 | Kind::IntOrString => "int32".into(),
        Kind::Int64 => "int64".into(),
        Kind::Uint32 => "uint32".into(),
        Kind::Uint64 => "uint64".into(),
        Kind::Float32 => "float32".into(),
        Kind::Float64 => "float64".into(),
        Kind::Bytes => "[]uint8".into(),
        Kind::List(list) => format!("[]{}", name(&list.item)),
        Kind::Map(map) => format!("map[string]{}", name(&map.value)),
        Kind::Time => "v1.Time".into(),
        Kind::MicroTime => "v1.MicroTime".into(),
        Kind::Quantity => "resource.Quantity".into(),
        Kind::RawExtension => "runtime.RawExtension".into(),
        Kind::Any => "interface {}".into(),
        Kind::String | Kind::Duration | Kind::FieldsV1 | Kind::SchemaOr(..) | Kind::Struct(_) => {
            "string".into()
        }
    }
}

/// `Deployment` (or `v1.Deployment`, qualified by Go's package) for `apps/v1.Deployment`.
pub(super) fn struct_name(schema: &Schema, qualified: bool) -> String {
    let full = &*schema.type_name;
    let start = match (qualified, full.rsplit_once('.')) {
        (false, Some((package, _))) => package.len() + 1,
        // The package's last element: the version.
        _ => full.rfind('/').map_or(0, |slash| slash + 1),
    };
    full[start..].to_string()
}
